"""Losses against values solved by hand, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fscs.errors import InputError
from fscs.losses import (
  bce_dice,
  distillation,
  entropy_regularisation,
  objective_loss,
  weighted_bce,
)
from fscs.typing import Episode


def as_maps(*rows):
  """Rows as maps (B, 1, W, 1)."""
  return jnp.asarray(rows, jnp.float32)[:, None, :, None]


def test_weighted_bce_weighs_each_image_by_its_own_mask():
  # Zero logits cost ln 2. Image 1: 1 of 4 foreground, weight 3; image 2: 2 of 4, weight 1.
  masks = as_maps([1, 0, 0, 0], [1, 1, 0, 0])
  loss = weighted_bce(jnp.zeros((2, 1, 4, 1)), masks)
  assert loss == pytest.approx(np.log(2) * ((3 + 3) + 4) / 8)


def test_weighted_bce_without_foreground_is_plain_cross_entropy():
  logits = as_maps([0.5, -1.0])
  expected = np.log1p(np.exp([0.5, -1.0])).mean()
  assert weighted_bce(logits, jnp.zeros_like(logits)) == pytest.approx(expected, rel=1e-6)


def test_bce_dice_is_cross_entropy_and_one_minus_dice_over_the_batch():
  rng = np.random.default_rng(0)
  logits, masks = rng.normal(size=(3, 4, 4, 1)), rng.integers(0, 2, (3, 4, 4, 1))
  p = 1 / (1 + np.exp(-logits))
  cross_entropy = -np.mean(masks * np.log(p) + (1 - masks) * np.log(1 - p))
  dice = (2 * np.sum(p * masks) + 1) / (p.sum() + masks.sum() + 1)
  found = bce_dice(jnp.float32(logits), jnp.float32(masks))
  assert found == pytest.approx(cross_entropy + 1 - dice, rel=1e-5)


def test_losses_are_finite_at_extreme_logits_and_on_full_masks():
  logits = as_maps([1e4, -1e4])
  for loss in (weighted_bce, bce_dice):
    assert jnp.isfinite(loss(logits, as_maps([0, 1])))
    assert jnp.isfinite(loss(logits, as_maps([1, 1])))
  assert entropy_regularisation(logits) == 0


def test_entropy_is_half_ln_2_on_the_decision_boundary_and_largest_at_p_of_1_over_e():
  assert entropy_regularisation(as_maps([0.0, 0.0])) == pytest.approx(np.log(2) / 2)
  z = float(np.log(1 / (np.e - 1)))  # sigmoid(z) = 1 / e
  assert entropy_regularisation(as_maps([z])) == pytest.approx(1 / np.e)
  assert jax.grad(lambda z: entropy_regularisation(as_maps([z])))(z) == pytest.approx(0, abs=1e-6)


def test_distillation_is_the_mean_squared_difference():
  assert distillation(as_maps([1, 2]), as_maps([3, 5])) == pytest.approx((4 + 9) / 2)


def entropy_only(logits, _):
  return entropy_regularisation(logits)


@pytest.mark.parametrize('loss', [weighted_bce, bce_dice, entropy_only])
def test_gradients_are_finite_differences(loss):
  masks, logits = as_maps([1, 0, 0]), as_maps([0.3, -0.7, 1.1])
  gradient = jax.grad(loss)(logits, masks).ravel()
  step = 1e-2
  for i in range(3):
    change = jnp.zeros(3).at[i].set(step).reshape(logits.shape)
    difference = (loss(logits + change, masks) - loss(logits - change, masks)) / (2 * step)
    assert gradient[i] == pytest.approx(float(difference), abs=1e-4)


def linear(params, images):
  """A network of one parameter: logits and features."""
  return images * params, images + params


@pytest.mark.parametrize(
  ('objective', 'alpha', 'beta'),
  [
    ('bce', 0, 0),
    ('bce_entropy', 0.3, 0),
    ('bce_distillation', 0, 0.7),
    ('combined', 0.3, 0.7),
  ],
)
def test_objectives_add_up_their_terms(objective, alpha, beta):
  images, masks = as_maps([0.5, -0.5]), as_maps([1, 0])
  episode = Episode(images, masks, as_maps([1.0, 2.0]), as_maps([-1.0, 0.4]))
  loss, terms = objective_loss(
    linear, jnp.float32(2), episode, objective=objective, alpha=0.3, beta=0.7
  )
  entropy = entropy_regularisation(2 * episode.entropy_images)
  distance = distillation(images, episode.distillation_images)  # the shift by params cancels
  expected = weighted_bce(2 * images, masks) + alpha * entropy + beta * distance
  assert loss == pytest.approx(float(expected), rel=1e-6)
  assert terms['entropy'] == (pytest.approx(float(entropy)) if alpha else 0)
  assert terms['distillation'] == (pytest.approx(float(distance)) if beta else 0)


def test_unknown_objectives_and_networks_without_features_are_refused():
  images = jnp.ones((2, 1, 1, 1))
  episode = Episode(images, images, images, images)
  with pytest.raises(InputError, match="objective 'reptile': expected one of bce, bce_entropy"):
    objective_loss(linear, jnp.float32(2), episode, objective='reptile')
  with pytest.raises(InputError, match='logits and features'):
    objective_loss(lambda params, x: x * params, jnp.float32(2), episode, objective='bce')
