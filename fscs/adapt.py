"""The inner loop: a few optimiser steps on one task, the same for meta-training and fine-tuning."""

from typing import NamedTuple

import jax
import optax

from fscs.losses import Apply, Objective, objective_loss
from fscs.types import Episode, Params


class History(NamedTuple):
  """What the inner loop saw, one entry a step, before that step's update."""

  loss: jax.Array  # (num_steps,)
  terms: dict[str, jax.Array]  # each (num_steps,), unweighted


def inner_optimizer(
  learning_rate: optax.ScalarOrSchedule = 1e-3, weight_decay: float = 5e-4
) -> optax.GradientTransformation:
  """Adam with weight decay added to the gradient (not decoupled), as the reference has it."""
  return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(learning_rate))


def adapt(
  params: Params,
  episode: Episode,
  *,
  apply: Apply,
  objective: Objective,
  optimizer: optax.GradientTransformation,
  num_steps: int,
  alpha: float = 0.01,
  beta: float = 0.01,
) -> tuple[Params, History]:
  """`num_steps` optimiser steps on one episode, from a fresh optimiser state.

  Pure: `vmap` it over a leading task axis of the episode, and of `params` if each task has its own.

  Args:
    params: where to start.
    episode: the task's crops; every step sees all of them.
    apply: (params, images) -> (logits, features).
    objective: which losses count.
    optimizer: see `inner_optimizer`.
    num_steps: number of steps, static.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.

  Returns:
    The adapted parameters and the history of the losses.
  """

  def loss_of(params):
    return objective_loss(apply, params, episode, objective=objective, alpha=alpha, beta=beta)

  def step(carry, _):
    params, opt_state = carry
    (loss, terms), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), History(loss, terms)

  carry = (params, optimizer.init(params))
  (params, _), history = jax.lax.scan(step, carry, None, length=num_steps)
  return params, history
