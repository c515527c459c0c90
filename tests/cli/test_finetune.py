"""`fscs finetune`: what it writes, which pages it learns from, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers import (
  cells,
  fails_after,
  full_disk,
  full_disk_in_tensorstore,
  noise,
  read_table,
  refusal,
  run_fscs,
  write_pair,
)

import fscs
from fscs.data.channels import weighted_sum
from fscs.io import checkpoints
from fscs.segmentation import finetuning
from fscs.segmentation.segmenter import Segmenter


@pytest.fixture
def finetune(init, tmp_path):
  """Arguments of a quick run on tmp_path/images, in which images and masks are."""
  (tmp_path / 'images').mkdir()
  folders = ['--images', tmp_path / 'images', '--workdir', tmp_path / 'run', '--init', init]
  return ['finetune', *folders, '--steps', 2, '--crop-size', 32, '--no-estimate', '--no-report']


def test_a_model_and_a_report_are_written(project):
  status, out, err = project.outcome
  assert status == 0
  assert 'zellen 0 µ.tif with zellen 0 µ_mask.png' in out
  assert 'left out: 2 (zellen 3 µ.tif, zellen 4 µ.tif)' in err
  assert len(read_table(project.run / 'losses.csv')) == project.steps
  folds = read_table(project.run / 'folds.csv')
  assert [fold['image'] for fold in folds] == [f'zellen {i} µ.tif' for i in range(3)]
  segmenter = Segmenter.load(project.run / 'model')
  assert segmenter.orientations == 1
  mean = np.mean([float(fold['iou']) for fold in folds])
  assert segmenter.expected_iou == pytest.approx(mean, abs=1e-5)
  expectation = f'IoU of about {mean:.2f}'
  assert expectation in out
  assert expectation in (project.run / 'report.html').read_text()


def test_the_channel_is_learned_from_files_as_from_arrays(finetune, init, tmp_path):
  image, labels = cells(0)
  others = [4 * noise(image.shape, seed).astype(np.uint16) for seed in (0, 1)]
  colours = np.stack([others[0], image, others[1]], axis=-1)
  tifffile.imwrite(tmp_path / 'images' / 'a.tif', colours, photometric='rgb')
  tifffile.imwrite(tmp_path / 'images' / 'a_mask.tif', labels.astype(np.uint8))
  assert run_fscs(*finetune).status == 0
  loaded = Segmenter.load(tmp_path / 'run' / 'model')
  assert np.argmax(loaded.channel) == 1
  expected = fscs.finetune([colours], [labels], init=init, steps=2, crop_size=32, estimate=False)
  assert loaded.channel == expected.channel
  probability = loaded.predict_proba(colours)
  np.testing.assert_array_equal(probability, expected.predict_proba(colours))
  grey = weighted_sum(colours, loaded.channel)
  np.testing.assert_array_equal(probability, loaded.predict_proba(grey))


def stop(*_, **__):
  raise KeyboardInterrupt


def test_a_run_that_failed_or_was_stopped_makes_room_for_another(finetune, tmp_path, monkeypatch):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  assert '--scale' in refusal([*finetune, '--scale', 0.01])
  with monkeypatch.context() as patched:
    patched.setattr(finetuning, 'finetune_and_validate', stop)
    assert run_fscs(*finetune, '--seed', 3).status == 130
  assert run_fscs(*finetune, '--seed', 4).status == 0
  assert 'seed is 4 there and 0 now' in refusal(finetune)
  monkeypatch.setattr(finetuning, 'finetune_and_validate', stop)
  again = [argument for argument in finetune if argument != '--no-report']
  assert run_fscs(*again, '--seed', 4).status == 130  # the report is free to differ


@pytest.mark.parametrize(
  ('writer', 'room', 'error', 'named'),
  [
    ((Path, 'write_bytes'), 0, full_disk, 'run'),
    ((checkpoints.ocp, 'save'), 0, full_disk_in_tensorstore, 'run/model'),
    ((Path, 'write_bytes'), 2, full_disk, 'run/losses.csv'),
  ],
)
def test_a_full_disk_is_named_and_the_same_command_works_when_there_is_room(
  finetune, tmp_path, monkeypatch, writer, room, error, named
):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  with monkeypatch.context() as patched:
    fails_after(patched, *writer, room, error)
    line = refusal(finetune)
  assert str(tmp_path / named) in line
  assert 'No space left on device' in line
  assert not list(tmp_path.glob('run/*.orbax-checkpoint-tmp'))
  assert run_fscs(*finetune).status == 0
  assert read_table(tmp_path / 'run' / 'losses.csv')


def test_too_little_room_is_said_before_anything_is_computed(finetune, tmp_path, monkeypatch):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  original = Path.write_bytes

  def write(path, content):
    if len(content) > 10_000:
      original(path, content[:10_000])
      raise full_disk()
    return original(path, content)

  monkeypatch.setattr(Path, 'write_bytes', write)
  monkeypatch.setattr(finetuning, 'finetune_and_validate', stop)
  assert 'run cannot be written: No space left on device' in refusal(finetune)
  assert {path.name for path in (tmp_path / 'run').iterdir()} <= {'.lock', 'config.json'}


def test_images_that_the_initialisation_knows_are_named(finetune, init, tmp_path, monkeypatch):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  run = tmp_path / 'meta-trained'
  run.mkdir()
  (run / 'init').symlink_to(init)
  facts = {'command': 'meta_train', 'config': {'sources': [str(tmp_path / 'images')]}}
  (run / 'config.json').write_text(json.dumps(facts))
  monkeypatch.setattr(finetuning, 'finetune_and_validate', stop)
  (note,) = [line for line in run_fscs(*finetune, '--init', run).err.splitlines() if 'note' in line]
  assert str(tmp_path / 'images') in note


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    (['--images', '{}/nowhere'], ['nowhere']),
    (['--masks', '{}/others'], ['a.tif', 'b_mask.tif']),
    (['--workdir', '{}/images/a.tif'], ['a.tif', '--workdir']),
    (['--init', '{}/nowhere'], ['nowhere', '--init']),
    (['--init', '{}/nowhere.pt'], ['nowhere.pt']),
    (['--steps', 0], ['--steps']),
    (['--scale', -1], ['--scale']),
    (['--crop-size', 30], ['--crop-size']),
    (['--seed', 2**32], ['--seed']),
    (['--channel', 4], ['images', 'no image']),
  ],
)
def test_what_cannot_be_used_is_named_in_one_line(finetune, tmp_path, options, words):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  (tmp_path / 'others').mkdir()
  write_pair(tmp_path / 'others', tmp_path / 'others', 'b', 0)
  (tmp_path / 'others' / 'b.tif').unlink()
  line = refusal([*finetune, *(str(option).format(tmp_path) for option in options)])
  assert all(word in line for word in words), line


def test_results_can_be_corrected_and_learned_from(project, finetune, tmp_path):
  """Segment, correct the labels of one image, and learn from the results."""
  out = tmp_path / 'out'
  arguments = ('--model', project.run, '--images', project.images, '--out', out)
  assert run_fscs('predict', *arguments).status == 0
  image, labels = cells(3)
  tifffile.imwrite(out / 'zellen 3 µ_labels.tif', labels.astype(np.uint16))  # corrected
  tifffile.imwrite(tmp_path / 'images' / 'zellen 3 µ.tif', image)
  outcome = run_fscs(*finetune, '--masks', out)
  assert outcome.status == 0
  line = next(line for line in outcome.out.splitlines() if 'zellen 3' in line)
  assert 'with zellen 3 µ_labels.tif, rather than' in line


def test_classes_are_noticed_and_one_can_be_chosen(finetune, tmp_path):
  for seed in range(2):
    image, labels = cells(seed)
    classes = np.array([0, 128, 255, 255], np.uint8)[np.where(labels > 0, 1 + labels % 2, 0)]
    tifffile.imwrite(tmp_path / 'images' / f'{seed}.tif', image)
    tifffile.imwrite(tmp_path / 'images' / f'{seed}_mask.tif', classes)
  outcome = run_fscs(*finetune)
  assert 'the same values mark objects in every mask (128, 255)' in outcome.err
  again = [*finetune, '--workdir', tmp_path / 'other', '--foreground', 255]
  assert 'same values' not in run_fscs(*again).err
  line = refusal([*finetune, '--workdir', tmp_path / 'third', '--foreground', 7])
  assert '--foreground' in line


def test_an_image_without_objects_is_an_example_of_background(finetune, tmp_path):
  write_pair(tmp_path / 'images', tmp_path / 'images', 'a', 0)
  empty = cells(1, count=0)[0]
  tifffile.imwrite(tmp_path / 'images' / 'empty.tif', empty)
  tifffile.imwrite(tmp_path / 'images' / 'empty_mask.tif', np.zeros(empty.shape, np.uint8))
  outcome = run_fscs(*finetune)
  assert outcome.status == 0
  assert 'no object is marked: all is background: 1 (empty.tif)' in outcome.err
  assert 'annotated: 2 images' in outcome.out


def test_masks_without_any_object_and_wrong_axes_are_refused_in_one_line(finetune, tmp_path):
  image, labels = cells(0)
  tifffile.imwrite(tmp_path / 'images' / 'a.tif', image)
  tifffile.imwrite(tmp_path / 'images' / 'a_mask.tif', np.zeros(labels.shape, np.uint8))
  assert 'no object is marked in any mask' in refusal(finetune)
  outcome = run_fscs(*finetune, '--axes', 'CY')
  assert outcome.status == 2
  assert outcome.err.count("axes is 'CY'") == 1
  (tmp_path / 'images' / 'a_mask.tif').unlink()
  assert '--masks' in refusal(finetune)
