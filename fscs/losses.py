"""Losses of the meta-objective.

Logits and masks are (B, H, W, 1); masks are 0 or 1. Every loss is a scalar. Cross-entropies and the
entropy are in nats per pixel, 1 - Dice has no unit, and distillation is in squared feature units.
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
  """Binary cross-entropy with the same total weight of foreground and background in every image.

  Args:
    logits: (B, H, W, 1), unnormalised.
    masks: (B, H, W, 1) in {0, 1}.

  Returns:
    Scalar: mean over pixels of -(w y log p + (1 - y) log(1 - p)). Each image has its own weight
    w = #background / #foreground; w = 1 if it has no foreground.

  References:
    Dawoud et al., ECML-PKDD 2020, eq. 2.

  A quarter of the pixels is foreground, so each of them weighs 3:

  >>> masks = jnp.array([1.0, 0, 0, 0]).reshape(1, 2, 2, 1)
  >>> weighted_bce(jnp.zeros_like(masks), masks) / jnp.log(2)
  Array(1.5, dtype=float32)
  """
  foreground = masks.sum((1, 2, 3), keepdims=True)
  background = masks[0].size - foreground
  weight = jnp.where(foreground > 0, background / jnp.maximum(foreground, 1.0), 1.0)
  positive = -weight * masks * jax.nn.log_sigmoid(logits)
  negative = -(1.0 - masks) * jax.nn.log_sigmoid(-logits)
  return jnp.mean(positive + negative)


def bce_dice(logits: jax.Array, masks: jax.Array) -> jax.Array:
  """Cross-entropy plus 1 - Dice of the probabilities.

  The cross-entropy is unweighted: Dice already counters rare foreground. Dice is taken over the
  whole batch and smoothed by one pixel, so that it is defined without foreground.

  Args:
    logits: (B, H, W, 1), unnormalised.
    masks: (B, H, W, 1), 0 or 1.

  Returns:
    Scalar: mean cross-entropy + 1 - (2 sum(p y) + 1) / (sum(p) + sum(y) + 1), p = sigmoid(logits).

  References:
    Milletari, Navab and Ahmadi, 3DV 2016 (arXiv 1606.04797), for Dice as a loss.

  >>> masks = jnp.array([1.0, 0, 0, 0]).reshape(1, 2, 2, 1)
  >>> round(float(bce_dice(20 * masks - 10, masks)), 3)
  0.0
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

  >>> entropy_regularisation(jnp.zeros((1, 4, 4, 1))) / jnp.log(2)
  Array(0.5, dtype=float32)
  """
  return jnp.mean(-jax.nn.sigmoid(logits) * jax.nn.log_sigmoid(logits))


def distillation(features: jax.Array, other_features: jax.Array) -> jax.Array:
  """Mean squared difference between features of the task and of another task.

  Args:
    features: (B, h, w, C), of images of the task.
    other_features: (B, h, w, C), of images of another task, S_p in the paper.

  Returns:
    Scalar: mean of (features - other_features)^2.

  References:
    Dawoud et al., ECML-PKDD 2020, eq. 4.

  >>> distillation(jnp.ones((1, 2, 2, 8)), 3 * jnp.ones((1, 2, 2, 8)))
  Array(4., dtype=float32)
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

  Each group of images passes through the network as a separate batch, with its own batch-norm
  statistics.

  Args:
    apply: (params, images) -> (logits, features).
    params: parameters of the network.
    episode: one task's images.
    objective: which terms are added to the segmentation loss.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: segmentation loss.

  Returns:
    The scalar loss, and the unweighted terms by their names in `TERMS` (zero if unused).

  Raises:
    InputError: the objective is unknown, or `apply` does not return logits and features.
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
      f'apply returns logits of shape {logits.shape} for masks of shape {masks.shape}: expected'
      ' logits and features'
    )
