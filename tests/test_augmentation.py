"""Augmented crops have the same shapes and ranges, and masks that follow their images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_trees_equal, disk_labels

from fscs.augmentation import ZOOM, augment, make_augment

SHIFTED_DISK = (disk_labels((24, 40, 10), shape=(64, 64)) > 0).astype(np.float32)


@pytest.fixture(scope='module')
def crops():
  """Sixteen times the same crop: images (B, H, H, 1) in [-1, 1] and masks."""
  masks = np.tile(SHIFTED_DISK[None, ..., None], (16, 1, 1, 1))
  return jnp.asarray(masks * 1.2 - 0.6), jnp.asarray(masks)


@pytest.fixture(scope='module')
def augmented(crops):
  return jax.jit(make_augment('mild'))(jax.random.key(0), *crops)


def test_shapes_stay_and_masks_stay_binary(augmented):
  images, masks = augmented
  assert images.shape == masks.shape == (16, 64, 64, 1)
  assert set(np.unique(masks)) == {0, 1}
  assert jnp.isfinite(images).all()


def test_masks_follow_their_images(augmented):
  for image, mask in zip(*map(np.asarray, augmented), strict=True):
    assert image[mask > 0].mean() - image[mask == 0].mean() > 0.5


def test_areas_change_within_the_square_of_the_zoom(augmented):
  ratios = np.asarray(augmented[1]).sum((1, 2, 3)) / SHIFTED_DISK.sum()
  assert ratios.max() <= 1.1 * ZOOM**2
  assert ratios.min() >= 0.9 / ZOOM**2
  assert ratios.max() / ratios.min() > 1.2


def test_crops_differ_within_a_batch_and_the_key_decides(crops, augmented):
  assert len({image.tobytes() for image in np.asarray(augmented[0])}) == 16
  assert_trees_equal(augmented, jax.jit(augment)(jax.random.key(0), *crops))
  assert (jax.jit(augment)(jax.random.key(1), *crops)[1] != augmented[1]).any()
  assert make_augment('none') is None
