"""Scores of a predicted foreground. Masks are boolean, (H, W) or (N, H, W)."""

import numpy as np

from fscs.errors import InputError

SMOOTHING = 1e-4  # pixels; makes the IoU of two empty masks 1


def iou(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Foreground intersection over union, (|P and G| + 1e-4) / (|P or G| + 1e-4).

  Args:
    prediction: (..., H, W) bool.
    truth: the same shape.

  Returns:
    One value in (0, 1] per image, shape (...).

  Raises:
    InputError: the shapes differ, or the masks are not boolean.

  References:
    Dawoud et al., ECML-PKDD 2020, section 4.

  >>> prediction, truth = np.array([[True, True, False]]), np.array([[False, True, False]])
  >>> round(float(iou(prediction, truth)), 3)
  0.5
  """
  _check(prediction, truth)
  both = np.count_nonzero(prediction & truth, axis=(-2, -1))
  either = np.count_nonzero(prediction | truth, axis=(-2, -1))
  return (both + SMOOTHING) / (either + SMOOTHING)


def dice(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Dice coefficient 2 |P and G| / (|P| + |G|), smoothed; arguments as `iou`.

  >>> prediction, truth = np.array([[True, True, False]]), np.array([[False, True, False]])
  >>> round(float(dice(prediction, truth)), 3)
  0.667
  """
  _check(prediction, truth)
  both = np.count_nonzero(prediction & truth, axis=(-2, -1))
  total = np.count_nonzero(prediction, axis=(-2, -1)) + np.count_nonzero(truth, axis=(-2, -1))
  return (2 * both + SMOOTHING) / (total + SMOOTHING)


def foreground_accuracy(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Share of the true foreground that is predicted (recall), smoothed; arguments as `iou`.

  >>> prediction, truth = np.array([[True, True, False]]), np.array([[False, True, True]])
  >>> round(float(foreground_accuracy(prediction, truth)), 3)
  0.5
  """
  _check(prediction, truth)
  both = np.count_nonzero(prediction & truth, axis=(-2, -1))
  return (both + SMOOTHING) / (np.count_nonzero(truth, axis=(-2, -1)) + SMOOTHING)


def _check(prediction: np.ndarray, truth: np.ndarray) -> None:
  if prediction.shape != truth.shape:
    raise InputError(f'masks of shapes {prediction.shape} and {truth.shape}: expected equal shapes')
  for mask in (prediction, truth):
    if mask.dtype != bool:
      raise InputError(f'masks of type {mask.dtype}: expected booleans, such as labels > 0')
