"""What training on sources is given: their sizes, and batches of one source each."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments import evaluation_options, finetune_eval, pretrain, results, sources
from experiments.bounds import check_bounds
from experiments.options import from_preset
from fscs.errors import InputError


@pytest.fixture(scope='module')
def config():
  simulated = {'data': 'simulated', 'simulated_images': 4, 'target': 'TNBC'}
  return dataclasses.replace(from_preset(pretrain.Config, 'smoke'), **simulated)


@pytest.fixture(scope='module')
def as_they_are(config):
  return sources.load(config, ('B39', 'ssTEM'))


def test_sources_of_small_objects_can_be_enlarged(config, as_they_are):
  wanted = (2 * as_they_are.diameter_range[0], 1000.0)
  resized = sources.load(dataclasses.replace(config, diameter_range=wanted), ('B39', 'ssTEM'))
  assert resized.diameter_range == wanted
  assert resized.fingerprints == as_they_are.fingerprints
  assert len(resized.training.pixels) != len(as_they_are.training.pixels)
  foreground = [float(bank.training.masks.mean()) for bank in (as_they_are, resized)]
  assert 0.3 < foreground[1] / foreground[0] < 3


def test_batches_of_one_source_hold_no_crop_of_another(config, as_they_are):
  chosen = dataclasses.replace(config, batches='source', pretrain_batch_size=3)
  bank = as_they_are.training
  stream = pretrain._training_stream(bank, chosen, 8)
  of_source = np.searchsorted(np.asarray(bank.first), stream, side='right') - 1
  assert stream.shape == (8, 3)
  assert (of_source == of_source[:, :1]).all()
  assert sorted(of_source[:2, 0]) == [0, 1]
  mixed = pretrain._training_stream(bank, config, 8)
  assert mixed.shape == (8, config.pretrain_batch_size)


def test_a_run_says_how_wide_its_objects_were(config, tmp_path, capsys):
  from fscs.checkpoint import load_init

  chosen = dataclasses.replace(
    config, sources=('B39', 'ssTEM'), diameter_range=(14.0, 20.0), workdir=str(tmp_path / 'run')
  )
  chosen = dataclasses.replace(
    chosen, loss='bce_dice', augmentation='strong', pretrain_schedule='cosine', batches='source'
  )
  workdir = pretrain.pretrain(chosen)
  params, metadata = load_init(workdir / 'init')
  assert metadata['diameter_range'] == [14, 20]
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
  evaluation = evaluation_options.defaults([f'--init={workdir}'])
  assert evaluation.diameter_range == (14, 20)
  evaluation = dataclasses.replace(
    evaluation, shots=(1,), selections=(1,), widths=None, workdir=str(tmp_path / 'evaluation')
  )
  (row,) = results.read_all(finetune_eval.finetune_eval(evaluation))
  assert 0 <= row.iou <= 1
  assert '--diameter-range' not in capsys.readouterr().err
  evaluation_options.note_other_sizes(dataclasses.replace(evaluation, diameter_range=None))
  expected = 'learned from objects resized to 14 to 20 pixels, and is tried on objects as they are'
  assert expected in capsys.readouterr().err


def test_a_range_of_diameters_begins_above_zero_and_rises(config):
  for wrong in ((0, 10), (20, 10)):
    with pytest.raises(InputError, match=r'--diameter-range is \(.*: two numbers above 0'):
      check_bounds(dataclasses.replace(config, diameter_range=wrong))
