"""From images on disk to sets of 8-bit grey values."""

import numpy as np
import pytest
from helpers import disk_set

from fscs.data.intensity import normalise
from fscs.data.preprocessing import prepare, select_images, shrink, to_grey8
from fscs.errors import InputError


def test_colours_become_their_luma():
  pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
  np.testing.assert_array_equal(to_grey8(pixels, 'TNBC'), [[76, 150, 29, 255]])
  deep = np.array([[[1000, 1000, 1000], [65535, 0, 0]]], np.uint16)
  np.testing.assert_array_equal(to_grey8(deep, 'mine'), [[4, 76]])  # 255 / 65535 * 1000 = 3.9


def test_sixteen_bits_are_scaled_from_documented_limits_or_the_full_range():
  pixels = np.array([[0, 100, 800, 1500, 4095]], np.uint16)
  np.testing.assert_array_equal(to_grey8(pixels, 'B39'), [[0, 0, 128, 255, 255]])
  np.testing.assert_array_equal(to_grey8(pixels, 'mine'), [[0, 0, 3, 6, 16]])


def test_the_papers_protocol_clips_sixteen_bits_at_255():
  pixels = np.array([[0, 100, 255, 256, 4095]], np.uint16)
  np.testing.assert_array_equal(to_grey8(pixels, 'B39', 'paper'), [[0, 100, 255, 255, 255]])


def test_shrinking_averages_blocks_and_cuts_the_rest_off():
  np.testing.assert_array_equal(shrink(np.arange(15).reshape(3, 5), 2), [[3, 5]])


def test_a_shrunk_mask_is_foreground_where_at_least_half_of_its_block_is():
  mask = np.zeros((64, 64), bool)
  mask[0, 0:2] = mask[10, 10] = True
  prepared = prepare(disk_set(num_images=1)._replace(masks=(mask,)), downscale=2)
  assert prepared.masks.shape == (1, 32, 32)
  assert np.argwhere(prepared.masks[0]).tolist() == [[0, 0]]


@pytest.mark.parametrize('downscale', [1, 2])
def test_mask_values_other_than_0_are_foreground(downscale):
  image_set = disk_set(num_images=2)
  expected = prepare(image_set, downscale=downscale).masks
  assert set(np.unique(expected)) == {0, 1}
  for value in (1, 255, 7):
    masks = tuple(mask.astype(np.uint8) * value for mask in image_set.masks)
    found = prepare(image_set._replace(masks=masks), downscale=downscale)
    np.testing.assert_array_equal(found.masks, expected)


def test_sizes_that_differ_and_images_of_other_types_are_refused():
  one, other = disk_set(num_images=1), disk_set(num_images=1, size=48)
  mixed = one._replace(images=one.images + other.images, masks=one.masks + other.masks)
  smaller_mask = one._replace(masks=(one.masks[0][1:],))
  for image_set in (mixed, smaller_mask):
    with pytest.raises(InputError, match='images and masks of one size'):
      prepare(image_set)
  for image in (np.zeros((64, 64)), np.zeros((64, 64), np.int16), np.zeros((64, 64, 5), np.uint8)):
    with pytest.raises(InputError, match=r'image of shape .* and type'):
      prepare(one._replace(images=(image,)))


def test_selected_images_keep_their_names_and_order():
  grey_set = prepare(disk_set(num_images=4))
  part = select_images(grey_set, [2, 0])
  assert part.names == ('02.png', '00.png')
  np.testing.assert_array_equal(part.images[0], grey_set.images[2])


def test_normalised_grey_values_go_from_minus_one_to_one():
  np.testing.assert_allclose(normalise(np.array([0, 51, 255], np.uint8)), [-1, -0.6, 1], rtol=1e-6)
