"""Losses of the meta-objective.

Logits and masks are (B, H, W, 1); masks are 0 or 1; every loss is a scalar mean: cross-entropies
and the entropy in nats per pixel, one minus Dice without unit, distillation in squared units of
the features.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from fscs.errors import InputError, lookup
from fscs.typing import Episode, Params

Objective = Literal['bce', 'bce_entropy', 'bce_distillation', 'combined']
PixelLossName = Literal['weighted_bce', 'bce_dice']
Apply = Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]]  # -> logits, features
PixelLoss = Callable[[jax.Array, jax.Array], jax.Array]  # of logits and masks

TERMS = ('segmentation', 'entropy', 'distillation')
_USED = {
  'bce': (),
  'bce_entropy': ('entropy',),
  'bce_distillation': ('distillation',),
  'combined': ('entropy', 'distillation'),
}


def weighted_bce(logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Binary cross-entropy whose foreground counts as much as the background of the same image.

  Args:
    logits: (B, H, W, 1), unnormalised.
    masks: (B, H, W, 1) in {0, 1}.

  Returns:
    Scalar: mean over pixels of -(w y log p + (1 - y) log(1 - p)) with w = #background / #foreground
    of each image's own mask; w = 1 where a mask has no foreground.

  References:
    Dawoud et al., ECML-PKDD 2020, eq. 2.
  """
  foreground = masks.sum((1, 2, 3), keepdims=True)
  background = masks[0].size - foreground
  weight = jnp.where(foreground > 0, background / jnp.maximum(foreground, 1.0), 1.0)
  positive = -weight * masks * jax.nn.log_sigmoid(logits)
  negative = -(1.0 - masks) * jax.nn.log_sigmoid(-logits)
  return jnp.mean(positive + negative)


def bce_dice(logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Cross-entropy, unweighted, plus one minus the Dice coefficient of the probabilities.

  Dice measures foreground as it is scored, so rare foreground needs no weight. It is taken over the
  whole batch, smoothed by one pixel, so that crops without foreground are defined.

  Args:
    logits: (B, H, W, 1), unnormalised.
    masks: (B, H, W, 1), 0 or 1.

  Returns:
    Scalar: nats per pixel plus a number from 0 to 1.

  References:
    Milletari, Navab and Ahmadi, 3DV 2016 (arXiv 1606.04797), for Dice as a loss.
  """
  cross_entropy = optax.losses.sigmoid_binary_cross_entropy(logits, masks).mean()
  return cross_entropy + optax.losses.dice_loss(logits, masks, smooth=0.5, axis=(0, 1, 2))


PIXEL_LOSSES: dict[PixelLossName, PixelLoss] = {
  'weighted_bce': weighted_bce,
  'bce_dice': bce_dice,
}


def entropy_regularisation(logits: jax.Array) -> jax.Array:
  """One-sided entropy of the foreground probability.

  Moves predictions on images of another task away from the decision boundary.

  Args:
    logits: (B, H, W, 1), unnormalised.

  Returns:
    Scalar: mean over pixels of -p log p with p = sigmoid(logits).

  References:
    Dawoud et al., ECML-PKDD 2020, eq. 3.
  """
  return jnp.mean(-jax.nn.sigmoid(logits) * jax.nn.log_sigmoid(logits))


def distillation(features: jax.Array, other_features: jax.Array) -> jax.Array:
  """Mean squared error between the features of the task's images and another task's, by position.

  Args:
    features: (B, h, w, C) of the task's images.
    other_features: (B, h, w, C) of S_p's images.

  Returns:
    Scalar: mean over all of (features - other_features)^2.

  References:
    Dawoud et al., ECML-PKDD 2020, eq. 4.
  """
  return jnp.mean(jnp.square(features - other_features))


def objective_loss(
  apply: Apply,
  params: Params,
  episode: Episode,
  *,
  objective: Objective,
  alpha: float = 0.01,
  beta: float = 0.01,
  pixel_loss: PixelLoss = weighted_bce,
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The loss of the inner loop on one episode.

  Each group of images passes through the network as a batch of its own, with its own statistics.

  Args:
    apply: (params, images) -> (logits, features).
    params: parameters of the network.
    episode: one task's images.
    objective: which terms count.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: of the segmentation.

  Returns:
    The scalar loss, and every term of `TERMS` unweighted (zero if unused).

  Raises:
    InputError: there is no such objective, or `apply` gives other than logits and features.
  """
  used = lookup(_USED, objective, 'objective')
  logits, features = apply(params, episode.images)
  _check_logits(logits, episode.masks)
  terms = {name: jnp.zeros(()) for name in TERMS}
  terms['segmentation'] = pixel_loss(logits, episode.masks)
  if 'entropy' in used:
    terms['entropy'] = entropy_regularisation(apply(params, episode.entropy_images)[0])
  if 'distillation' in used:
    other_features = apply(params, episode.distillation_images)[1]
    terms['distillation'] = distillation(features, other_features)
  return terms['segmentation'] + alpha * terms['entropy'] + beta * terms['distillation'], terms


def _check_logits(logits: jax.Array, masks: jax.Array) -> None:
  if logits.shape != masks.shape:
    raise InputError(
      f'apply gives logits of shape {logits.shape} for masks of {masks.shape}: a pair of logits and'
      ' features is needed'
    )
