"""The inner loop: a few optimizer steps on one task."""

import dataclasses
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
  """Losses of the inner loop, each before the update of its step."""

  loss: jax.Array  # (num_steps,)
  terms: dict[str, jax.Array]  # (num_steps,) each, unweighted


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
  """Take optimizer steps on one episode, from a fresh optimizer state.

  The function is pure. `jax.vmap` it over a leading task axis of the episode, and of `params` if
  every task has its own.

  Args:
    params: where to start.
    episode: crops of the task; every step uses all of them.
    apply: (params, images) -> (logits, features).
    objective: which losses are used, see `fscs.losses.objective_loss`.
    optimizer: see `fscs.optimizers.inner_optimizer`.
    num_steps: number of steps, static.

  Other args:
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: segmentation loss of logits and masks.
    augment: a function of (key, images, masks), applied anew at every step; it needs `key`.
    key: random key of the augmentation.

  Returns:
    The adapted parameters, and the history of the losses.

  Raises:
    InputError: an augmentation without a key, or as `fscs.losses.objective_loss`.

  References:
    Dawoud et al., ECML-PKDD 2020, algorithm 1, lines 5 to 9.
  """
  loss_of = functools.partial(
    objective_loss, apply, objective=objective, alpha=alpha, beta=beta, pixel_loss=pixel_loss
  )
  if augment is not None and key is None:
    raise InputError('augmentation needs a random key: give one', arguments=('key',))

  def augmented(step: jax.Array) -> Episode:
    if augment is None:
      return episode
    images, masks = augment(jax.random.fold_in(key, step), episode.images, episode.masks)
    return episode._replace(images=images, masks=masks)

  def take_step(carry, step: jax.Array):
    params, opt_state = carry
    (loss, terms), gradient = jax.value_and_grad(loss_of, has_aux=True)(params, augmented(step))
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), History(loss, terms)

  carry = (params, optimizer.init(params))
  (params, _), history = jax.lax.scan(take_step, carry, jnp.arange(num_steps))
  return params, history


@dataclasses.dataclass(frozen=True)
class InnerLoop:
  """`adapt` with everything fixed that is the same for all tasks: (params, episode, key) -> ...

  The key is that of the augmentation, and not needed without one.

  Attributes:
    apply: (params, images) -> (logits, features).
    objective: which losses are used, see `fscs.losses.objective_loss`.
    optimizer: started anew in every episode; see `fscs.optimizers.inner_optimizer`.
    num_steps: optimizer steps per episode.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: segmentation loss of logits and masks.
    augment: a function of (key, images, masks), or None; see `fscs.augmentation.make_augment`.
  """

  apply: Apply
  objective: Objective
  optimizer: optax.GradientTransformation
  num_steps: int
  alpha: float = 0.01
  beta: float = 0.01
  pixel_loss: PixelLoss = weighted_bce
  augment: Augment | None = None

  def __call__(
    self, params: Params, episode: Episode, key: jax.Array | None = None
  ) -> tuple[Params, History]:
    return adapt(
      params,
      episode,
      apply=self.apply,
      objective=self.objective,
      optimizer=self.optimizer,
      num_steps=self.num_steps,
      alpha=self.alpha,
      beta=self.beta,
      pixel_loss=self.pixel_loss,
      augment=self.augment,
      key=key,
    )
