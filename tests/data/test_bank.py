"""Banks of crops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import disk_set

from fscs.data.bank import make_bank, pad_bank, sample_crops, take_crops
from fscs.data.image_sets import GreySet
from fscs.data.preprocessing import prepare
from fscs.errors import InputError


def test_crops_are_the_images_own_pixels_in_padded_banks_too():
  grey_set = prepare(disk_set(num_images=3))
  bank = make_bank([grey_set], crop_size=32, strides=[(16, 16)], min_foreground=1)
  numbers = jnp.arange(len(bank.corner))
  images, masks = take_crops(bank, numbers, 32)
  height, width = grey_set.images.shape[1:]
  for number, start in enumerate(np.asarray(bank.corner)):
    i, row, column = start // (height * width), start // width % height, start % width
    window = (i, slice(row, row + 32), slice(column, column + 32))
    expected = grey_set.images[window] / 127.5 - 1
    np.testing.assert_allclose(images[number, ..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(masks[number, ..., 0], grey_set.masks[window])
  padded = take_crops(pad_bank(bank), numbers, 32)
  np.testing.assert_array_equal(padded[0], images)
  np.testing.assert_array_equal(padded[1], masks)


def test_padded_banks_of_similar_size_have_the_same_shapes():
  banks = [
    make_bank([prepare(disk_set(num_images=n))], crop_size=32, strides=[(8, 8)], min_foreground=1)
    for n in (5, 6)
  ]
  one, other = (jax.tree.map(np.shape, pad_bank(bank)) for bank in banks)
  assert one == other


def test_sources_of_different_width_are_not_mixed():
  sets = []
  for code, value, width in (('A', 0, 30), ('B', 51, 24), ('C', 255, 40)):
    shape = (2, 20, width)
    images = np.full(shape, value, np.uint8)  # every pixel tells the source
    sets.append(GreySet(code, images, np.ones(shape, np.uint8), ('a', 'b')))
  bank = make_bank(sets, crop_size=16, strides=[(4, 4)] * 3, min_foreground=1)
  for source, value in enumerate((-1, -0.6, 1)):
    images, masks = sample_crops(jax.random.key(source), bank, source, 50, 16)
    np.testing.assert_allclose(images, value, rtol=1e-6)
    assert (masks == 1).all()


def test_a_source_without_admissible_crop_is_named():
  grey_set = prepare(disk_set('TNBC', num_images=2))
  empty = grey_set._replace(masks=np.zeros_like(grey_set.masks))
  with pytest.raises(InputError, match='TNBC: no crop of 16 x 16 pixels has 5 foreground'):
    make_bank([empty], crop_size=16, strides=[(4, 4)], min_foreground=5)
