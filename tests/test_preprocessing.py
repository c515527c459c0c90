"""Grey values, shrinking and crop tables."""

import numpy as np
import pytest
from toys import disk_set

from fscs.data import datasets
from experiments.common.data import SOURCE_STRIDES
from fscs.data.preprocessing import grey, prepare, shrink, some_crops
from fscs.data.crops import crop_corners
from experiments.study.targets import split
from fscs.errors import InputError


def test_rgb_becomes_luma():
  pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
  np.testing.assert_array_equal(grey(pixels, 'TNBC'), [[76, 150, 29, 255]])
  deep = np.array([[[1000, 1000, 1000], [65535, 0, 0]]], np.uint16)
  np.testing.assert_array_equal(grey(deep, 'mine'), [[4, 76]])  # 255 / 65535 * 1000 = 3.9
  np.testing.assert_array_equal(grey(deep, 'mine', 'paper'), [[255, 255]])


def test_sixteen_bits_are_scaled_by_the_documented_limits():
  pixels = np.array([[0, 100, 800, 1500, 4095]], np.uint16)
  np.testing.assert_array_equal(grey(pixels, 'B39'), [[0, 0, 128, 255, 255]])


def test_sixteen_bits_of_an_unknown_kind_keep_their_whole_range():
  np.testing.assert_array_equal(grey(np.array([[0, 65535]], np.uint16), 'mine'), [[0, 255]])


def test_the_papers_protocol_clips_at_255():
  pixels = np.array([[0, 100, 255, 256, 4095]], np.uint16)
  np.testing.assert_array_equal(grey(pixels, 'B39', 'paper'), [[0, 100, 255, 255, 255]])


def test_shrinking_averages_blocks_and_cuts_the_rest_off():
  image = np.arange(15).reshape(3, 5)
  np.testing.assert_array_equal(shrink(image, 2), [[3, 5]])


def test_a_shrunk_mask_is_foreground_where_half_of_its_block_is():
  image_set = disk_set(num_images=1)
  mask = np.zeros((64, 64), bool)
  mask[0, 0:2] = mask[10, 10] = True
  prepared = prepare(image_set._replace(masks=(mask,)), downscale=2)
  assert prepared.masks.shape == (1, 32, 32)
  assert np.argwhere(prepared.masks[0]).tolist() == [[0, 0]]


def test_images_of_two_sizes_are_refused():
  one, other = disk_set(num_images=1), disk_set(num_images=1, size=48)
  mixed = one._replace(images=one.images + other.images, masks=one.masks + other.masks)
  with pytest.raises(InputError, match='images and masks of one size'):
    prepare(mixed)


@pytest.mark.parametrize('downscale', [1, 2])
def test_whatever_is_not_0_in_a_mask_is_foreground(downscale):
  image_set = disk_set(num_images=2)
  expected = prepare(image_set, downscale=downscale).masks
  assert set(np.unique(expected)) == {0, 1}
  for value in (1, 255, 7):
    masks = tuple(mask.astype(np.uint8) * value for mask in image_set.masks)
    found = prepare(image_set._replace(masks=masks), downscale=downscale)
    np.testing.assert_array_equal(found.masks, expected)


def test_own_images_that_cannot_be_prepared_are_named():
  image_set = disk_set(num_images=1)
  smaller = (image_set.masks[0][1:],)
  with pytest.raises(InputError, match='images and masks of one size are needed, found'):
    prepare(image_set._replace(masks=smaller))
  for image in (np.zeros((64, 64)), np.zeros((64, 64), np.int16), np.zeros((64, 64, 5), np.uint8)):
    with pytest.raises(InputError, match=r'an image of shape .*\.stretch makes them of other grey'):
      prepare(image_set._replace(images=(image,)))


def test_split_keeps_names_with_images():
  grey_set = prepare(disk_set(num_images=4))
  part = split(grey_set, [2, 0])
  assert part.names == ('02.png', '00.png')
  np.testing.assert_array_equal(part.images[0], grey_set.images[2])


def test_crop_corners_equal_counting_every_window():
  masks = np.stack(prepare(disk_set(num_images=2)).masks)
  found = crop_corners(masks, 24, (7, 5), 100)
  expected = [
    [i, r, c]
    for i in range(2)
    for r in range(0, 64 - 24 + 1, 7)
    for c in range(0, 64 - 24 + 1, 5)
    if masks[i, r : r + 24, c : c + 24].sum() >= 100
  ]
  assert found.tolist() == expected


def test_crops_without_foreground_enter_only_if_none_is_asked_for():
  empty = np.zeros((1, 32, 32), np.uint8)
  assert len(crop_corners(empty, 16, (8, 8), 1)) == 0
  assert len(crop_corners(empty, 16, (8, 8), 0)) == 9


def test_crops_larger_than_the_image_are_refused():
  with pytest.raises(InputError, match=r'crops of 65 x 65 pixels are larger .* 64 x 64'):
    crop_corners(np.ones((1, 64, 64), np.uint8), 65, (8, 8), 1)


@pytest.mark.real_data
@pytest.mark.parametrize(('code', 'count'), [('ssTEM', 9988), ('EM', 9518), ('TNBC', 8138)])
def test_crop_counts_of_the_complete_sets_are_the_papers(code, count, real_raw_dir, real_data_dir):
  image_set = datasets.load(code, raw_dir=real_raw_dir, data_dir=real_data_dir)
  masks = prepare(image_set).masks
  assert len(crop_corners(masks, 256, SOURCE_STRIDES[code], 360)) == count


def test_crops_that_stand_for_all_are_spread_over_them():
  images = [np.arange(100).reshape(10, 10), np.arange(100, 300).reshape(20, 10)]
  corners = np.array([(0, 0, 0), (0, 1, 2), (1, 16, 6)])
  found = some_crops(images, corners, 4, count=5)
  assert found.shape == (5, 4, 4)
  np.testing.assert_array_equal(found[0], images[0][:4, :4])
  np.testing.assert_array_equal(found[2], images[0][1:5, 2:6])
  np.testing.assert_array_equal(found[4], images[1][16:, 6:])
