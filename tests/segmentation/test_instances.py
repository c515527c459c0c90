"""From probability to objects."""

import numpy as np
from helpers import disk_labels

from fscs.data.scaling import object_diameters
from fscs.segmentation.instances import (
  Watershed,
  default_watershed,
  find_objects,
  learn_watershed,
)


def test_holes_are_filled_and_small_objects_dropped():
  probability = (disk_labels((25, 25, 12), (70, 70, 12)) > 0) * 0.9
  probability[25, 25] = 0.1
  probability[3, 3] = 0.9
  found = find_objects(probability, Watershed(min_area=5))
  assert found.max() == 2
  assert found[25, 25] > 0
  assert found[3, 3] == 0
  assert find_objects(probability, Watershed()).max() == 3
  assert find_objects(np.zeros((5, 5)), Watershed(min_distance=3.0)).max() == 0


def test_touching_disks_are_split_by_distance():
  probability = (disk_labels((50, 35, 15), (50, 62, 15)) > 0) * 1.0
  assert find_objects(probability, Watershed()).max() == 1
  found = find_objects(probability, Watershed(min_distance=10.0))
  assert found.max() == 2
  assert found[50, 35] != found[50, 62]


def test_the_watershed_is_learned_where_annotated_objects_touch():
  truth = disk_labels((50, 35, 15), (50, 62, 15), (15, 80, 12))
  probability = np.where(truth > 0, 0.6, 0.4)  # at a threshold of 0.35 everything is foreground
  learned = learn_watershed([probability], [truth], 28.0)
  assert learned.threshold == 0.5
  assert learned.min_distance is not None
  found = find_objects(probability, learned)
  assert found.max() == 3
  assert object_diameters(found).min() > 20


def test_the_default_watershed_follows_from_the_size_of_objects():
  params = default_watershed([disk_labels((50, 50, 20))])
  np.testing.assert_allclose(params.min_distance, 20, rtol=0.02)
  np.testing.assert_allclose(params.min_area, np.pi * 20**2 / 4, rtol=0.02)
  assert default_watershed([np.zeros((9, 9), int)]) == Watershed()


def test_seeds_above_a_higher_threshold_grow_into_the_foreground():
  truth = disk_labels((50, 35, 15), (50, 66, 15))
  probability = np.where(truth > 0, 0.9, 0.1)
  probability[45:56, 47:55] = 0.6  # a bridge between the disks
  faint = disk_labels((15, 80, 8)) > 0
  probability[faint] = 0.6
  assert find_objects(probability, Watershed()).max() == 2  # the disks are one object
  found = find_objects(probability, Watershed(seed_threshold=0.8))
  assert found.max() == 2
  assert found[50, 35] != found[50, 66]
  assert (found[45:56, 47:55] > 0).all()  # the bridge is shared out
  assert not found[faint].any()  # nothing there is above the higher threshold
  same = find_objects(probability, Watershed(seed_threshold=0.3))
  np.testing.assert_array_equal(same, find_objects(probability, Watershed()))


def test_bridges_between_objects_are_learned():
  truth = disk_labels((50, 30, 15), (50, 70, 15))
  probability = np.where(truth > 0, 0.95, 0.05)
  probability[48:53, 40:60] = np.where(truth[48:53, 40:60] > 0, 0.95, 0.6)
  learned = learn_watershed([probability], [truth], 30.0)
  assert max(learned.threshold, learned.seed_threshold) > 0.6
  assert find_objects(probability, learned).max() == 2
