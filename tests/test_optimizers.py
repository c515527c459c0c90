"""Muon: kernels before batch norms step along orthogonal matrices, others as in NAdam."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_trees_close, assert_trees_equal

from fscs.models import init_params, make_model
from fscs.optimizers import ADAM_RMS, inner_optimizer, is_normalised_kernel, keep_kernel_norms

RATE = 0.01
SHAPES = {
  'conv1': {'kernel': (3, 3, 4, 8)},  # more inputs than outputs: tall as a matrix
  'down1': {'conv1': {'kernel': (1, 1, 4, 16), 'bias': (16,)}},  # wide, and nested
  'norm1': {'scale': (8,), 'bias': (8,)},
  'conv8': {'kernel': (3, 3, 8, 2), 'bias': (2,)},  # the output layer has no batch norm
  'conv_last': {'kernel': (1, 1, 8, 1)},
}


def random_tree(seed: int):
  """Parameters of mean 1: one direction of every kernel is much larger than the others."""
  shapes, structure = jax.tree.flatten(SHAPES, is_leaf=lambda x: isinstance(x, tuple))
  keys = jax.random.split(jax.random.key(seed), len(shapes))
  leaves = [1 + jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]
  return jax.tree.unflatten(structure, leaves)


def last_update(optimizer: optax.GradientTransformation, *gradients):
  params = random_tree(0)
  state = optimizer.init(params)
  for gradient in gradients:
    updates, state = optimizer.update(gradient, state, params)
  return updates


def split(tree):
  """Leaves that are kernels before batch norms, and the others."""
  leaves = jax.tree.leaves_with_path(tree)
  kernels = [leaf for path, leaf in leaves if is_normalised_kernel(path)]
  others = [leaf for path, leaf in leaves if not is_normalised_kernel(path)]
  assert (len(kernels), len(others)) == (2, 6)
  return kernels, others


def singular_values(kernel) -> np.ndarray:
  return np.linalg.svd(np.reshape(kernel, (-1, kernel.shape[-1])), compute_uv=False)


def test_kernels_before_batch_norms_step_along_orthogonal_matrices_of_the_size_of_adams():
  gradients = [random_tree(seed) for seed in (1, 2, 3)]
  updates, _ = split(last_update(inner_optimizer(RATE, 0.0, 'muon'), *gradients))
  for update, gradient in zip(updates, split(gradients[-1])[0], strict=True):
    values, of_gradient = singular_values(update), singular_values(gradient)
    assert values.max() / values.min() < 2 < of_gradient.max() / of_gradient.min()
    assert jnp.sqrt(jnp.mean(update**2)) == pytest.approx(ADAM_RMS * RATE, rel=0.3)
    assert jnp.vdot(update, gradient) < 0


def test_other_parameters_step_as_in_adam_with_nesterovs_momentum():
  gradients = [random_tree(seed) for seed in (1, 2, 3)]
  _, muon = split(last_update(inner_optimizer(RATE, 0.0, 'muon'), *gradients))
  _, nadam = split(last_update(optax.nadam(RATE), *gradients))
  assert_trees_close(muon, nadam)


def test_a_scaled_gradient_gives_the_same_step():
  one = last_update(inner_optimizer(RATE, 0.0, 'muon'), random_tree(1))
  ten = last_update(
    inner_optimizer(RATE, 0.0, 'muon'), jax.tree.map(lambda x: 10 * x, random_tree(1))
  )
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), one, ten)


def test_weight_decay_is_added_to_the_gradient_also_of_kernels():
  decayed = jax.tree.map(lambda g, p: g + 0.1 * p, random_tree(1), random_tree(0))
  for name in ('adam', 'muon'):
    found = last_update(inner_optimizer(RATE, 0.1, name), random_tree(1))
    assert_trees_equal(found, last_update(inner_optimizer(RATE, 0.0, name), decayed))
  assert_trees_equal(
    last_update(inner_optimizer(RATE, 0.1), random_tree(1)), last_update(optax.adam(RATE), decayed)
  )


def test_the_rate_may_depend_on_the_step():
  optimizer = inner_optimizer(optax.linear_schedule(RATE, 0.0, 2), 0.0, 'muon')
  updates = last_update(optimizer, *[random_tree(1)] * 3)
  assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


def test_kept_norms_turn_kernels_and_leave_other_parameters():
  start, gradient = random_tree(0), random_tree(1)
  ends = []
  free_optimizer = optax.sgd(RATE)
  for optimizer in (free_optimizer, optax.chain(free_optimizer, keep_kernel_norms())):
    updates, _ = optimizer.update(gradient, optimizer.init(start), start)
    ends.append(split(optax.apply_updates(start, updates)))
  (free, free_others), (kept, kept_others) = ends
  for before, moved, turned in zip(split(start)[0], free, kept, strict=True):
    norm = jnp.linalg.norm(before.ravel())
    assert jnp.linalg.norm(moved.ravel()) != pytest.approx(float(norm), rel=1e-3)
    assert jnp.linalg.norm(turned.ravel()) == pytest.approx(float(norm), rel=1e-5)
    ratio = turned / moved  # the same direction
    np.testing.assert_allclose(ratio, np.full(ratio.shape, ratio.mean()), rtol=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), kept_others, free_others)


@pytest.mark.parametrize('architecture', ['fcrn', 'unet', 'deep_unet'])
def test_the_norm_of_a_kernel_before_a_batch_norm_changes_no_output(architecture):
  model = make_model(architecture, widths=(4,) * 4, kernel_init='he', lowering='xla')
  params = init_params(model, jax.random.key(0))

  def shrink(path, leaf):
    return 0.5 * leaf if is_normalised_kernel(path) else leaf

  shrunk = jax.tree_util.tree_map_with_path(shrink, params)
  images = jax.random.normal(jax.random.key(1), (2, 32, 32, 1))
  apply = jax.jit(model.apply)
  logits, other = (apply({'params': p}, images)[0] for p in (params, shrunk))
  np.testing.assert_allclose(logits, other, rtol=1e-2, atol=1e-3)
