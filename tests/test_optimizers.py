"""Muon: kernels step along orthogonal matrices, everything else as Adam does."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fscs.models import init_params, make_model
from fscs.optimizers import ADAM_RMS, inner_optimizer, with_kernel_norms

RATE = 0.01
SHAPES = {
  'tall': (3, 3, 4, 8),
  'wide': (1, 1, 4, 16),
  'last': (1, 1, 8, 1),
  'bias': (8,),
  'scale': (8,),
}


def _random(seed: int) -> dict[str, jax.Array]:
  """Of mean 1, so that one direction of a kernel is much larger than the others."""
  keys = jax.random.split(jax.random.key(seed), len(SHAPES))
  return {
    name: 1 + jax.random.normal(key, shape)
    for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
  }


def _steps(optimizer: optax.GradientTransformation, gradients) -> dict[str, jax.Array]:
  """The last update of several."""
  params = _random(0)
  state = optimizer.init(params)
  for gradient in gradients:
    updates, state = optimizer.update(gradient, state, params)
  return updates


@pytest.mark.parametrize('name', ['tall', 'wide'])
def test_kernels_step_along_matrices_whose_singular_values_are_nearly_equal(name):
  gradients = [_random(seed) for seed in (1, 2, 3)]
  update = _steps(inner_optimizer(RATE, 0.0, 'muon'), gradients)[name]
  values = np.linalg.svd(np.reshape(update, (-1, update.shape[-1])), compute_uv=False)
  assert values.max() / values.min() < 2
  raw = np.linalg.svd(np.reshape(gradients[-1][name], (-1, update.shape[-1])), compute_uv=False)
  assert raw.max() / raw.min() > 2


@pytest.mark.parametrize('name', ['tall', 'wide'])
def test_steps_of_kernels_are_of_adams_size_and_against_the_gradient(name):
  gradient = _random(1)
  update = _steps(inner_optimizer(RATE, 0.0, 'muon'), [gradient])[name]
  rms = float(jnp.sqrt(jnp.mean(update**2)))
  assert rms == pytest.approx(RATE * ADAM_RMS, rel=0.3)
  assert jnp.vdot(update, gradient[name]) < 0


def test_a_gradient_times_a_number_gives_the_same_step():
  one = _steps(inner_optimizer(RATE, 0.0, 'muon'), [_random(1)])
  ten = _steps(inner_optimizer(RATE, 0.0, 'muon'), [jax.tree.map(lambda x: 10 * x, _random(1))])
  for name in SHAPES:
    np.testing.assert_allclose(one[name], ten[name], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name', ['last', 'bias', 'scale'])
def test_everything_else_steps_as_adam_does(name):
  gradients = [_random(seed) for seed in (1, 2, 3)]
  muon, adam = (_steps(inner_optimizer(RATE, 0.1, n), gradients) for n in ('muon', 'adam'))
  np.testing.assert_array_equal(muon[name], adam[name])


def test_the_default_is_adam_with_weight_decay_in_the_gradient():
  gradient, decay = _random(1), 0.1
  decayed = jax.tree.map(lambda g, p: g + decay * p, gradient, _random(0))
  found = _steps(inner_optimizer(RATE, decay), [gradient])
  wanted = _steps(optax.adam(RATE), [decayed])
  jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_weight_decay_reaches_kernels():
  nothing = jax.tree.map(jnp.zeros_like, _random(1))
  updates = _steps(inner_optimizer(RATE, 0.1, 'muon'), [nothing])
  assert all(jnp.vdot(updates[name], _random(0)[name]) < 0 for name in SHAPES)


def test_the_rate_may_depend_on_the_step():
  optimizer = inner_optimizer(optax.linear_schedule(RATE, 0.0, 2), 0.0, 'muon')
  updates = _steps(optimizer, [_random(1)] * 3)
  assert all(not updates[name].any() for name in SHAPES)


def _norms(params) -> dict[str, float]:
  return {name: float(jnp.linalg.norm(leaf.ravel())) for name, leaf in params.items()}


def test_kept_norms_turn_kernels_and_leave_the_rest():
  params, gradient = _random(0), _random(1)
  sgd = optax.sgd(RATE)
  kept, free = with_kernel_norms(sgd, 'kept'), with_kernel_norms(sgd, 'free')
  moved, freely = (
    optax.apply_updates(params, o.update(gradient, o.init(params), params)[0]) for o in (kept, free)
  )
  for name in ('tall', 'wide'):
    assert _norms(moved)[name] == pytest.approx(_norms(params)[name], rel=1e-5)
    assert _norms(freely)[name] != pytest.approx(_norms(params)[name], rel=1e-3)
    ratio = moved[name] / freely[name]  # the same direction
    np.testing.assert_allclose(ratio, np.full(ratio.shape, ratio.mean()), rtol=1e-4)
  for name in ('last', 'bias', 'scale'):
    np.testing.assert_array_equal(moved[name], freely[name])


@pytest.mark.parametrize('arch', ['fcrn', 'unet', 'deep_unet'])
def test_the_norm_of_kernels_changes_no_output(arch):
  model = make_model(arch, widths=(4,) * 4, kernel_init='he')
  params = init_params(model, jax.random.key(0))
  shrunk = jax.tree.map(lambda x: 0.5 * x if x.ndim == 4 and x.shape[-1] > 1 else x, params)
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 1))
  logits, other = (model.apply({'params': p}, images)[0] for p in (params, shrunk))
  np.testing.assert_allclose(logits, other, rtol=1e-2, atol=1e-3)
