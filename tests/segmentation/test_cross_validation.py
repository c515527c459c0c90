"""Folds: what is held out in turn, and which crops are left to train on."""

import numpy as np
import pytest
from helpers import noise, tiny_segmenter

from fscs.segmentation.annotations import AnnotatedImage
from fscs.segmentation.cross_validation import (
  Fold,
  ImagePart,
  crops_outside,
  make_folds,
  num_folds,
  predict_fold,
  usable_folds,
)
from fscs.segmentation.prediction import predict_grey


def grid(num_images, last, step=4):
  """Corners of crops on a grid, (C, 3)."""
  places = range(0, last + 1, step)
  return np.stack(np.meshgrid(range(num_images), places, places), axis=-1).reshape(-1, 3)


def test_three_images_are_held_out_one_by_one_and_fewer_by_halves():
  assert [len(fold) for fold in make_folds([np.ones((9, 9))] * 3)] == [1, 1, 1]
  assert [len(fold) for fold in make_folds([np.ones((9, 9))] * 10)] == [4, 3, 3]
  assert num_folds(10) == 3
  first, second = make_folds([np.ones((100, 50)), np.ones((60, 90))])
  assert (first[0].rows, first[1].columns) == (slice(0, 50), slice(0, 45))
  assert (second[0].rows, second[1].columns) == (slice(50, 100), slice(45, 90))


@pytest.mark.parametrize(('first', 'last', 'cut'), [(0, 40, 30), (70, 110, 80), (20, 100, 60)])
@pytest.mark.parametrize('transposed', [False, True])
def test_both_halves_have_a_quarter_of_the_foreground(first, last, cut, transposed):
  labels = np.zeros((120, 50), np.int32)
  labels[first:last, 10:40] = 1
  (one,), (other,) = make_folds([labels.T if transposed else labels])
  assert (one[1 + transposed], other[1 + transposed]) == (slice(0, cut), slice(cut, 120))
  assert one[2 - transposed] == other[2 - transposed] == slice(0, 50)


def test_no_crop_of_a_fold_touches_what_is_held_out():
  corners = grid(2, 68)
  folds = usable_folds([np.ones((100, 100))] * 2, corners, 32)
  assert len(folds) == 2
  for fold in folds:
    taken = np.zeros((2, 100, 100), bool)
    for image, row, column in corners[fold.crops]:
      taken[image, row : row + 32, column : column + 32] = True
    assert taken.any()
    assert not any(taken[part.image, part.rows, part.columns].any() for part in fold.held_out)
  (half,) = make_folds([np.ones((40, 40))])[0]
  assert len(crops_outside([half], np.array([[0, 0, 0]]), 32)) == 0


def test_folds_have_foreground_on_both_sides():
  corners = grid(1, 68)
  line, strip, whole = np.zeros((3, 100, 100), np.int32)
  line[50] = 1  # lies in one half alone
  assert usable_folds([line], corners, 32) == []
  strip[:20] = 1  # crops of 32 fit below the cut, not above it
  assert [fold.held_out[0].rows for fold in usable_folds([strip], corners, 32)] == [slice(0, 15)]
  whole[:] = 1
  folds = usable_folds([whole, line], corners, 32)
  assert [len(fold.held_out) for fold in folds] == [1, 2]  # the line has no upper half


def test_two_images_too_small_for_halves_are_held_out_whole():
  folds = usable_folds([np.ones((40, 40), int)] * 2, grid(2, 8), 32)
  assert [fold.held_out[0] for fold in folds] == [
    ImagePart(image, slice(0, 40), slice(0, 40)) for image in (0, 1)
  ]


def test_what_is_held_out_is_predicted_as_new_images_are():
  network = tiny_segmenter().network
  image = AnnotatedImage('a', noise((64, 80)), np.ones((64, 80), np.int32), (64, 80))
  part = ImagePart(0, slice(0, 64), slice(40, 80))
  (result,) = predict_fold(network, [image], Fold((part,), np.arange(0)), 0.5, 4)
  np.testing.assert_array_equal(result.probability, predict_grey(network, image.grey[:, 40:], 4))
