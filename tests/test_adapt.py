"""The inner loop and the Reptile step: two ways to the same answer."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import WIDTHS, disk_set

from fscs.augmentation import augment, make_augment
from fscs.data.bank import make_bank
from fscs.meta.episodes import sample_episode
from fscs.data.preprocessing import prepare
from fscs.errors import InputError
from fscs.losses import bce_dice, weighted_bce
from fscs.meta.inner_loop import InnerLoop
from fscs.meta.reptile import (
  init_state,
  make_meta_block,
  make_validation,
  meta_step,
  reptile_gradient,
)
from fscs.models import init_params, make_model
from fscs.optimizers import inner_optimizer

SHAPE = {'num_crops': 2, 'crop_size': 32}


@pytest.fixture(scope='module')
def bank():
  sets = [prepare(disk_set(code, num_images=3)) for code in ('B5', 'EM', 'TNBC')]
  return make_bank(sets, crop_size=32, strides=[(8, 8)] * 3, min_foreground=20)


@pytest.fixture(scope='module')
def params():
  return init_params(make_model('fcrn', widths=WIDTHS['fcrn']), jax.random.key(0))


def inner_loop(objective='combined', num_steps=3, traces=None, **changes):
  """The loop under test; every tracing of the network is noted in `traces`."""
  model = make_model('fcrn', widths=WIDTHS['fcrn'])

  def apply(params, images):
    if traces is not None:
      traces.append(images.shape)
    return model.apply({'params': params}, images)

  return InnerLoop(apply, objective, inner_optimizer(), num_steps, **changes)


def assert_displacements_close(start, one, other):
  """Relative L2 distance of the two ways travelled: Adam turns rounding into small differences."""
  leaves = (jax.tree.leaves(tree) for tree in (start, one, other))
  start, one, other = (np.concatenate([np.ravel(leaf) for leaf in tree]) for tree in leaves)
  assert np.linalg.norm(one - other) < 1e-2 * np.linalg.norm(one - start)


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'objective': 'bce', 'augment': make_augment('strong')},
    {'objective': 'bce', 'pixel_loss': bce_dice},
  ],
  ids=['paper', 'augmentation', 'bce_dice'],
)
def test_vmapped_adaptation_equals_a_loop_over_tasks(bank, params, changes):
  draw = lambda source: sample_episode(jax.random.key(source), bank, source, **SHAPE)  # noqa: E731
  episodes = [draw(source) for source in range(3)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes)
  keys = jax.random.split(jax.random.key(7), 3)
  inner = jax.jit(inner_loop(**changes))
  together, _ = jax.jit(jax.vmap(inner_loop(**changes), (None, 0, 0)))(params, stacked, keys)
  for i, episode in enumerate(episodes):
    alone, _ = inner(params, episode, keys[i])
    of_task = jax.tree.map(operator.itemgetter(i), together)
    assert_displacements_close(params, of_task, alone)


def test_the_key_decides_how_crops_are_augmented_at_every_step(bank, params):
  episode = sample_episode(jax.random.key(0), bank, 0, **SHAPE)
  still = optax.set_to_zero()  # so that losses differ by the crops alone
  inner = jax.jit(dataclasses.replace(inner_loop('bce', augment=augment), optimizer=still))
  one, again, other = (inner(params, episode, jax.random.key(i))[1].loss for i in (0, 0, 1))
  np.testing.assert_array_equal(one, again)
  assert len({*one.tolist(), *other.tolist()}) == 6


def test_augmentation_without_a_key_is_refused(bank, params):
  episode = sample_episode(jax.random.key(1), bank, 0, **SHAPE)
  with pytest.raises(InputError, match='needs a random key'):
    inner_loop(augment=make_augment('mild'))(params, episode)


def test_adaptation_lowers_the_loss(bank, params):
  episode = sample_episode(jax.random.key(0), bank, 0, **SHAPE)
  _, history = jax.jit(inner_loop('bce', num_steps=20))(params, episode)
  assert history.loss.shape == (20,)
  assert history.loss[-1] < history.loss[0]


def test_reptile_gradient_is_the_mean_displacement():
  params = {'w': jnp.array([1.0, 2.0])}
  adapted = {'w': jnp.array([[2.0, 2.0], [4.0, 0.0]])}
  np.testing.assert_allclose(reptile_gradient(params, adapted)['w'], [-2.0, 1.0])


@pytest.mark.parametrize(('meta_lr', 'expected'), [(1.0, [3.0, 1.0]), (0.5, [2.0, 1.5])])
def test_meta_step_moves_towards_the_mean_of_the_adapted(meta_lr, expected):
  outer = optax.sgd(meta_lr)
  state = init_state({'w': jnp.array([1.0, 2.0])}, outer)
  gradient = reptile_gradient(state.params, {'w': jnp.array([[2.0, 2.0], [4.0, 0.0]])})
  state = meta_step(state, gradient, outer=outer)
  np.testing.assert_allclose(state.params['w'], expected)
  assert state.step == 1


def test_tasks_at_once_equal_tasks_one_after_another(bank, params):
  outer, key = optax.sgd(1.0), jax.random.key(1)
  ends = []
  for axis in ('vmap', 'map'):
    block = make_meta_block(inner_loop(), outer, num_epochs=2, task_axis=axis, **SHAPE)
    ends.append(block(init_state(params, outer), bank, key))
  assert_displacements_close(params, ends[0][0].params, ends[1][0].params)
  assert ends[0][1].loss.shape == (2, 3, 3)


def test_two_blocks_equal_one_bit_for_bit_and_compile_once(bank, params):
  outer, key, traces = optax.sgd(1.0), jax.random.key(1), []
  block = make_meta_block(inner_loop('bce', traces=traces), outer, num_epochs=2, **SHAPE)
  state, _ = block(init_state(params, outer), bank, key)
  first = len(traces)
  state, _ = block(state, bank, key)
  assert len(traces) == first > 0
  whole = make_meta_block(inner_loop('bce'), outer, num_epochs=4, **SHAPE)
  expected, _ = whole(init_state(params, outer), bank, key)
  jax.tree.map(np.testing.assert_array_equal, state, expected)


def test_validation_is_the_segmentation_loss_after_adapting_with_that_loss_alone(bank, params):
  key, inner = jax.random.key(5), inner_loop('bce')
  losses = make_validation(inner_loop('combined'), **SHAPE)(params, bank, key)
  support, query = (
    sample_episode(k, bank, 1, **SHAPE) for k in jax.random.split(jax.random.fold_in(key, 1))
  )
  adapted, _ = jax.jit(inner)(params, support)
  expected = weighted_bce(inner.apply(adapted, query.images)[0], query.masks)
  assert losses.shape == (3,)
  assert float(losses[1]) == pytest.approx(float(expected), rel=1e-3)
