"""Where crops lie."""

import numpy as np
import pytest
from helpers import disk_set

from experiments.common.data import SOURCE_STRIDES
from fscs.data import datasets
from fscs.data.crops import crop_corners, pad_to_crops, sample_evenly
from fscs.data.preprocessing import prepare
from fscs.errors import InputError


def test_crop_corners_equal_counting_every_window():
  masks = prepare(disk_set(num_images=2)).masks
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


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(('code', 'count'), [('ssTEM', 9988), ('EM', 9518), ('TNBC', 8138)])
def test_crop_counts_of_the_complete_sets_are_the_papers(code, count, real_raw_dir, real_data_dir):
  image_set = datasets.load(code, raw_dir=real_raw_dir, data_dir=real_data_dir)
  masks = prepare(image_set).masks
  assert len(crop_corners(masks, 256, SOURCE_STRIDES[code], 360)) == count


def test_evenly_sampled_crops_are_spread_over_the_table():
  images = [np.arange(100).reshape(10, 10), np.arange(100, 300).reshape(20, 10)]
  corners = np.array([(0, 0, 0), (0, 1, 2), (1, 16, 6)])
  found = sample_evenly(images, corners, 4, count=5)
  assert found.shape == (5, 4, 4)
  np.testing.assert_array_equal(found[0], images[0][:4, :4])
  np.testing.assert_array_equal(found[2], images[0][1:5, 2:6])
  np.testing.assert_array_equal(found[4], images[1][16:, 6:])


def test_padding_reflects_at_the_lower_and_right_edge():
  image = np.arange(6).reshape(2, 3)
  np.testing.assert_array_equal(
    pad_to_crops(image, 4), [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [0, 1, 2, 2]]
  )
