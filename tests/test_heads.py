"""Closed-form heads: they solve the problem that they state, and gradients flow through them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fscs.heads import class_weights, solve_logistic

PENALTY = 0.05


@pytest.fixture(scope='module')
def pixels():
  """(features, targets, sample weights) of 300 pixels whose classes overlap."""
  random = np.random.default_rng(0)
  targets = (random.uniform(size=300) < 0.3).astype(np.float32)
  features = random.normal(size=(300, 5)) + 0.7 * targets[:, None]
  weights = random.integers(0, 4, 300)
  return features.astype(np.float32), targets, weights.astype(np.float32)


def test_the_head_is_that_of_scikit_learn(pixels):
  features, targets, weights = pixels
  head = solve_logistic(features, targets, weights, jnp.full(5, PENALTY), num_steps=10)
  other = LogisticRegression(C=1 / PENALTY, tol=1e-10, max_iter=1000)
  other.fit(features.astype(np.float64), targets, weights / weights.sum())
  np.testing.assert_allclose(head.weights, other.coef_[0], atol=1e-4)
  np.testing.assert_allclose(head.intercept, other.intercept_[0], atol=1e-4)


def test_a_weight_counts_pixels_and_without_weight_they_count_for_nothing(pixels):
  features, targets, weights = pixels
  penalties = jnp.full(5, PENALTY)
  repeated = np.repeat(np.arange(300), weights.astype(int))
  head = solve_logistic(features, targets, weights, penalties)
  same = solve_logistic(features[repeated], targets[repeated], jnp.ones(len(repeated)), penalties)
  np.testing.assert_allclose(head.weights, same.weights, atol=1e-5)
  garbage = np.where(weights[:, None] > 0, features, 1e3)
  np.testing.assert_allclose(
    solve_logistic(garbage, targets, weights, penalties).weights, head.weights, atol=1e-5
  )


def test_gradients_of_the_solution_are_those_of_finite_differences(pixels):
  features, targets, weights = pixels

  def first_weight(shift: jax.Array) -> jax.Array:
    moved = features + shift * jnp.eye(300, 5)
    return solve_logistic(moved, targets, weights, jnp.full(5, PENALTY), num_steps=10).weights[0]

  step = 0.05
  expected = (first_weight(step) - first_weight(-step)) / (2 * step)
  np.testing.assert_allclose(jax.grad(first_weight)(0.0), expected, rtol=0.02)


def test_tasks_may_be_vmapped(pixels):
  features, targets, weights = pixels
  tasks = [jnp.stack([x[:150], x[150:]]) for x in (features, targets, weights)]
  penalties = jnp.full(5, PENALTY)
  together = jax.vmap(solve_logistic, in_axes=(0, 0, 0, None))(*tasks, penalties)
  for i in range(2):
    alone = solve_logistic(*(x[i] for x in tasks), penalties)
    np.testing.assert_allclose(together.weights[i], alone.weights, atol=1e-5)


def test_separable_pixels_and_a_single_class_have_finite_heads():
  features = jnp.concatenate([jnp.full((20, 3), 5.0), jnp.full((20, 3), -5.0)])
  for targets in (jnp.arange(40) < 20, jnp.ones(40), jnp.zeros(40)):
    head = solve_logistic(features, targets, jnp.ones(40), jnp.full(3, 1e-3))
    assert np.isfinite(head.weights).all()
    assert np.isfinite(head.intercept)


def test_classes_weigh_the_same():
  targets = jnp.array([1, 1, 0, 0, 0])
  weights = class_weights(targets, jnp.array([1.0, 3, 1, 1, 0]))
  assert weights[:2].sum() == pytest.approx(0.5)
  np.testing.assert_allclose(weights, [0.125, 0.375, 0.25, 0.25, 0])
  np.testing.assert_allclose(class_weights(jnp.ones(4), jnp.ones(4)), 0.25)
