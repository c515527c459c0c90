"""Scores of pixels, on shapes of known overlap."""

import numpy as np
import pytest
from helpers import disk_labels

from fscs.errors import InputError
from fscs.metrics import dice, foreground_accuracy, iou


def square(row, column, side=4):
  mask = np.zeros((16, 16), bool)
  mask[row : row + side, column : column + side] = True
  return mask


def test_squares_that_share_half():
  truth, prediction = square(0, 0), square(0, 2)  # 8 shared of 16 each
  assert iou(prediction, truth) == pytest.approx(8 / 24, abs=1e-4)
  assert dice(prediction, truth) == pytest.approx(16 / 32, abs=1e-4)
  assert foreground_accuracy(prediction, truth) == pytest.approx(8 / 16, abs=1e-4)


def test_disks_of_known_overlap():
  radius = distance = 60
  masks = [disk_labels((100, 100 + x, radius), shape=(200, 260)) > 0 for x in (0, distance)]
  lens = 2 * radius**2 * np.arccos(0.5) - distance / 2 * np.sqrt(4 * radius**2 - distance**2)
  assert iou(*masks) == pytest.approx(lens / (2 * np.pi * radius**2 - lens), abs=3e-3)


def test_empty_masks_agree_and_a_false_positive_does_not():
  empty = np.zeros((4, 4), bool)
  assert iou(empty, empty) == 1
  assert iou(~empty, empty) < 1e-4


def test_one_value_per_image():
  stack = np.stack([square(0, 0), square(8, 8)])
  np.testing.assert_allclose(iou(stack, np.stack([square(0, 0)] * 2)), [1, 0], atol=1e-4)


@pytest.mark.parametrize('metric', [iou, dice, foreground_accuracy])
def test_labels_and_masks_of_other_shapes_are_refused(metric):
  mask = np.zeros((2, 4, 4), bool)
  with pytest.raises(InputError, match='type int32'):
    metric(mask, mask.astype(np.int32))
  with pytest.raises(InputError, match=r'shapes \(2, 4, 4\) and \(4, 4\)'):
    metric(mask, mask[0])
