"""fscs.cli.evaluate writes the scores of predictions whose overlap with the truth is known."""

import csv
import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import tifffile
from command_line import refusal_of
from conftest import REPOSITORY
from skimage.io import imsave

from fscs.cli.evaluate import Config, evaluate
from fscs.errors import InputError

# Two objects of 16 pixels; the first is predicted a column too far to the right: 12 of 20 pixels.
TRUTH = np.zeros((16, 16), np.int32)
TRUTH[:4, :4], TRUTH[8:12, 8:12] = 3, 9
PREDICTION = np.zeros((16, 16), np.int32)
PREDICTION[:4, 1:5], PREDICTION[8:12, 8:12] = 1, 2
NOTHING = np.zeros((16, 16), np.int32)
TOUCHING = np.zeros((16, 16), np.int32)
TOUCHING[:4, :4], TOUCHING[:4, 4:8] = 1, 2

write = partial(tifffile.imwrite, photometric='minisblack')

# By hand: 28 of 36 pixels are in both; the IoUs 0.6 and 1 reach 3 and 10 of the ten thresholds.
EXPECTED = {
  'iou': 28 / 36,
  'dice': 28 / 32,
  'precision': 28 / 32,
  'recall': 28 / 32,
  'ap_50': 1,
  'ap_75': 1 / 3,
  'ap_mean': (3 * 1 + 7 / 3) / 10,
  'f1_50': 1,
  'panoptic_quality_50': 0.8,
  'objects_predicted': 2,
  'objects_true': 2,
  'count_error': 0,
}


@pytest.fixture
def config(tmp_path):
  for name in ('predictions', 'masks'):
    (tmp_path / name).mkdir()
  folders = {name: str(tmp_path / name) for name in ('predictions', 'masks', 'out')}
  return Config(**folders)


@pytest.fixture
def predictions(tmp_path, config):
  return tmp_path / 'predictions'


@pytest.fixture
def masks(tmp_path, config):
  return tmp_path / 'masks'


def rows_and_summary(config, tmp_path):
  with (tmp_path / 'out' / 'scores.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  return rows, json.loads((tmp_path / 'out' / 'summary.json').read_text())


def numbers(row, names=tuple(EXPECTED)):
  return {name: float(row[name]) for name in names}


def test_scores_of_one_image_are_those_solved_by_hand(config, predictions, masks, tmp_path, capsys):
  write(predictions / 'cell_labels.tif', PREDICTION)
  write(masks / 'cell.tif', TRUTH)
  evaluate(config)
  (row,), summary = rows_and_summary(config, tmp_path)
  assert (row['image'], row['page'], row['objects']) == ('cell', '1', 'labels')
  assert numbers(row) == pytest.approx(EXPECTED, abs=1e-5)
  assert numbers(summary) == pytest.approx(EXPECTED, abs=1e-5)
  assert (summary['images'], summary['files_failed']) == (1, 0)
  lines = capsys.readouterr().out.splitlines()
  figures = '0.778 0.875 0.875 0.875 1.000 0.333 0.533 1.000 0.800 2 2 +0'
  assert [' '.join(line.split()) for line in lines[:3]] == [
    'image IoU Dice prec. recall AP50 AP75 mAP F1 PQ found true +-',
    f'cell {figures}',
    f'all 1 {figures}',
  ]
  assert not any('component' in line for line in lines)


def test_totals_are_means_of_pixel_scores_and_sums_of_objects(config, predictions, masks, tmp_path):
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a_mask.tif', TRUTH)
  one = np.zeros((8, 8), np.uint16)
  one[2:6, 2:6] = 5
  four = np.zeros((8, 8), np.uint16)  # all far from the predicted one
  four[0, :4], four[0, 4:], four[7, :4], four[7, 4:] = 1, 2, 3, 4
  write(predictions / 'b_img_labels.tif', one)
  write(masks / 'b_seg.tif', four)
  evaluate(config)
  rows, summary = rows_and_summary(config, tmp_path)
  assert [row['image'] for row in rows] == ['a', 'b_img']
  for name in ('iou', 'dice', 'precision', 'recall'):
    mean = np.mean([float(row[name]) for row in rows])
    assert summary[name] == pytest.approx(mean, abs=1e-5)
  # Of 2 + 1 predicted and 2 + 4 true objects 2 match at 0.5 and 1 at 0.75.
  assert summary['ap_50'] == pytest.approx(2 / (2 + 1 + 4))
  assert summary['ap_75'] == pytest.approx(1 / (1 + 2 + 5))
  assert summary['f1_50'] == pytest.approx(2 * 2 / (3 + 6))
  assert summary['panoptic_quality_50'] == pytest.approx(1.6 / 4.5)
  assert summary['count_error'] == -3
  assert summary['mean_absolute_count_error'] == 1.5


def test_every_page_is_an_image(config, predictions, masks, tmp_path, capsys):
  write(predictions / 'stack_labels.tif', np.stack([PREDICTION, NOTHING, TRUTH]))
  write(masks / 'stack.tif', np.stack([TRUTH, TRUTH, TRUTH]).astype(np.uint8))
  evaluate(config)
  rows, summary = rows_and_summary(config, tmp_path)
  assert [row['page'] for row in rows] == ['1', '2', '3']
  assert [float(row['ap_mean']) for row in rows] == pytest.approx([16 / 30, 0, 1], abs=1e-5)
  assert summary['images'] == 3
  assert summary['objects_predicted'] == 4
  assert 'stack, page 2 ' in capsys.readouterr().out


def test_an_image_without_objects_counts(config, predictions, masks, tmp_path):
  full = np.ones((16, 16), np.int32)
  for name, prediction, truth in (
    ('both', NOTHING, NOTHING),
    ('found', PREDICTION, NOTHING),
    ('missed', NOTHING, TRUTH),
    ('one', full, TRUTH),
  ):
    write(predictions / f'{name}_labels.tif', prediction)
    write(masks / f'{name}.tif', truth)
  evaluate(config)
  rows, summary = rows_and_summary(config, tmp_path)
  both, found, missed, one = rows
  scores = [name for name in EXPECTED if not name.startswith(('objects', 'count'))]
  assert set(numbers(both, scores).values()) == {1}
  for row in (found, missed):
    assert max(numbers(row, scores).values()) < 1e-4
  assert [row['count_error'] for row in rows] == ['0', '2', '-2', '-1']
  assert float(one['recall']) == 1
  assert float(one['precision']) == pytest.approx(32 / 256)
  assert summary['images'] == 4


def test_objects_of_a_predicted_mask_are_connected_components(
  config, predictions, masks, tmp_path, capsys
):
  mask = ((TOUCHING > 0) * 255).astype(np.uint8)
  imsave(predictions / 'cell_mask.png', mask, check_contrast=False)
  imsave(predictions / 'other_mask.png', mask, check_contrast=False)
  write(predictions / 'other_labels.tif', TRUTH)  # goes before the mask
  write(masks / 'cell.tif', TOUCHING)
  write(masks / 'other.tif', TRUTH)
  evaluate(config)
  (cell, other), _ = rows_and_summary(config, tmp_path)
  assert (cell['objects'], other['objects']) == ('components', 'labels')
  assert (cell['objects_predicted'], cell['objects_true']) == ('1', '2')
  assert float(cell['iou']) == 1
  assert float(other['ap_mean']) == 1
  printed = capsys.readouterr().out
  assert 'cell *' in printed
  assert 'other *' not in printed
  assert 'objects are connected components' in printed


def test_binary_truth_says_nothing_about_touching_objects(config, predictions, masks, tmp_path):
  for name in ('a', 'b'):
    write(predictions / f'{name}_labels.tif', TOUCHING)
    write(masks / f'{name}.tif', (TOUCHING > 0).astype(np.uint8))
  evaluate(config)
  rows, summary = rows_and_summary(config, tmp_path)
  assert {row['objects'] for row in rows} == {'components'}
  assert (summary['ap_mean'], summary['objects_predicted']) == (1, 2)
  write(masks / 'b.tif', TOUCHING)  # now a truth of one value holds one object
  evaluate(config)
  rows, _ = rows_and_summary(config, tmp_path)
  assert [row['objects'] for row in rows] == ['labels', 'labels']
  assert [row['count_error'] for row in rows] == ['1', '0']


def test_a_bad_file_is_one_line_and_the_others_are_scored(
  config, predictions, masks, tmp_path, capsys
):
  for name in ('damaged', 'good', 'pages', 'small', 'fractional', 'negative'):
    write(predictions / f'{name}_labels.tif', PREDICTION)
    write(masks / f'{name}.tif', TRUTH)
  (predictions / 'damaged_labels.tif').write_bytes(b'no image')
  write(predictions / 'pages_labels.tif', np.stack([PREDICTION] * 2))
  write(masks / 'small.tif', TRUTH[:8])
  write(predictions / 'fractional_labels.tif', PREDICTION / np.float32(3))
  write(predictions / 'negative_labels.tif', PREDICTION - 1)
  with pytest.raises(SystemExit) as stop:
    evaluate(config)
  assert stop.value.code == 1
  (row,), summary = rows_and_summary(config, tmp_path)
  assert row['image'] == 'good'
  assert (summary['images'], summary['files_failed']) == (1, 5)
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
  for name, complaint in (
    ('damaged_labels.tif', 'damaged'),
    ('fractional_labels.tif', 'expected integers from 0'),
    ('negative_labels.tif', 'from -1 on'),
    ('pages.tif', 'found 1 pages, expected 2'),
    ('small.tif', '8 x 16'),
  ):
    (line,) = (line for line in lines if line.startswith(f'error: {tmp_path}') and name in line)
    assert complaint in line


def test_files_without_a_counterpart_are_named(config, predictions, masks, tmp_path, capsys):
  for name in ('a', 'b', 'c'):
    write(predictions / f'{name}_labels.tif', PREDICTION)
  for name in ('c', 'd'):
    write(masks / f'{name}.tif', TRUTH)
  evaluate(config)
  error = capsys.readouterr().err
  assert 'note: predictions without a true mask, left out: 2 (a_labels.tif, b_labels.tif)' in error
  assert 'note: true masks without a prediction, left out: 1 (d.tif)' in error
  assert rows_and_summary(config, tmp_path)[1]['images'] == 1


def test_images_among_the_true_masks_are_left_out(config, predictions, masks, tmp_path):
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a_mask.tif', TRUTH)
  write(masks / 'a.tif', TRUTH * 7)
  evaluate(config)
  assert rows_and_summary(config, tmp_path)[1]['images'] == 1


def test_folders_that_do_not_belong_together_are_refused(config, predictions, masks, tmp_path):
  with pytest.raises(InputError, match='give --predictions=DIR'):
    evaluate(Config())
  with pytest.raises(InputError, match='give --masks=DIR'):
    evaluate(Config(predictions=str(predictions)))
  with pytest.raises(InputError, match='elsewhere: no such folder'):
    evaluate(Config(str(tmp_path / 'elsewhere'), str(masks)))
  with pytest.raises(InputError, match='predictions: found nothing'):
    evaluate(config)
  write(predictions / 'a.tif', PREDICTION)
  with pytest.raises(InputError, match=r'found a\.tif, expected predictions named'):
    evaluate(config)
  for name in 'abcd':
    write(predictions / f'{name}_labels.tif', PREDICTION)
  with pytest.raises(InputError, match='masks: found nothing'):
    evaluate(config)
  with pytest.raises(InputError, match='is the folder of the predictions'):
    evaluate(Config(str(predictions), str(predictions)))
  for name in 'wxyz':
    write(masks / f'{name}.tif', TRUTH)
  with pytest.raises(InputError, match=r'a\.\*, b\.\*, c\.\* and the masks w\.tif, x\.tif, y\.tif'):
    evaluate(config)
  assert not (tmp_path / 'out').exists()


def test_nothing_is_written_where_no_file_could_be_scored(config, predictions, masks, tmp_path):
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a.tif', TRUTH[:8])
  with pytest.raises(InputError, match='none of 1 predictions could be scored'):
    evaluate(config)
  assert not (tmp_path / 'out').exists()


def test_the_command_line(config, predictions, masks):
  write(predictions / 'a_labels.tif', PREDICTION)
  write(masks / 'a.tif', TRUTH)
  command = [sys.executable, '-m', 'fscs.cli.evaluate']
  folders = (f'--predictions={predictions}', f'--masks={masks}')
  good = subprocess.run([*command, *folders], cwd=REPOSITORY, capture_output=True)
  assert good.returncode == 0, good.stderr
  assert {path.name for path in predictions.iterdir()} == {
    'a_labels.tif',
    'scores.csv',
    'summary.json',
  }
  bad = refusal_of('evaluate', folders[0])
  assert bad == 'give --masks=DIR, the folder of the masks'
