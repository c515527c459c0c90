"""The inner loop: a few optimiser steps on one task, the same for meta-training and fine-tuning."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from fscs.augmentation import Augment
from fscs.errors import InputError
from fscs.losses import Apply, Objective, PixelLoss, objective_loss, weighted_bce
from fscs.typing import Episode, Params


class History(NamedTuple):
  """What the inner loop saw, one entry a step, before that step's update."""

  loss: jax.Array  # (num_steps,)
  terms: dict[str, jax.Array]  # each (num_steps,), unweighted


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
  pixel_loss: PixelLoss = weighted_bce,
  augment: Augment | None = None,
  key: jax.Array | None = None,
) -> tuple[Params, History]:
  """`num_steps` optimiser steps on one episode, from a fresh optimiser state.

  Pure: `vmap` it over a leading task axis of the episode, and of `params` if each task has its own.

  Args:
    params: where to start.
    episode: the task's crops; every step sees all of them.
    apply: (params, images) -> (logits, features).
    objective: which losses count.
    optimizer: see `fscs.optimizers`.
    num_steps: number of steps, static.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: the segmentation loss.
    augment: changes the task's own crops, anew at every step; needs `key`.
    key: of the augmentation.

  Returns:
    The adapted parameters and the history of the losses.

  Raises:
    InputError: there is an augmentation and no key, or as `fscs.losses.objective_loss`.
  """
  loss_of = functools.partial(
    objective_loss, apply, objective=objective, alpha=alpha, beta=beta, pixel_loss=pixel_loss
  )

  def step(carry, number):
    params, opt_state = carry
    seen = _changed(episode, augment, key, number)
    (loss, terms), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, seen)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), History(loss, terms)

  carry = (params, optimizer.init(params))
  (params, _), history = jax.lax.scan(step, carry, jnp.arange(num_steps))
  return params, history


def _changed(episode: Episode, augment: Augment | None, key, number: jax.Array) -> Episode:
  """The episode as a step sees it."""
  if augment is None:
    return episode
  if key is None:
    raise InputError('augmentation needs a random key: give one')
  images, masks = augment(jax.random.fold_in(key, number), episode.images, episode.masks)
  return episode._replace(images=images, masks=masks)
