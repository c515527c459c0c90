"""Closed-form heads: linear classifiers of pixels, solved on annotated pixels inside the graph.

A network gives D features per pixel. The head that separates annotated foreground from background
is the solution of a convex problem, found by a few Newton steps without any training of the
network. Gradients flow through the solution, so that features can be meta-learned for it.

References:
  Bertinetto et al., "Meta-learning with differentiable closed-form solvers", ICLR 2019
  (arXiv 1805.08136).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

INTERCEPT_PENALTY = 1e-6  # keeps the system regular if all targets are equal


class Head(NamedTuple):
  """A linear classifier; the log-odds of foreground are features @ weights + intercept."""

  weights: jax.Array  # (D,)
  intercept: jax.Array  # ()


def solve_logistic(
  features: jax.Array,
  targets: jax.Array,
  sample_weights: jax.Array,
  penalties: jax.Array,
  *,
  num_steps: int = 6,
) -> Head:
  """Logistic regression with L2 penalties, by Newton's method from zero.

  Minimises sum_i s_i log(1 + exp(-t_i z_i)) + 1/2 sum_d l_d w_d^2, where z_i are the log-odds, t_i
  is 1 for foreground and -1 for background, and s_i are the sample weights scaled to a sum of 1.

  Main args:
    features: (M, D) float32, of annotated pixels.
    targets: (M,), 1 for foreground and 0 for background.
    sample_weights: (M,), 0 or more; a pixel of weight 0 counts for nothing.
    penalties: (D,), above 0. For features of unit variance 1e-3 to 1e-1 is usual.

  Other args:
    num_steps: Newton steps. The penalties must bound the solution: without them separable pixels
      have none.

  Returns:
    The head. It is differentiable in all arrays, and may be vmapped over tasks.

  The only feature is 1 for foreground and -1 for background:

  >>> signs = jnp.array([1.0, -1.0])
  >>> head = solve_logistic(signs[:, None], signs > 0, jnp.ones(2), jnp.array([0.1]))
  >>> bool(head.weights[0] > 1), bool(jnp.abs(head.intercept) < 1e-5)
  (True, True)
  """
  inputs = jnp.concatenate([features, jnp.ones((len(features), 1))], axis=1)
  penalties = jnp.append(penalties, INTERCEPT_PENALTY)
  shares = sample_weights / sample_weights.sum()
  solution = jnp.zeros(inputs.shape[1])
  for _ in range(num_steps):
    probability = jax.nn.sigmoid(inputs @ solution)
    gradient = inputs.T @ (shares * (probability - targets)) + penalties * solution
    curvature = shares * probability * (1 - probability)
    hessian = (inputs * curvature[:, None]).T @ inputs + jnp.diag(penalties)
    solution -= jax.scipy.linalg.solve(hessian, gradient, assume_a='pos')
  return Head(solution[:-1], solution[-1])


def class_weights(targets: jax.Array, sample_weights: jax.Array) -> jax.Array:
  """Sample weights under which foreground and background weigh the same.

  Args:
    targets: (M,), 1 for foreground and 0 for background.
    sample_weights: (M,), 0 or more.

  Returns:
    (M,) with a sum of 1; of 1 / 2 in each class, if both are there.

  >>> class_weights(jnp.array([1, 0, 0]), jnp.ones(3))
  Array([0.5 , 0.25, 0.25], dtype=float32)
  """
  foreground = jnp.sum(sample_weights * targets)
  background = jnp.sum(sample_weights * (1 - targets))
  balanced = jnp.where(
    targets > 0.5,
    sample_weights / jnp.maximum(foreground, 1e-12),
    sample_weights / jnp.maximum(background, 1e-12),
  )
  return balanced / balanced.sum()
