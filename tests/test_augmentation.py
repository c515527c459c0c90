"""Augmented crops are still crops: same shapes and ranges, masks that follow their images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.draw import disk

from fscs.augmentation import STRENGTHS, Strength, _blur, _turn, augment, make_augment


def crops(count=16, size=64):
  masks = np.zeros((count, size, size, 1), np.float32)
  masks[:, *disk((24, 40), 10)] = 1
  return jnp.asarray(masks * 1.2 - 0.6), jnp.asarray(masks)


@pytest.fixture(scope='module')
def augmented():
  return jax.jit(augment)(jax.random.key(0), *crops())


def test_shapes_and_values_stay(augmented):
  images, masks = augmented
  assert images.shape == masks.shape == (16, 64, 64, 1)
  assert set(np.unique(masks)) == {0, 1}
  assert jnp.isfinite(images).all()


def test_masks_follow_their_images(augmented):
  images, masks = augmented
  for image, mask in zip(np.asarray(images), np.asarray(masks), strict=True):
    inside, outside = image[mask > 0].mean(), image[mask == 0].mean()
    assert inside - outside > 0.5


def test_every_crop_is_changed_in_its_own_way_and_the_key_decides(augmented):
  images, masks = augmented
  assert len({np.asarray(image).tobytes() for image in images}) == 16
  again = jax.jit(augment)(jax.random.key(0), *crops())
  np.testing.assert_array_equal(images, again[0])
  assert (jax.jit(augment)(jax.random.key(1), *crops())[1] != masks).any()


def test_areas_stay_within_the_zoom(augmented):
  areas = np.asarray(augmented[1]).sum((1, 2, 3))
  area = crops(1)[1].sum()
  assert areas.max() <= area * Strength().zoom ** 2 * 1.1
  assert areas.min() >= area / Strength().zoom ** 2 * 0.9
  assert areas.max() / areas.min() > 1.2


def test_turns_are_the_eight_symmetries_of_the_square():
  image = jnp.arange(9.0).reshape(3, 3, 1)
  keys = jax.random.split(jax.random.key(0), 200)
  found = {np.asarray(turned).tobytes() for turned in jax.vmap(lambda k: _turn(k, image))(keys)}
  wanted = [np.rot90(i, k) for i in (image[..., 0], image[..., 0].T) for k in range(4)]
  assert found == {np.ascontiguousarray(w)[..., None].tobytes() for w in wanted}


def test_inversion_exchanges_dark_and_bright_as_often_as_asked():
  only = Strength(gamma=1.0, contrast=1.0, noise=0.0, zoom=1.0, inversion=0.25)
  images, masks = jnp.full((200, 16, 16, 1), 0.5), jnp.zeros((200, 16, 16, 1))
  changed = augment(jax.random.key(0), images, masks, only)[0]
  np.testing.assert_allclose(jnp.abs(changed), 0.5, atol=1e-6)
  assert 0.15 < float((changed < 0).mean()) < 0.35


def test_blur_keeps_constants_and_sums_and_makes_edges_soft():
  constant = jnp.full((32, 32, 1), 0.7)
  np.testing.assert_allclose(_blur(jax.random.key(0), constant, 1.5), constant, atol=1e-6)
  point = jnp.zeros((32, 32, 1)).at[16, 12].set(1.0)
  blurred = _blur(jax.random.key(0), point, 1.5)[..., 0]
  np.testing.assert_allclose(blurred.sum(), 1, atol=1e-5)
  np.testing.assert_allclose(blurred[16, 11], blurred[16, 13], atol=1e-6)
  assert blurred.max() == blurred[16, 12] < 1


def test_names_of_augmentations():
  assert make_augment('none') is None
  images, masks = crops()
  mild = make_augment('mild')(jax.random.key(3), images, masks)
  jax.tree.map(np.testing.assert_array_equal, mild, augment(jax.random.key(3), images, masks))
  strong_images, strong_masks = make_augment('strong')(jax.random.key(3), images, masks)
  areas = strong_masks.sum((1, 2, 3)) / masks[0].sum()
  largest = STRENGTHS['strong'].zoom ** 2 * 1.1
  assert Strength().zoom ** 2 < areas.max() < largest and jnp.isfinite(strong_images).all()
