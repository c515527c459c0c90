"""Meta-training as a command: what it keeps, how it goes on, what it refuses."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from experiment_helpers import last_params, small_meta_training
from helpers import (
  assert_trees_equal,
  fails_after,
  full_disk,
  full_disk_in_tensorstore,
  read_table,
)
from matplotlib.figure import Figure
from tensorboardX.record_writer import RecordWriter

from experiments import meta_train as module
from experiments.common import initialisations
from experiments.meta_train import meta_train
from fscs.errors import InputError
from fscs.io import checkpoints
from fscs.io.checkpoints import Checkpoints, load_init
from fscs.io.workdirs import CONFIG_FILE

pytestmark = pytest.mark.usefixtures('disk_sets')


@pytest.fixture
def run(meta_trained, tmp_path) -> Path:
  """A copy of a finished run, for tests that go on with it or change it."""
  return Path(shutil.copytree(meta_trained, tmp_path / 'runs' / meta_trained.name))


def interrupt_after_first_checkpoint(patch):
  save = Checkpoints.save

  def save_and_interrupt(*arguments, **scalars):
    save(*arguments, **scalars)
    raise KeyboardInterrupt

  patch.setattr(Checkpoints, 'save', save_and_interrupt)


def test_a_run_keeps_losses_configuration_pictures_and_its_initialisation(meta_trained):
  rows = read_table(meta_trained / 'figures.csv')
  assert [int(row['step']) for row in rows] == [1, 2, 3, 4]
  assert {'loss/B5', 'segmentation/EM', 'entropy/B39', 'validation/ssTEM'} <= set(rows[0])
  assert not any('TNBC' in name for name in rows[0])  # the target
  assert rows[0]['validation_loss'] == ''
  assert float(rows[1]['validation_loss']) > 0  # after each block
  content = json.loads((meta_trained / CONFIG_FILE).read_text())
  assert content['config']['target'] == 'TNBC'
  assert content['versions']['jax'] == jax.__version__
  assert set(content['data_fingerprints']) == {'B5', 'B39', 'ssTEM', 'EM'}
  for name in ('crops.png', 'losses.png'):
    assert (meta_trained / name).read_bytes().startswith(b'\x89PNG')
  assert list((meta_trained / 'tensorboard').iterdir())
  params, metadata = load_init(meta_trained / 'init')
  assert_trees_equal(params, last_params(meta_trained))
  assert metadata['architecture'] == 'fcrn'
  assert metadata['sources'] == ['B5', 'B39', 'ssTEM', 'EM']


def test_resumed_equals_uninterrupted_bit_for_bit(meta_trained):
  meta_train(small_meta_training(meta_epochs=2, workdir='parts'))
  parts = meta_train(small_meta_training(workdir='parts'))
  assert_trees_equal(last_params(parts), last_params(meta_trained))
  assert (parts / 'figures.csv').read_text() == (meta_trained / 'figures.csv').read_text()


@pytest.mark.slow
def test_interrupted_with_every_option_of_the_recipe_equals_uninterrupted(monkeypatch):
  config = small_meta_training(
    objective='bce',
    optimizer='muon',
    kernel_norms='kept',
    loss='bce_dice',
    augmentation='mild',
    meta_schedule='linear',
    workdir='parts',
  )
  whole = meta_train(dataclasses.replace(config, workdir='whole'))
  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    interrupt_after_first_checkpoint(patch)
    meta_train(config)
  parts = meta_train(config)
  assert_trees_equal(last_params(parts), last_params(whole))
  assert (parts / 'figures.csv').read_text() == (whole / 'figures.csv').read_text()
  with pytest.raises(InputError, match='meta_epochs is 4 there and 8 now'):
    meta_train(dataclasses.replace(config, meta_epochs=8))  # the schedule has ended


@pytest.mark.parametrize(
  ('writer', 'room', 'error', 'named'),
  [
    ((Figure, 'savefig'), 0, full_disk, 'crops.png'),
    ((RecordWriter, 'write'), 9, full_disk, 'tensorboard'),
    ((checkpoints.ocp.training.Checkpointer, 'save'), 1, full_disk_in_tensorstore, 'checkpoints/4'),
    ((checkpoints.ocp, 'save'), 0, full_disk_in_tensorstore, 'init'),
  ],
)
def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(
  meta_trained, monkeypatch, writer, room, error, named
):
  config = small_meta_training(workdir='run')
  with monkeypatch.context() as patch, pytest.raises(OSError, match='No space') as raised:
    fails_after(patch, *writer, room, error)
    meta_train(config)
  assert Path(raised.value.filename) in (Path('run', named), Path('run', named).absolute())
  meta_train(config)
  assert_trees_equal(last_params(Path('run')), last_params(meta_trained))
  assert Path('run', 'figures.csv').read_text() == (meta_trained / 'figures.csv').read_text()


def test_a_run_of_version_0_1_goes_on(run):
  path = run / CONFIG_FILE
  content = json.loads(path.read_text())
  content['config'] |= {'stretch': False, 'meta_epochs': 2}
  content |= {'key': [0, 0], 'versions': {**content['versions'], 'fscs': '0.1.0'}}
  path.write_text(json.dumps(content))
  shutil.rmtree(run / 'checkpoints' / '4')
  assert meta_train(small_meta_training(workdir=str(run))) == run
  assert [row['step'] for row in read_table(run / 'figures.csv')] == list('1234')


def test_a_start_gives_the_parameters_before_the_first_meta_epoch(meta_trained):
  start = small_meta_training(start=str(meta_trained), meta_lr=1e-30, meta_epochs=2, workdir='next')
  assert_trees_equal(last_params(meta_train(start)), last_params(meta_trained))


def test_what_a_start_has_learned_from_is_not_forgotten(run):
  changes = {'target': 'none', 'objective': 'bce', 'sources': ('TNBC',), 'meta_epochs': 2}
  config = small_meta_training(start=str(run), workdir='next', **changes)
  begun = meta_train(config)
  for init in ('next', 'next/init'):
    for target in ('EM', 'TNBC'):
      with pytest.raises(InputError, match=f'{init} has learned from {target}'):
        initialisations.load(init, small_meta_training(), target=target)
  run.rename('moved')
  assert meta_train(config) == begun  # which does without its start
  facts = initialisations.learned_before('next', Path('last'))
  assert facts == {'learned_before': ['TNBC', 'B5', 'B39', 'ssTEM', 'EM']}


def test_a_workdir_of_another_configuration_is_refused(run):
  before = (run / CONFIG_FILE).read_text()
  with pytest.raises(InputError, match=r'inner_lr is 0\.001 there and 0\.01 now'):
    meta_train(small_meta_training(inner_lr=0.01, workdir=str(run)))
  assert (run / CONFIG_FILE).read_text() == before


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'sources': ('B5', 'TNBC')}, 'TNBC, which is the target'),
    ({'sources': ('B5', 'B5')}, 'B5 is given twice'),
    ({'sources': ('B5',), 'objective': 'combined'}, 'needs two sources'),
    ({'crop_size': 128}, 'crops of 128 x 128 pixels are larger than the images of 64 x 64'),
    ({'min_foreground': 5000}, 'B5: no crop .* lower min_foreground'),
    ({'start': 'RUN', 'widths': (4, 4, 4, 4)}, 'another network'),
    ({'start': 'RUN', 'target': 'EM'}, 'has learned from EM'),
    ({'start': 'nowhere'}, 'nowhere: no such folder'),
  ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
  meta_trained, changes, message
):
  if changes.get('start') == 'RUN':
    changes = {**changes, 'start': str(meta_trained)}
  with pytest.raises(InputError, match=message):
    meta_train(small_meta_training(workdir='next', **changes))
  assert not Path('next').exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(run, monkeypatch):
  good = last_params(run)
  losses = np.array([0.1, np.nan, 0.1, 0.1])
  with monkeypatch.context() as patch:
    patch.setattr(module, 'make_validation', lambda *_, **__: jax.jit(lambda *_: losses))
    with pytest.raises(InputError, match=r'validation loss of source B39 .* meta-epoch 6'):
      meta_train(small_meta_training(meta_epochs=8, workdir=str(run)))
  path = run / CONFIG_FILE
  path.write_text(path.read_text().replace('"inner_lr": 0.001', '"inner_lr": 1e+38'))
  with pytest.raises(InputError, match=r'segmentation.* loss of source B5 .* meta-epoch 5'):
    meta_train(small_meta_training(meta_epochs=8, inner_lr=1e38, workdir=str(run)))
  assert_trees_equal(last_params(run), good)
