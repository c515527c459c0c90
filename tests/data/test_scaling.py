"""The scale at which objects have a size that the network knows."""

import numpy as np
import pytest
from helpers import disk_labels

from fscs.data.image_sets import GreySet
from fscs.data.scaling import choose_scale, resize_set, typical_diameter, typical_thickness


def test_specks_hardly_change_the_typical_diameter():
  labels = disk_labels((25, 25, 15), (70, 70, 15), (5, 90, 1.5), (95, 5, 1.5), (90, 20, 1.5))
  assert typical_diameter([labels]) == pytest.approx(30, abs=1)


def test_objects_are_scaled_to_the_nearest_known_diameter():
  labels = [disk_labels((50, 50, 20))]  # a diameter of 40
  assert choose_scale(labels, (80, 120)) == pytest.approx(2.0, rel=0.03)
  assert choose_scale(labels, (8, 20)) == pytest.approx(0.5, rel=0.05)
  assert [choose_scale(labels, known) for known in ((48, 99), (24, 60), (10, 33))] == [1.0] * 3
  assert choose_scale(labels, (1, 1)) == 1 / 8
  assert choose_scale([np.zeros((9, 9), np.int32)], (24, 60)) == 1.0


def test_a_clump_counts_as_wide_as_it_is_thick():
  assert typical_thickness([disk_labels((50, 50, 20))]) == pytest.approx(40, rel=0.05)
  disks = [(50, 20 + 19 * i, 10) for i in range(4)]
  clump = [(disk_labels(*disks) > 0).astype(np.int32)]
  assert typical_diameter(clump) > 35
  assert typical_thickness(clump) == pytest.approx(20, rel=0.05)
  assert choose_scale(clump, (8, 26)) == 1.0
  assert choose_scale(clump, (24, 26)) == 1.0  # nor is it enlarged
  assert choose_scale([np.ones((64, 64), np.int32)], (24, 30)) == pytest.approx(30 / 72, rel=0.01)


def test_a_set_is_resized_as_a_whole():
  grey = np.full((2, 30, 40), 90, np.uint8)
  masks = np.zeros_like(grey)
  masks[:, 10:20, 10:20] = 1
  grey_set = GreySet('EM', grey, masks, ('a', 'b'))
  found = resize_set(grey_set, 1.5)
  assert found.images.shape == found.masks.shape == (2, 45, 60)
  assert (found.images == 90).all()
  assert found.masks.sum((1, 2)).tolist() == [225, 225]
  assert found.names == ('a', 'b')
  padded = resize_set(grey_set, 0.5, 24)
  assert padded.images.shape == padded.masks.shape == (2, 24, 24)
  assert padded.masks.sum((1, 2)).tolist() == [45, 45]  # 5 rows of 5 pixels, 4 of them mirrored
