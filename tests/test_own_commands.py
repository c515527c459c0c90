"""finetune, predict and evaluate on folders, as a microscopist would use them; a tiny network."""

import csv
import json

import jax
import numpy as np
import pytest
import roifile
import tifffile
from command_line import refusal_of
from PIL import Image
from test_finetuning import cells

from fscs.cli import evaluate, finetune, predict
from fscs.errors import InputError
from fscs.io.checkpoints import save_init
from fscs.models import init_params, make_model
from fscs.segmentation import tiling as blocks
from fscs.segmentation.segmenter import Segmenter

OPTIONS = {
  'steps': 30,
  'crop_size': 32,
  'learning_rate': 2e-2,
  'optimizer': 'adam',
  'orientations': 1,
}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """images/ with masks/ of three of them, init/ of a tiny network, and a fine-tuned run/."""
  root = tmp_path_factory.mktemp('own')
  for name in ('images', 'masks', 'truth'):
    (root / name).mkdir()
  for index in range(5):
    image, labels = cells(index)
    tifffile.imwrite(root / 'images' / f'zellen {index} µ.tif', image)
    folder, end = ('masks', '_mask.png') if index < 3 else ('truth', '.png')
    Image.fromarray(labels.astype(np.uint8)).save(root / folder / f'zellen {index} µ{end}')
  model = make_model('fcrn', widths=(8, 8, 16, 16), kernel_init='he')
  params = init_params(model, jax.random.key(0))
  save_init(root / 'init', params, {'architecture': 'fcrn', 'diameter_range': (16.0, 16.0)})
  finetune.finetune(config(root))
  return root


def rows_of(path):
  with path.open(newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def config(root, **options):
  paths = {name: str(root / name) for name in ('images', 'masks', 'init')}
  return finetune.Config(**{**paths, 'workdir': str(root / 'run'), **OPTIONS, **options})


def prediction(root, **options):
  paths = {'model': str(root / 'run'), 'images': str(root / 'images'), 'out': str(root / 'out')}
  return predict.Config(**{**paths, **options})


def test_matches_are_shown_and_what_to_expect(folders, capsys):
  finetune.finetune(config(folders))
  printed = capsys.readouterr()
  shown = printed.out
  assert 'zellen 0 µ.tif with zellen 0 µ_mask.png' in shown
  assert 'note: images without a mask, left out: 2 (zellen 3 µ.tif, zellen 4 µ.tif)' in printed.err
  assert 'annotated: 3 images; objects cover ' in shown
  assert 'expect an IoU of about 0.' in shown
  assert (folders / 'run' / 'trials.png').stat().st_size > 1000
  assert 'expect an IoU of about 0.' in (folders / 'run' / 'report.html').read_text()
  rows = rows_of(folders / 'run' / 'losses.csv')
  assert len(rows) == OPTIONS['steps']


def test_every_image_gets_its_files_and_scores(folders, capsys):
  out = predict.predict(prediction(folders))
  image = tifffile.imread(folders / 'images' / 'zellen 4 µ.tif')
  files = {name: out / f'zellen 4 µ_{name}' for name in ('labels.tif', 'mask.tif')}
  labels, mask = (tifffile.imread(path) for path in files.values())
  probability = tifffile.imread(out / 'zellen 4 µ_probability.tif')
  assert labels.shape == mask.shape == probability.shape == image.shape
  segmenter = Segmenter.load(folders / 'run' / 'model')
  assert segmenter.orientations == OPTIONS['orientations']
  np.testing.assert_array_equal(labels, segmenter.labels(image))
  np.testing.assert_array_equal(mask, (probability > segmenter.splitting.threshold) * 255)
  rows = rows_of(out / 'zellen 4 µ_objects.csv')
  assert [int(row['area']) for row in rows] == list(np.bincount(labels.ravel())[1:])
  assert float(rows[0]['intensity_mean']) == pytest.approx(image[labels == 1].mean(), rel=1e-4)
  rois = roifile.roiread(out / 'zellen 4 µ_rois.zip')
  assert len(rois) == len(rows)
  with Image.open(out / 'zellen 4 µ_overlay.png') as overlay:
    assert overlay.size == image.shape[::-1]
  everything = rows_of(out / 'objects.csv')
  assert {row['file'] for row in everything} >= {'zellen 0 µ.tif', 'zellen 4 µ.tif'}
  evaluate.evaluate(evaluate.Config(str(out), str(folders / 'truth')))
  summary = json.loads((out / 'summary.json').read_text())
  assert summary['iou'] > 0.5


def test_a_large_image_block_by_block_is_like_the_whole(folders, tmp_path, monkeypatch):
  image = np.block([[cells(10 * row + column)[0] for column in range(7)] for row in range(7)])
  (tmp_path / 'in').mkdir()
  tifffile.imwrite(tmp_path / 'in' / 'large.tif', image)
  paths = {'images': str(tmp_path / 'in')}
  whole = predict.predict(prediction(folders, **paths, out=str(tmp_path / 'whole')))
  monkeypatch.setattr(blocks, 'LARGEST_WHOLE', 1000)
  monkeypatch.setattr(blocks, 'LABEL_BLOCK', 256)
  monkeypatch.setattr(blocks.tiles, 'TILE', 384)
  parts = predict.predict(prediction(folders, **paths, out=str(tmp_path / 'parts')))
  one, other = (tifffile.imread(out / 'large_mask.tif') > 0 for out in (whole, parts))
  assert (one & other).sum() / (one | other).sum() > 0.9
  labels, blockwise = (tifffile.imread(out / 'large_labels.tif') for out in (whole, parts))
  assert blockwise.shape == labels.shape
  assert abs(int(blockwise.max()) - int(labels.max())) <= 0.1 * labels.max()
  np.testing.assert_array_equal(np.unique(blockwise), np.arange(blockwise.max() + 1))
  rows = rows_of(parts / 'large_objects.csv')
  areas = np.bincount(blockwise.ravel(), minlength=len(rows) + 1)[1:]
  same = [int(row['area']) == areas[int(row['label']) - 1] for row in rows]
  assert np.mean(same) > 0.95
  middle = rows[len(rows) // 2]
  place = tuple(int(float(middle[f'centroid_{axis}'])) for axis in ('row', 'column'))
  assert blockwise[place] == int(middle['label'])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'images': ''}, '--images is missing'),
    ({'steps': 0}, '--steps is 0: at least 1'),
    ({'scale': -1.0}, '--scale is -1.0: a number above 0'),
    ({'crop_size': 30}, '--crop-size is 30: a multiple of 16'),
    ({'init': 'nothing'}, 'nothing: give pretrained, random'),
    ({'init': 'nothing.pt'}, r'nothing\.pt: there is no such file'),
    ({'channel': 3}, 'no image with its mask can be used'),
    ({'workdir': '{images}'}, 'images'),
  ],
)
def test_fine_tuning_that_cannot_be_done(folders, options, message):
  options = {
    k: v.format(images=folders / 'images' / 'zellen 0 µ.tif') if isinstance(v, str) else v
    for k, v in options.items()
  }
  with pytest.raises((InputError, OSError), match=message):
    finetune.finetune(config(folders, **options))


def test_a_bad_annotation_is_named_and_the_others_are_learned_from(folders, tmp_path, capsys):
  for index in range(2):
    image, labels = cells(index)
    tifffile.imwrite(tmp_path / f'{index}.tif', image)
    Image.fromarray((labels * (index > 0)).astype(np.uint8)).save(tmp_path / f'{index}_mask.png')
  finetune.finetune(
    config(folders, images=str(tmp_path), masks='', workdir=str(tmp_path / 'run'), steps=2)
  )
  lines = [line for line in capsys.readouterr().err.splitlines() if 'left out' in line]
  assert len(lines) == 1
  assert '0_mask.png' in lines[0]


@pytest.mark.parametrize(
  ('command', 'missing'),
  [('finetune', '--images is missing'), ('predict', '--model'), ('evaluate', 'give --predictions')],
)
def test_a_command_without_options_names_what_is_missing(command, missing):
  assert refusal_of(command).startswith(missing)
