"""Supervised pre-training as a command."""

import dataclasses

import numpy as np
import pytest
from experiment_helpers import last_params, small_pretraining
from helpers import assert_trees_equal, fails_after, full_disk_in_tensorstore, read_table

from experiments.pretrain import pretrain
from fscs.errors import InputError
from fscs.io import checkpoints
from fscs.io.checkpoints import Checkpoints, load_init

pytestmark = pytest.mark.usefixtures('disk_sets')


def test_resumed_equals_uninterrupted_bit_for_bit_and_the_best_checkpoint_is_kept():
  whole = pretrain(small_pretraining(workdir='whole'))
  pretrain(small_pretraining(pretrain_steps=3, workdir='parts'))
  parts = pretrain(small_pretraining(workdir='parts'))
  assert_trees_equal(last_params(parts), last_params(whole))
  assert (parts / 'figures.csv').read_text() == (whole / 'figures.csv').read_text()
  rows = read_table(whole / 'figures.csv')
  best = min(rows, key=lambda row: float(row['validation_loss']))
  with Checkpoints(whole / 'checkpoints', read_only=True) as checkpoints:
    assert checkpoints.best_step == int(best['step'])
    expected = checkpoints.restore_params(checkpoints.best_step)
  params, metadata = load_init(whole / 'init')
  assert_trees_equal(params, expected)
  assert metadata['sources'] == ['B5', 'B39', 'ssTEM', 'EM']


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(monkeypatch):
  config = small_pretraining(workdir='run')
  with monkeypatch.context() as patch, pytest.raises(OSError, match='No space') as raised:
    Checkpointer = checkpoints.ocp.training.Checkpointer
    fails_after(patch, Checkpointer, 'save', 1, full_disk_in_tensorstore)
    pretrain(config)
  assert raised.value.filename.endswith('run/checkpoints/6')
  run = pretrain(config)
  assert [row['step'] for row in read_table(run / 'figures.csv')] == ['3', '6']
  assert load_init(run / 'init')


@pytest.mark.slow
def test_interrupted_with_every_option_of_the_recipe_equals_uninterrupted(monkeypatch):
  config = small_pretraining(
    optimizer='muon',
    kernel_norms='kept',
    loss='bce_dice',
    augmentation='mild',
    batches='source',
    pretrain_schedule='cosine',
    workdir='parts',
  )
  whole = pretrain(dataclasses.replace(config, workdir='whole'))
  save = Checkpoints.save

  def save_and_interrupt(*arguments, **scalars):
    save(*arguments, **scalars)
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(Checkpoints, 'save', save_and_interrupt)
    pretrain(config)
  parts = pretrain(config)
  assert_trees_equal(last_params(parts), last_params(whole))
  with pytest.raises(InputError, match='pretrain_steps is 6 there and 8 now'):
    pretrain(dataclasses.replace(config, pretrain_steps=8))  # the schedule has ended


def test_validation_keeps_its_steps_after_a_stop():
  pretrain(small_pretraining(pretrain_steps=4, workdir='parts'))
  parts = pretrain(small_pretraining(pretrain_steps=8, workdir='parts'))
  assert [int(row['step']) for row in read_table(parts / 'figures.csv')] == [3, 4, 6, 8]


def test_a_loss_that_is_not_finite_stops_and_says_where():
  with pytest.raises(InputError, match=r'loss became non-finite .* B5 .* Lower the learning rate'):
    pretrain(small_pretraining(pretrain_lr=1e38, workdir='run'))


def test_crops_of_validation_are_the_same_at_every_step():
  losses = []
  for steps in (1, 2):
    config = small_pretraining(
      pretrain_lr=1e-30, weight_decay=0.0, pretrain_steps=steps, pretrain_block_steps=1
    )
    workdir = pretrain(dataclasses.replace(config, workdir=f'run{steps}'))
    losses += [float(row['validation_loss']) for row in read_table(workdir / 'figures.csv')]
  np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
