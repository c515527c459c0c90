"""The recommended recipe, from training on sources to a user's images: tiny images and network."""

import dataclasses

import jax
import numpy as np
import pytest
import tifffile
from test_finetuning import cells
from toys import use_toy_data

from experiments import finetune_eval, meta_train
from experiments.common import evaluation_options, initialisations
from experiments.common.options import NetworkOptions, from_preset
from experiments.configs import PRESETS
from fscs.cli import finetune, predict
from fscs.segmentation.segmenter import Segmenter

SIZES = {
  'downscale': 1,
  'crop_size': 32,
  'min_foreground': 20,
  'widths': (4, 4, 8, 8),
  'num_crops': 2,
  'num_inner_steps': 2,
  'meta_epochs': 2,
  'block_epochs': 1,
}
LEARNING = ('optimizer', 'weight_decay', 'loss', 'augmentation')
FEW = {
  'finetune_steps': 3,
  'finetune_batch_size': 4,
  'max_test_images': 3,
  'shots': (1,),
  'selections': (1,),
}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """The workdir of a training by the recipe."""
  root = tmp_path_factory.mktemp('recipe')
  with pytest.MonkeyPatch.context() as patch:
    use_toy_data(patch)
    config = from_preset(meta_train.Config, 'recommended')
    chosen = {**SIZES, 'target': 'TNBC', 'workdir': str(root / 'run')}
    return meta_train.meta_train(dataclasses.replace(config, **chosen))


def test_training_turns_kernels_without_scaling_them(trained):
  network = NetworkOptions(arch='deep_unet', widths=SIZES['widths'], kernel_init='he')
  inits = (initialisations.RANDOM, str(trained))
  params = (initialisations.load(init, network, target='TNBC').params for init in inits)
  for before, after in zip(*map(_kernels, params), strict=True):
    assert np.linalg.norm(after) == pytest.approx(np.linalg.norm(before), rel=1e-4)
    assert np.abs(after - before).max() > 1e-3


def _kernels(params):
  return [x for x in jax.tree.leaves(params) if x.ndim == 4 and x.shape[-1] > 1]


def evaluated(trained, monkeypatch, **options):
  """The one row of an evaluation."""
  use_toy_data(monkeypatch)
  name = '-'.join(['evaluation', *options])
  config = evaluation_options.defaults([f'--init={trained}'])
  workdir = str(trained.parent / name)
  config = dataclasses.replace(config, **{**FEW, 'workdir': workdir, **options})
  finetune_eval.finetune_eval(config)
  (line,) = (trained.parent / name / 'results.csv').read_text().splitlines()[1:]
  return config, line


def test_an_evaluation_adapts_and_predicts_as_the_recipe_has_it(trained, monkeypatch):
  config, line = evaluated(trained, monkeypatch)
  for name in ('arch', *LEARNING, 'diameter_range', 'statistics', 'orientations'):
    assert getattr(config, name) == PRESETS['recommended'][name]
  for other in ({'statistics': 'image'}, {'orientations': 1}):
    _, changed = evaluated(trained, monkeypatch, **other)
    assert _scores(changed) != _scores(line)


def _scores(line):
  *values, _ = line.split(',')  # the last is seconds
  return values


def test_its_initialisation_serves_own_images(trained, tmp_path):
  (tmp_path / 'images').mkdir()
  for seed in range(2):
    image, labels = cells(seed)
    tifffile.imwrite(tmp_path / 'images' / f'{seed}.tif', image)
    tifffile.imwrite(tmp_path / 'images' / f'{seed}_mask.tif', labels.astype(np.uint8))
  paths = {'images': str(tmp_path / 'images'), 'workdir': str(tmp_path / 'run')}
  sizes = {'steps': 2, 'crop_size': 32, 'report': False}
  finetune.finetune(finetune.Config(init=str(trained), **paths, **sizes))
  segmenter = Segmenter.load(tmp_path / 'run/model')
  assert (segmenter.architecture, segmenter.widths) == ('deep_unet', SIZES['widths'])
  assert segmenter.orientations == 8
  assert '"learning_rate": 0.01' in (tmp_path / 'run/config.json').read_text()
  found = {}
  for orientations in (None, 1):
    out = tmp_path / f'out-{orientations}'
    options = {'out': str(out), 'orientations': orientations, 'report': False}
    paths = {'model': str(tmp_path / 'run'), 'images': str(tmp_path / 'images')}
    predict.predict(predict.Config(**paths, **options))
    found[orientations] = tifffile.imread(out / '0_probability.tif')
  image = tifffile.imread(tmp_path / 'images/0.tif')
  np.testing.assert_allclose(found[None], segmenter.predict(image), atol=1e-6)
  upright = dataclasses.replace(segmenter, orientations=1)
  np.testing.assert_allclose(found[1], upright.predict(image), atol=1e-6)
  assert np.abs(found[1] - found[None]).max() > 1e-4
