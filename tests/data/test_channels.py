"""Grey values from several channels: weights solved by hand, and when nothing is learned."""

import numpy as np
import pytest

from fscs.data.channels import (
  LUMA,
  SHRINKAGE,
  choose_channel,
  drop_alpha,
  learn_weights,
  weighted_sum,
)
from fscs.errors import InputError

SQUARE = np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)], float)  # covariance: the identity
MEANS = np.array([3, 1])


def two_classes(inside, outside):
  """An image (2, N, channels) and its mask: the first row is foreground."""
  image = np.stack([inside, outside])
  return image, np.stack([np.ones(len(inside)), np.zeros(len(outside))])


def stained(seed, size=48):
  """Blue-ish squares on pink tissue of the same luma: (H, W, 3) uint8 and a mask."""
  random = np.random.default_rng(seed)
  mask = np.zeros((size, size), bool)
  for row, column in random.integers(0, size - 10, (4, 2)):
    mask[row : row + 10, column : column + 10] = True
  blue, pink = np.array([90.0, 80, 180]), np.array([140.0, 52, 195])
  pink += (blue - pink) @ LUMA
  image = np.where(mask[..., None], blue, pink)
  image += random.normal(0, 40, (size, size, 1)) + random.normal(0, 6, (size, size, 3))
  return np.clip(image, 0, 255).astype(np.uint8), mask


def test_weights_of_independent_channels_are_the_difference_of_the_means():
  image, mask = two_classes(SQUARE + MEANS, SQUARE)
  assert learn_weights([image], [mask], 1) == pytest.approx((0.75, 0.25), abs=1e-5)
  twice = learn_weights([image, image[:, ::-1]], [mask, mask], 1)
  assert twice == learn_weights([image], [mask], 1)
  dark, mask = two_classes(SQUARE, SQUARE + MEANS)  # foreground becomes bright all the same
  assert learn_weights([dark], [mask], 1) == pytest.approx((-0.75, -0.25), abs=1e-5)


def test_what_channels_share_is_subtracted():
  shared = np.array([(5, 5), (-5, -5), (5, 5), (-5, -5)]) + SQUARE
  image, mask = two_classes(shared + np.array([2, 0]), shared)
  covariance = np.cov(shared.T, bias=True)
  variance = np.trace(covariance) / 2
  shrunk = (1 - SHRINKAGE) * covariance + SHRINKAGE * variance * np.eye(2)
  expected = np.linalg.solve(shrunk, (2, 0))
  found = learn_weights([image], [mask], 0)
  assert found == pytest.approx(tuple(expected / np.abs(expected).sum()), abs=1e-5)
  assert found[0] > 0 > found[1]


def test_colours_separate_objects_of_the_luma_of_the_background():
  images, masks = zip(*(stained(seed) for seed in range(2)), strict=True)
  weights = choose_channel(images, masks)
  image, mask = stained(9)
  learned, luma = weighted_sum(image, weights), weighted_sum(image, LUMA)

  def separation(values):
    return abs(values[mask].mean() - values[~mask].mean()) / values[~mask].std()

  assert learned[mask].mean() > learned[~mask].mean()
  assert separation(learned) > 4 > 0.5 > separation(luma)


def test_nothing_is_learned_where_nothing_is_to_be_gained():
  image, mask = stained(0)
  grey = np.repeat(image[..., :1], 3, axis=-1)
  assert choose_channel([grey], [mask]) is None  # a grey image that is saved as RGB
  assert choose_channel([grey[..., :2]], [mask]) == 0
  assert choose_channel([image[..., 0]], [mask]) is None
  assert choose_channel([image, image[..., 0]], [mask, mask]) is None
  assert choose_channel([image], [np.ones_like(mask)]) is None
  assert choose_channel([np.full_like(image, 7)], [mask]) is None


def test_a_choice_is_kept():
  image, mask = stained(0)
  assert choose_channel([image], [mask], 'luma') is None
  assert choose_channel([image], [mask], 'luma', rgb=False) == 0
  assert choose_channel([image], [mask], 2) == 2
  for weights in ((0.5, 0.25, -0.25), [0.5, 0.25, -0.25], np.array([0.5, 0.25, -0.25])):
    assert choose_channel([image], [mask], weights) == (0.5, 0.25, -0.25)
  with pytest.raises(InputError, match="channel='red'"):
    choose_channel([image], [mask], 'red')


def test_the_fluorescence_channel_that_is_annotated_is_found():
  mask = np.zeros((40, 40), bool)
  mask[10:20, 5:25] = True
  image = np.random.default_rng(0).normal(100, 10, (40, 40, 5))
  image[..., 3] += 80 * mask
  weights = choose_channel([image], [mask])
  assert np.argmax(weights) == 3
  assert weights[3] > 0.8


def test_weighted_sums_of_regions_are_those_of_the_whole():
  image = np.random.default_rng(0).integers(0, 65536, (9, 7, 3)).astype(np.uint16)
  weights = (0.123456, -0.5, 0.376544)
  whole = weighted_sum(image, weights)
  assert whole.dtype == np.float32
  np.testing.assert_allclose(whole, image @ np.array(weights), rtol=1e-5, atol=0.05)
  np.testing.assert_array_equal(weighted_sum(image[2:5, 1:], weights), whole[2:5, 1:])
  assert weighted_sum(image.astype(np.float64), weights).dtype == np.float64


def test_alpha_does_not_count():
  image, mask = stained(0)
  rgba = np.concatenate([image, np.full((*mask.shape, 1), 255, np.uint8)], axis=-1)
  weights = choose_channel([drop_alpha(rgba)], [mask])
  np.testing.assert_array_equal(weighted_sum(rgba, weights), weighted_sum(image, weights))
  assert drop_alpha(mask) is mask


@pytest.mark.parametrize('channels', [1, 2, 5])
def test_images_with_other_channels_are_refused(channels):
  with pytest.raises(InputError, match=f'{channels} channel.* annotated images had 3'):
    weighted_sum(np.zeros((4, 4, channels)), (0.2, 0.3, 0.5))
