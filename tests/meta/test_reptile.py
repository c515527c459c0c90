"""The outer loop."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import (
  REPOSITORY,
  apply_two_layers,
  assert_trees_close,
  assert_trees_equal,
  disk_set,
  displacement,
  two_layer_params,
)

from fscs.data.bank import make_bank
from fscs.data.preprocessing import prepare
from fscs.devices import task_mesh
from fscs.errors import InputError
from fscs.losses import weighted_bce
from fscs.meta.episodes import sample_episode
from fscs.meta.inner_loop import InnerLoop
from fscs.meta.reptile import (
  init_state,
  make_meta_block,
  make_validation,
  meta_step,
  reptile_gradient,
)
from fscs.optimizers import inner_optimizer

SHAPE = {'num_crops': 2, 'crop_size': 32}
OUTER = optax.sgd(1.0)
INNER = InnerLoop(apply_two_layers, 'bce', inner_optimizer(), 3)


@pytest.fixture(scope='module')
def bank():
  sets = [prepare(disk_set(code, num_images=3)) for code in ('B5', 'EM', 'TNBC')]
  return make_bank(sets, crop_size=32, strides=[(8, 8)] * 3, min_foreground=20)


@pytest.fixture(scope='module')
def params():
  return two_layer_params()


@pytest.mark.parametrize(('meta_lr', 'expected'), [(1.0, [3.0, 1.0]), (0.5, [2.0, 1.5])])
def test_a_reptile_step_solved_by_hand(meta_lr, expected):
  outer = optax.sgd(meta_lr)
  state = init_state({'w': jnp.array([1.0, 2.0])}, outer)
  gradient = reptile_gradient(state.params, {'w': jnp.array([[2.0, 2.0], [4.0, 0.0]])})
  np.testing.assert_allclose(gradient['w'], [-2.0, 1.0])
  state = meta_step(state, gradient, outer=outer)
  np.testing.assert_allclose(state.params['w'], expected)
  assert state.step == 1


def test_tasks_at_once_equal_tasks_one_after_another(bank, params):
  inner = dataclasses.replace(INNER, objective='combined')
  ends = []
  for axis in ('vmap', 'map'):
    block = make_meta_block(inner, OUTER, num_epochs=2, task_axis=axis, **SHAPE)
    state, history = block(init_state(params, OUTER), bank, jax.random.key(1))
    assert history.loss.shape == (2, 3, 3)
    ends.append(state.params)
  one, other = (displacement(params, end) for end in ends)
  np.testing.assert_allclose(one, other, atol=1e-5)


def test_two_blocks_equal_one_bit_for_bit_and_compile_once(bank, params):
  traces = []

  def traced(params, images):
    traces.append(images.shape)
    return apply_two_layers(params, images)

  inner, key = dataclasses.replace(INNER, apply=traced), jax.random.key(1)
  block = make_meta_block(inner, OUTER, num_epochs=2, **SHAPE)
  state, _ = block(init_state(params, OUTER), bank, key)
  num_traces = len(traces)
  state, _ = block(state, bank, key)
  assert len(traces) == num_traces > 0
  whole = make_meta_block(INNER, OUTER, num_epochs=4, **SHAPE)
  expected, _ = whole(init_state(params, OUTER), bank, key)
  assert_trees_equal(state, expected)


def test_validation_is_the_loss_on_other_crops_after_adaptation_with_that_loss_alone(bank, params):
  key = jax.random.key(5)
  combined = dataclasses.replace(INNER, objective='combined')
  losses = make_validation(combined, **SHAPE)(params, bank, key)
  support, query = (
    sample_episode(k, bank, 1, **SHAPE) for k in jax.random.split(jax.random.fold_in(key, 1))
  )
  adapted, _ = jax.jit(INNER)(params, support)
  expected = weighted_bce(apply_two_layers(adapted, query.images)[0], query.masks)
  assert losses.shape == (3,)
  assert float(losses[1]) == pytest.approx(float(expected), rel=1e-3)


def test_tasks_that_devices_do_not_divide_are_refused():
  with pytest.raises(InputError, match=r'4 tasks cannot be shared .* over 3 devices.*batch'):
    task_mesh(4, [jax.devices()[0]] * 3)


@pytest.mark.slow
def test_a_meta_epoch_is_the_same_on_one_two_and_four_devices():
  """In a process of its own, since the number of devices is fixed when JAX starts."""
  shown = subprocess.run(
    [sys.executable, '-c', 'import test_reptile as t; t.compare_numbers_of_devices()'],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(['.', 'tests', 'tests/meta']),
      'XLA_FLAGS': '--xla_force_host_platform_device_count=4',
    },
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert shown.stdout.endswith('equal on 4 devices\n'), shown.stderr


def compare_numbers_of_devices() -> None:
  sets = [prepare(disk_set(code, num_images=3)) for code in ('B5', 'EM')]
  bank = make_bank(sets, crop_size=32, strides=[(8, 8)] * 2, min_foreground=20)
  ends = []
  for count in (1, 2, 4):
    mesh = task_mesh(4, jax.devices()[:count])
    block = make_meta_block(INNER, OUTER, num_epochs=2, task_batch=2, mesh=mesh, **SHAPE)
    state = init_state(two_layer_params(), OUTER)
    state, history = block(state, bank, jax.random.key(1))
    assert history.loss.shape == (2, 4, 3)
    ends.append(jax.device_get((state.params, history.loss)))
  for end in ends[1:]:
    assert_trees_close(ends[0], end, rtol=1e-5, atol=1e-5)
  print('equal on', len(jax.devices()), 'devices')
