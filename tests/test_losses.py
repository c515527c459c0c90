"""Losses against values solved by hand, and their gradients against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fscs.errors import InputError
from fscs.losses import distillation, entropy_regularisation, objective_loss, weighted_bce
from fscs.typing import Episode


def as_maps(*rows):
  return jnp.asarray(rows, jnp.float32)[:, None, :, None]  # (B, 1, W, 1)


def test_weighted_bce_of_zero_logits_weighs_each_image_by_its_own_mask():
  # ln 2 everywhere; image 1: 1 of 4 foreground, weight 3; image 2: 2 of 4, weight 1.
  masks = as_maps([1, 0, 0, 0], [1, 1, 0, 0])
  loss = weighted_bce(jnp.zeros((2, 1, 4, 1)), masks)
  assert loss == pytest.approx(np.log(2) * ((3 + 3) + 4) / 8)


def test_weighted_bce_of_a_mask_without_foreground_is_plain_cross_entropy():
  logits = as_maps([0.5, -1.0])
  expected = np.log1p(np.exp([0.5, -1.0])).mean()
  assert weighted_bce(logits, jnp.zeros_like(logits)) == pytest.approx(expected, rel=1e-6)


def test_weighted_bce_of_a_mask_without_background_is_finite():
  logits = as_maps([0.5, -1.0])
  assert jnp.isfinite(weighted_bce(logits, jnp.ones_like(logits)))


def test_losses_are_finite_at_extreme_logits():
  logits, masks = as_maps([1e4, -1e4]), as_maps([0, 1])
  assert jnp.isfinite(weighted_bce(logits, masks))
  assert entropy_regularisation(logits) == 0


def test_entropy_is_half_ln_2_on_the_decision_boundary():
  assert entropy_regularisation(as_maps([0.0, 0.0])) == pytest.approx(np.log(2) / 2)


def test_entropy_is_largest_where_p_is_one_over_e():
  z = float(np.log(1 / (np.e - 1)))  # sigmoid(z) = 1 / e
  assert entropy_regularisation(as_maps([z])) == pytest.approx(1 / np.e)
  assert jax.grad(lambda z: entropy_regularisation(as_maps([z])))(z) == pytest.approx(0, abs=1e-6)


def test_distillation_is_the_mean_squared_difference():
  assert distillation(as_maps([1, 2]), as_maps([3, 5])) == pytest.approx((4 + 9) / 2)


@pytest.mark.parametrize('loss', [weighted_bce, lambda z, _: entropy_regularisation(z)])
def test_gradients_are_finite_differences(loss):
  masks, logits = as_maps([1, 0, 0]), as_maps([0.3, -0.7, 1.1])
  gradient = jax.grad(lambda z: loss(z, masks))(logits).ravel()
  step = 1e-2
  for i in range(3):
    change = jnp.zeros(3).at[i].set(step).reshape(logits.shape)
    difference = (loss(logits + change, masks) - loss(logits - change, masks)) / (2 * step)
    assert gradient[i] == pytest.approx(float(difference), abs=1e-4)


def linear(params, images):
  return images * params, images + params


@pytest.mark.parametrize(
  ('objective', 'weights'),
  [
    ('bce', (0, 0)),
    ('bce_entropy', (0.3, 0)),
    ('bce_distillation', (0, 0.7)),
    ('combined', (0.3, 0.7)),
  ],
)
def test_objectives_add_up_their_terms(objective, weights):
  own, masks = as_maps([0.5, -0.5]), as_maps([1, 0])
  episode = Episode(own, masks, as_maps([1.0, 2.0]), as_maps([-1.0, 0.4]))
  loss, terms = objective_loss(
    linear, jnp.float32(2), episode, objective=objective, alpha=0.3, beta=0.7
  )
  entropy = entropy_regularisation(2 * episode.entropy_images)
  apart = distillation(own, episode.distillation_images)  # the shift by params cancels
  expected = weighted_bce(2 * own, masks) + weights[0] * entropy + weights[1] * apart
  assert loss == pytest.approx(float(expected), rel=1e-6)
  assert terms['entropy'] == (pytest.approx(float(entropy)) if weights[0] else 0)
  assert terms['distillation'] == (pytest.approx(float(apart)) if weights[1] else 0)


def test_objectives_and_networks_that_cannot_be_meant_are_refused():
  two = as_maps([0.5, -0.5]).reshape(2, 1, 1, 1)
  episode = Episode(two, two > 0, two, two)
  with pytest.raises(InputError, match="objective 'reptile': expected one of bce, bce_entropy"):
    objective_loss(linear, jnp.float32(2), episode, objective='reptile')
  logits_alone = lambda params, images: images * params  # noqa: E731
  with pytest.raises(InputError, match='a pair of logits and features is needed'):
    objective_loss(logits_alone, jnp.float32(2), episode, objective='bce')
