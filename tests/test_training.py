"""Minibatch training on the crops of a bank."""

import numpy as np
import pytest
from helpers import (
  apply_two_layers,
  assert_trees_close,
  assert_trees_equal,
  disk_set,
  two_layer_params,
)

from fscs import devices, training
from fscs.augmentation import augment
from fscs.data.bank import make_bank
from fscs.data.preprocessing import prepare
from fscs.losses import weighted_bce
from fscs.optimizers import inner_optimizer
from fscs.training import (
  STEPS_PER_CALL,
  Recipe,
  crop_stream,
  make_loss,
  make_train,
  make_train_all,
  num_training_steps,
  source_stream,
)

CROP_SIZE = 16


@pytest.fixture(scope='module')
def bank():
  grey_set = prepare(disk_set(num_images=3, size=32))
  return make_bank([grey_set], crop_size=CROP_SIZE, strides=[(8, 8)], min_foreground=20)


@pytest.fixture(scope='module')
def params():
  return two_layer_params()


def test_a_stream_shows_every_crop_equally_often_and_is_a_prefix_of_longer_ones():
  crops = np.arange(10, 17)
  stream = crop_stream(3, crops, 4, 14)  # 56 = 8 times 7 crops
  assert stream.shape == (14, 4)
  assert (np.bincount(stream.ravel())[10:] == 8).all()
  np.testing.assert_array_equal(crop_stream(3, crops, 4, 5), stream[:5])
  assert (crop_stream(4, crops, 4, 5) != stream[:5]).any()


def test_every_batch_of_a_source_stream_is_of_one_source_and_sources_take_turns():
  sources = [np.arange(10), np.arange(10, 17), np.arange(17, 40)]
  stream = source_stream(3, sources, 4, 20)
  assert stream.shape == (20, 4)
  source = np.searchsorted([10, 17], stream, side='right')
  assert (source == source[:, :1]).all()
  rounds = source[:18, 0].reshape(6, 3)
  assert (np.sort(rounds, axis=1) == [0, 1, 2]).all()
  assert len({tuple(order) for order in rounds}) > 1
  np.testing.assert_array_equal(source_stream(3, sources, 4, 7), stream[:7])


@pytest.mark.parametrize(
  ('num_crops', 'max_steps', 'expected'),
  [(128, None, 40), (129, None, 60), (10, None, 20), (129, 7, 7)],
)
def test_epochs_are_rounded_up_to_whole_batches(num_crops, max_steps, expected):
  assert num_training_steps(num_crops, 64, 20, max_steps) == expected


def test_training_in_parts_equals_training_at_once_and_reuses_the_program(bank, params):
  traces = []

  def counted_loss(logits, masks):
    traces.append(1)
    return weighted_bce(logits, masks)

  optimizer = inner_optimizer()
  train = make_train(apply_two_layers, Recipe(optimizer, CROP_SIZE, counted_loss, augment))
  stream = crop_stream(0, np.arange(len(bank.corner)), 4, STEPS_PER_CALL + 3)
  start = (params, optimizer.init(params))
  whole, _, losses = train(*start, bank, stream)
  num_traces = len(traces)
  *part, first = train(*start, bank, stream[:5])
  part, _, second = train(*part, bank, stream[5:], 5)
  assert losses.shape == (len(stream),)
  np.testing.assert_array_equal(losses, np.concatenate([first, second]))
  assert_trees_equal(whole, part)
  _, _, other = train(*start, bank, stream[:2], seed=2**32 - 1)
  assert (other != losses[:2]).all()  # the same crops in other augmentations
  assert len(traces) == num_traces


@pytest.mark.parametrize('axis', ['map', 'vmap'])
def test_training_on_several_streams_equals_one_after_the_other(bank, params, axis, monkeypatch):
  over_tasks = devices.over_tasks
  monkeypatch.setattr(training, 'over_tasks', lambda f, _, *args: over_tasks(f, axis, *args))
  optimizer = inner_optimizer(1e-2)
  recipe = Recipe(optimizer, CROP_SIZE)
  crops = np.arange(len(bank.corner))
  streams = [crop_stream(i, crops, 4, steps) for i, steps in enumerate((3, STEPS_PER_CALL + 2))]
  together = make_train_all(apply_two_layers, recipe)(params, bank, streams)
  train = make_train(apply_two_layers, recipe)
  for stream, (trained, losses) in zip(streams, together, strict=True):
    alone, _, expected = train(params, optimizer.init(params), bank, stream)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert_trees_close(trained, alone, rtol=1e-3, atol=1e-4)


def test_several_streams_of_the_same_shapes_are_compiled_once(bank, params):
  traces = []

  def apply(params, images):
    traces.append(images.shape)
    return apply_two_layers(params, images)

  train_all = make_train_all(apply, Recipe(inner_optimizer(1e-2), CROP_SIZE))
  streams = [crop_stream(seed, np.arange(len(bank.corner)), 4, 3) for seed in range(2)]
  train_all(params, bank, streams)
  num_traces = len(traces)
  train_all(params, bank, streams[::-1])
  assert len(traces) == num_traces


def test_the_mean_loss_is_that_of_the_batches(bank, params):
  stream = crop_stream(0, np.arange(len(bank.corner)), 4, 3)
  mean = make_loss(apply_two_layers, crop_size=CROP_SIZE)(params, bank, stream)
  frozen = inner_optimizer(0.0)
  train = make_train(apply_two_layers, Recipe(frozen, CROP_SIZE))
  _, _, losses = train(params, frozen.init(params), bank, stream)
  assert float(mean) == pytest.approx(losses.mean(), rel=1e-5)
