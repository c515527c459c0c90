"""What becomes of a user's arrays before the network sees them, and of its output after."""

import numpy as np
import pytest
from skimage.draw import disk

from fscs.data import scaling as own_images
from fscs.data.image_sets import GreySet
from fscs.data.scaling import (
  choose_scale,
  objects_of,
  rescale_labels,
  resize_set,
  scaled_shape,
  typical_diameter,
  typical_thickness,
)
from fscs.data.intensity import stretch, to_grey
from fscs.errors import InputError
from fscs.segmentation.tiling import tiles
from fscs.segmentation.annotations import annotate, at_scale
from fscs.segmentation.cross_validation import crops_outside, make_folds, usable_folds
from fscs.segmentation.config import num_folds
from fscs.segmentation.instances import Splitting, find_objects, learn_splitting
from fscs.segmentation.tiling import one_tile


def disks(*places, size=100):
  """Labels of disks: (row, column, radius) each."""
  labels = np.zeros((size, size), np.int32)
  for number, (row, column, radius) in enumerate(places, 1):
    labels[disk((row, column), radius, shape=labels.shape)] = number
  return labels


def test_grey_of_colours_is_luma_and_of_a_channel_that_channel():
  image = np.zeros((2, 3, 4), np.uint8)
  image[..., :] = (100, 200, 50, 7)
  assert to_grey(image)[0, 0] == pytest.approx(0.299 * 100 + 0.587 * 200 + 0.114 * 50)
  assert to_grey(image, 1)[0, 0] == 200
  assert to_grey(image[..., :1]).shape == (2, 3)


def test_stretching_makes_all_ranges_alike():
  ramp = np.arange(10_000).reshape(100, 100)
  for image in (ramp.astype(np.uint16), ramp / 7 - 3, -ramp[::-1, ::-1]):
    grey = stretch(image)
    assert grey.dtype == np.uint8
    assert (grey.min(), grey.max()) == (0, 255)
    assert np.abs(grey.astype(float) - ramp / 9999 * 255).max() <= 1.5
  assert (stretch(np.full((4, 4), 9)) == 0).all()
  one_bright = np.zeros((100, 100))
  one_bright[3, 4] = 5
  assert stretch(one_bright).max() == 255


def test_masks_of_one_value_have_regions_as_objects_and_others_their_values():
  labels, instances = objects_of(disks((20, 20, 9), (60, 60, 9)) > 0)
  assert (labels.max(), instances) == (2, False)
  labels, instances = objects_of(disks((20, 20, 9), (60, 60, 9)) * 5)
  assert (sorted(np.unique(labels)), instances) == ([0, 1, 2], True)


def test_the_typical_diameter_is_that_of_the_objects_that_fill_the_area():
  labels = disks((25, 25, 15), (70, 70, 15), (5, 90, 1.5), (95, 5, 1.5), (90, 20, 1.5))
  assert typical_diameter([labels]) == pytest.approx(30, abs=1)


def test_small_objects_grow_to_the_known_size_and_large_ones_shrink_no_further_than_needed():
  labels = [disks((50, 50, 20))]  # a diameter of 40
  assert choose_scale(labels, (80, 120)) == pytest.approx(2.0, rel=0.03)
  assert [choose_scale(labels, known) for known in ((48, 99), (24, 60), (10, 33))] == [1.0] * 3
  assert choose_scale(labels, (8, 20)) == pytest.approx(0.5, rel=0.05)
  assert choose_scale(labels, (1, 1)) == 1 / 8
  assert choose_scale([np.zeros((9, 9), np.int32)], (24, 60)) == 1.0


def test_the_thickness_is_a_disks_diameter_and_not_that_of_the_clump_it_touches():
  disk = disks((50, 50, 20))
  assert typical_thickness([disk]) == pytest.approx(40, rel=0.05)
  chain = [(disks(*((50, 20 + 19 * i, 10) for i in range(4))) > 0).astype(np.int32)]
  assert typical_diameter(chain) > 35
  assert typical_thickness(chain) == pytest.approx(20, rel=0.05)
  assert choose_scale(chain, (8, 26)) == 1.0
  assert choose_scale(chain, (24, 26)) == 1.0  # nor does a clump grow
  assert choose_scale([np.ones((64, 64), np.int32)], (24, 30)) == pytest.approx(30 / 72, rel=0.01)


def test_labels_keep_their_values_and_places_when_rescaled():
  labels = disks((30, 30, 20), (70, 75, 15))
  half = rescale_labels(labels, (50, 50))
  assert set(np.unique(half)) == {0, 1, 2}
  np.testing.assert_allclose(np.bincount(half.ravel()) * 4, np.bincount(labels.ravel()), rtol=0.05)
  image, _ = annotate(labels * 80, labels, 'a')
  small = at_scale(image, 0.5)
  assert small.grey.shape == small.labels.shape == (50, 50)
  assert small.grey[small.labels == 2].mean() > small.grey[small.labels == 1].mean() > 50


@pytest.mark.parametrize(
  ('image', 'mask', 'message'),
  [
    (np.zeros((9, 9)), disks((4, 4, 2), size=9), 'a: all pixels have the same grey value'),
    (np.full((9, 9), np.nan), disks((4, 4, 2), size=9), 'a: .*81 pixels that are NaN'),
    (np.zeros((9, 9, 2)), disks((4, 4, 2), size=9), 'a: .*2 channels: say which'),
    (np.zeros((9,)), disks((4, 4, 2), size=9), r'a: .*shape \(9,\)'),
    (np.eye(9), np.zeros((9, 9), int), 'a: a mask is all foreground or all background'),
    (np.eye(9), -np.eye(9, dtype=int), 'a: a mask has negative values, -1 the least'),
    (np.eye(9), np.ones((9, 9), int), 'a: a mask is all foreground or all background'),
    (np.eye(9), np.zeros((9, 9)), r'a: a mask of shape \(9, 9\) and type float64'),
    (np.eye(8), disks((4, 4, 2), size=9), r'a: the image is \(8, 8\) and its mask \(9, 9\)'),
  ],
)
def test_arrays_that_cannot_be_learned_from(image, mask, message):
  with pytest.raises(InputError, match=message):
    annotate(image, mask, 'a')


@pytest.mark.parametrize('offset', [2**30, -(2**30)])
def test_grey_values_far_from_zero_keep_their_differences(offset):
  values = np.arange(9000).reshape(90, 100)
  expected = stretch(values)
  np.testing.assert_array_equal(stretch((values + offset).astype(np.int32)), expected)
  np.testing.assert_array_equal(stretch(values * 1e300), expected)


@pytest.mark.parametrize('size', [1, 64, 1024, 1025, 1984, 1985, 5000])
def test_tiles_cover_every_pixel_once(size):
  total = np.zeros(size)
  for span in tiles.spans(size, 24):
    total[span.begin : span.begin + len(span.weights)] += span.weights
  np.testing.assert_allclose(total, 1)


def test_prediction_by_tiles_is_that_of_the_whole_where_pixels_decide_alone(monkeypatch):
  monkeypatch.setattr(tiles, 'SMALL_STEP', 8)
  seen = []
  image = np.random.default_rng(0).random((1500, 2000)).astype(np.float32)
  found = tiles.predict_by_tiles(lambda x: (seen.append(x.shape), 2 * x)[1], image, 24)
  np.testing.assert_allclose(found, 2 * image, rtol=1e-6)
  assert len(set(seen)) <= 4
  assert max(max(shape) for shape in seen) <= tiles.TILE


@pytest.mark.parametrize('reach', [24, 58])
def test_blocks_of_large_images_are_one_tile_when_resized(reach):
  seen = tiles.margin(reach)
  for scale in np.linspace(1 / 8, 8, 300):
    core, margin = one_tile(seen, scale)
    side, _ = scaled_shape((core + 2 * margin,) * 2, scale)
    assert tiles.TILE - scale - 1 <= side <= tiles.TILE
    assert margin * scale >= seen


def test_samples_are_spread_over_the_image():
  rows, columns = np.mgrid[:3000, :2000]
  pieces = tiles.sample(rows * 10_000 + columns, 16, 256)
  assert pieces.shape[1:] == (256, 256)
  assert 12 <= len(pieces) <= 16
  assert pieces.min() == 0
  assert pieces.max() == 2999 * 10_000 + 1999


def test_three_images_are_held_out_one_by_one_and_fewer_by_halves():
  assert [len(fold) for fold in make_folds([np.ones((9, 9))] * 3)] == [1, 1, 1]
  assert [len(fold) for fold in make_folds([np.ones((9, 9))] * 10)] == [4, 3, 3]
  assert num_folds(10) == 3
  first, second = make_folds([np.ones((100, 50)), np.ones((60, 90))])
  assert (first[0].rows, first[1].columns) == (slice(0, 50), slice(0, 45))
  assert (second[0].rows, second[1].columns) == (slice(50, 100), slice(45, 90))


@pytest.mark.parametrize(('first', 'last', 'cut'), [(0, 40, 30), (70, 110, 80), (20, 100, 60)])
@pytest.mark.parametrize('turn', [False, True])
def test_halves_are_cut_near_the_middle_with_a_quarter_of_the_foreground_on_both_sides(
  first, last, cut, turn
):
  labels = np.zeros((120, 50), np.int32)
  labels[first:last, 10:40] = 1
  (one,), (other,) = make_folds([labels.T if turn else labels])
  assert (one[1 + turn], other[1 + turn]) == (slice(0, cut), slice(cut, 120))
  assert one[2 - turn] == other[2 - turn] == slice(0, 50)


def test_no_crop_of_a_fold_touches_what_is_held_out():
  corners = np.stack(np.meshgrid([0, 1], range(0, 69, 4), range(0, 69, 4)), -1).reshape(-1, 3)
  labels = [np.ones((100, 100))] * 2
  folds, crops = usable_folds(labels, corners, 32)
  assert len(crops) == len(folds) + 1 == 3
  assert len(crops[-1]) == len(corners)
  for fold, numbers in zip(folds, crops[:-1], strict=True):
    taken = np.zeros((2, 100, 100), bool)
    for image, row, column in corners[numbers]:
      taken[image, row : row + 32, column : column + 32] = True
    assert taken.any()
    assert not any(taken[p.image, p.rows, p.columns].any() for p in fold)
  assert len(crops_outside(make_folds([np.ones((40, 40))])[0], np.array([[0, 0, 0]]), 32)) == 0


def test_folds_that_teach_or_try_nothing_are_left_out():
  corners = np.stack(np.meshgrid([0], range(0, 69, 4), range(0, 69, 4)), -1).reshape(-1, 3)
  line, strip, whole = np.zeros((3, 100, 100), np.int32)
  line[50] = 1  # lies in one half alone
  assert usable_folds([line], corners, 32)[0] == []
  strip[:20] = 1  # crops of 32 fit below the cut, not above it
  assert [fold[0].rows for fold in usable_folds([strip], corners, 32)[0]] == [slice(0, 15)]
  whole[:] = 1
  folds, _ = usable_folds([whole, line], corners, 32)
  assert [len(fold) for fold in folds] == [1, 2]  # the line's upper half has nothing to find


def test_objects_are_counted_filled_and_dropped_if_small():
  labels = disks((25, 25, 12), (70, 70, 12))
  probability = (labels > 0) * 0.9
  probability[25, 25] = 0.1
  probability[3, 3] = 0.9
  found = find_objects(probability, Splitting(min_area=5))
  assert found.max() == 2
  assert found[25, 25] > 0
  assert found[3, 3] == 0
  assert find_objects(probability, Splitting()).max() == 3
  assert find_objects(np.zeros((5, 5)), Splitting(distance=3.0)).max() == 0


def test_touching_disks_are_split_by_distance():
  touching = disks((50, 35, 15), (50, 62, 15))
  probability = (touching > 0) * 1.0
  assert find_objects(probability, Splitting()).max() == 1
  found = find_objects(probability, Splitting(distance=10.0))
  assert found.max() == 2
  assert found[50, 35] != found[50, 62]


def test_splitting_is_learned_where_annotated_objects_touch():
  truth = disks((50, 35, 15), (50, 62, 15), (15, 80, 12))
  probability = np.where(truth > 0, 0.6, 0.4)  # at a threshold of 0.35 everything is foreground
  learned = learn_splitting([probability], [truth], 28.0)
  assert learned.threshold == 0.5
  assert learned.distance is not None
  assert find_objects(probability, learned).max() == 3
  assert own_images.object_diameters(find_objects(probability, learned)).min() > 20


def test_a_set_is_resized_as_a_whole():
  grey = np.full((2, 30, 40), 90, np.uint8)
  masks = np.zeros_like(grey)
  masks[:, 10:20, 10:20] = 1
  found = resize_set(GreySet('EM', grey, masks, ('a', 'b')), 1.5)
  assert found.images.shape == found.masks.shape == (2, 45, 60)
  assert (found.images == 90).all()
  assert found.masks.sum((1, 2)).tolist() == [225, 225]
  assert found.names == ('a', 'b')
  filled = resize_set(GreySet('EM', grey, masks, ('a', 'b')), 0.5, 24)
  assert filled.images.shape == filled.masks.shape == (2, 24, 24)
  assert filled.masks.sum((1, 2)).tolist() == [45, 45]  # 5 rows of 5 pixels, and 4 of them mirrored
