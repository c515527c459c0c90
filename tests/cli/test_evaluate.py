"""`fscs evaluate`: scores of folders of predictions."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers import fails_after, full_disk, read_table, refusal, run_fscs
from skimage.filters import gaussian
from skimage.io import imsave

# Two objects of 16 pixels; the first is predicted a column too far to the right: 12 of 20 pixels.
TRUTH, PREDICTION = np.zeros((2, 16, 16), np.int32)
TRUTH[:4, :4], TRUTH[8:12, 8:12] = 3, 9
PREDICTION[:4, 1:5], PREDICTION[8:12, 8:12] = 1, 2

write = functools.partial(tifffile.imwrite, photometric='minisblack')


@pytest.fixture
def folders(tmp_path):
  """Empty folders of predictions and of masks."""
  for name in ('predictions', 'masks'):
    (tmp_path / name).mkdir()
  return tmp_path / 'predictions', tmp_path / 'masks'


@pytest.fixture
def arguments(folders, tmp_path):
  predictions, masks = folders
  return [
    'evaluate',
    f'--predictions={predictions}',
    f'--masks={masks}',
    f'--out={tmp_path / "out"}',
  ]


def results(tmp_path):
  summary = json.loads((tmp_path / 'out' / 'summary.json').read_text())
  return read_table(tmp_path / 'out' / 'scores.csv'), summary


def test_scores_are_written_per_page_and_in_total(arguments, folders, tmp_path):
  predictions, masks = folders
  write(predictions / 'stack_labels.tif', np.stack([PREDICTION, 0 * TRUTH, TRUTH]))
  write(masks / 'stack.tif', np.stack([TRUTH] * 3).astype(np.uint8))
  assert run_fscs(*arguments).status == 0
  rows, summary = results(tmp_path)
  assert [(row['image'], row['page']) for row in rows] == [('stack', page) for page in '123']
  ious = [28 / 36, 0, 1]
  assert [float(row['iou']) for row in rows] == pytest.approx(ious, abs=1e-4)
  assert summary['iou'] == pytest.approx(np.mean(ious), abs=1e-4)
  assert summary['mean_absolute_count_error'] == pytest.approx(2 / 3)
  assert (summary['images'], summary['files_failed']) == (3, 0)


def test_labels_come_before_masks_and_images_among_true_masks_are_left_out(
  arguments, folders, tmp_path
):
  predictions, masks = folders
  imsave(predictions / 'a_mask.png', (TRUTH > 0).astype(np.uint8) * 255, check_contrast=False)
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a_mask.tif', TRUTH)
  write(masks / 'a.tif', TRUTH * 7)
  assert run_fscs(*arguments).status == 0
  (row,), _ = results(tmp_path)
  assert (row['objects'], float(row['iou'])) == ('labels', pytest.approx(28 / 36, abs=1e-4))


def test_bad_files_and_those_without_counterpart_are_named_and_the_others_scored(
  arguments, folders, tmp_path
):
  predictions, masks = folders
  for name in ('damaged', 'good', 'small', 'unknown'):
    write(predictions / f'{name}_labels.tif', PREDICTION)
  for name in ('damaged', 'good', 'small', 'unused'):
    write(masks / f'{name}.tif', TRUTH)
  (predictions / 'damaged_labels.tif').write_bytes(b'no image')
  write(masks / 'small.tif', TRUTH[:8])
  outcome = run_fscs(*arguments)
  assert outcome.status == 2
  (row,), summary = results(tmp_path)
  assert row['image'] == 'good'
  assert (summary['images'], summary['files_failed']) == (1, 2)
  lines = outcome.err.splitlines()
  for name in ('damaged_labels.tif', 'small.tif'):
    assert sum(line.startswith('left out: ') and name in line for line in lines) == 1
  for name in ('unknown_labels.tif', 'unused.tif'):
    assert sum(f': 1 ({name})' in line for line in lines) == 1


@pytest.mark.parametrize(
  ('options', 'files', 'named'),
  [
    (['--predictions={}/nowhere'], [], 'nowhere'),
    ([], [], 'predictions: found nothing'),
    ([], ['predictions/a.tif'], '--predictions'),
    ([], ['predictions/a_labels.tif'], 'masks: found nothing'),
    (['--masks={}/predictions'], ['predictions/a_labels.tif'], '--masks'),
    ([], ['predictions/a_labels.tif', 'masks/b.tif'], 'b.tif'),
  ],
)
def test_what_cannot_be_used_is_named_in_one_line(arguments, tmp_path, options, files, named):
  for file in files:
    write(tmp_path / file, TRUTH)
  assert named in refusal([*arguments, *(option.format(tmp_path) for option in options)])
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('prediction', 'truth'),
  [
    ('16bit_labels.tif', 'other.png'),
    ('a b_mask.png', 'a-b.tif'),
    ('a_labels.tif', 'A.tif'),
    ('a_labels.tif', 'a_truth.tif'),
    ('b_labels.tif', 'mask_b.tif'),
    ('a_labels.tif', 'a1.zip'),
    ('a_img_labels.tif', 'b_img.geojson'),
    ('s0.ome_labels.tif', 's1.ome.tif'),
  ],
)
def test_predictions_and_masks_that_do_not_match_are_both_named(
  arguments, folders, prediction, truth
):
  (folders[0] / prediction).touch()
  (folders[1] / truth).touch()
  line = refusal(arguments)
  for named in (prediction, truth, '--predictions', '--masks', 'NAME_labels.tif', 'NAME.tif'):
    assert named in line
  assert '.*' not in line


@pytest.mark.parametrize(
  ('predictions', 'masks', 'named'),
  [
    (['a_labels.tif'], ['a_gt.tif', 'a_mask.tif'], ['a_gt.tif', 'a_mask.tif']),
    (['a_labels.tif', 'a_img_labels.tif'], ['a_gt.tif'], ['predictions/a.', 'predictions/a_img.']),
  ],
)
def test_two_files_that_match_one_are_named(arguments, folders, predictions, masks, named):
  for folder, names in zip(folders, (predictions, masks), strict=True):
    for name in names:
      write(folder / name, TRUTH)
  line = refusal(arguments)
  assert all(name in line for name in named)


def test_nothing_is_written_if_no_file_could_be_scored(arguments, folders, tmp_path):
  predictions, masks = folders
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a.tif', TRUTH[:8])
  assert 'none of 1 predictions' in refusal(arguments)
  assert not (tmp_path / 'out').exists()


# Squares 1 and 2 touch, 3 is apart.
SQUARES = np.zeros((40, 60), np.uint8)
SQUARES[5:15, 5:15], SQUARES[5:15, 15:25], SQUARES[20:30, 40:50] = 1, 2, 3
COLOURS = np.array([(0, 0, 0), (255, 0, 0), (0, 130, 0), (0, 0, 200)], np.uint8)


def soft_edges():
  """The squares with edges of a pixel and a half, 0 to 255."""
  return np.rint(255 * gaussian((SQUARES > 0).astype(float), 0.8)).astype(np.uint8)


@pytest.mark.parametrize(
  ('name', 'prediction', 'truth', 'score'),
  [
    ('a_labels.png', COLOURS[SQUARES], SQUARES, 'ap_50'),
    ('a_mask.tif', np.where(SQUARES > 0, 2, 1).astype(np.uint8), SQUARES, 'iou'),
    ('a_mask.png', soft_edges(), soft_edges(), 'iou'),
    ('a_labels.tif', SQUARES.astype(np.float32), SQUARES, 'ap_50'),
  ],
)
def test_predictions_are_read_by_the_rules_of_true_masks(
  arguments, folders, tmp_path, name, prediction, truth, score
):
  predictions, masks = folders
  imsave(predictions / name, prediction, check_contrast=False)
  imsave(masks / 'a.png', truth, check_contrast=False)
  assert run_fscs(*arguments).status == 0
  (row,), _ = results(tmp_path)
  assert float(row[score]) == 1


def test_what_was_guessed_is_said_and_the_user_may_choose(arguments, folders, tmp_path):
  predictions, masks = folders
  write(predictions / 'a_labels.tif', SQUARES)
  write(masks / 'a.tif', np.where(SQUARES > 0, 1, 2).astype(np.uint8))
  assert 'the larger is taken for objects, here 2 rather than 1' in run_fscs(*arguments).err
  outcome = run_fscs(*arguments, '--foreground', 1)
  assert outcome.status == 0
  assert 'larger' not in outcome.err
  (row,), _ = results(tmp_path)
  assert float(row['iou']) == 1
  write(predictions / 'a_labels.tif', SQUARES + 1)
  assert 'no pixel is 0' in run_fscs(*arguments).err


@pytest.mark.parametrize(('room', 'named'), [(0, 'scores.csv'), (1, 'summary.json')])
def test_a_full_disk_is_named_and_leaves_nothing_half_written(
  arguments, folders, tmp_path, monkeypatch, room, named
):
  predictions, masks = folders
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a.tif', TRUTH)
  with monkeypatch.context() as patched:
    fails_after(patched, Path, 'write_bytes', room, full_disk)
    assert refusal(arguments).startswith(f'{tmp_path / "out" / named}: No space left')
  assert not (tmp_path / 'out' / named).exists()
  assert run_fscs(*arguments).status == 0
  assert len(results(tmp_path)[0]) == 1
