"""Agreement of labelled objects with the truth.

Labels are (H, W) integers: 0 is background and every other number is one object. Numbers may be
missing and need not agree between the images. Objects of the two images are matched one to one, and
scores count the matches. If both images are empty, every score is 1; if only one is empty, 0.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from fscs.errors import InputError

# Not multiples of 0.05, which may round up: an IoU of 7 / 10 must reach 0.7.
THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))


class Matching(NamedTuple):
  """Objects of a prediction that were found in the truth, and those that were not."""

  true_positives: int  # matched pairs, M
  false_positives: int  # predicted objects without a match
  false_negatives: int  # true objects without a match
  iou_of_matches: np.ndarray  # (M,) float64
  pairs: np.ndarray  # (M, 2) int64: label in the prediction, label in the truth


class _Overlaps(NamedTuple):
  """Pairs of a predicted and a true object that share a pixel, by position in the label lists."""

  predicted: np.ndarray  # (P,) labels, ascending
  true: np.ndarray  # (T,) labels, ascending
  rows: np.ndarray  # (K,) positions in `predicted`
  columns: np.ndarray  # (K,) positions in `true`
  iou: np.ndarray  # (K,) float64, in (0, 1]


def overlaps(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
  """Intersection over union of every predicted with every true object.

  Args:
    prediction: (H, W) labels.
    truth: the same shape.

  Returns:
    (num_predicted, num_true) float64 in [0, 1]; objects in the order of their labels.

  Raises:
    InputError: the shapes differ, or labels are negative or no integers.

  >>> overlaps(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 5, 5]]))
  array([[0.5 ],
         [0.25]])
  """
  found = _overlaps(prediction, truth)
  matrix = np.zeros((len(found.predicted), len(found.true)))
  matrix[found.rows, found.columns] = found.iou
  return matrix


def match(prediction: np.ndarray, truth: np.ndarray, threshold: float = 0.5) -> Matching:
  """One-to-one assignment of objects with the most pairs whose IoU reaches the threshold.

  Among several, the one with the largest sum of IoUs. Above 0.5 the matches are unique, since no
  object shares more than half with two others.

  Args:
    prediction: (H, W) labels.
    truth: the same shape.
    threshold: smallest IoU of a match, in (0, 1].

  Raises:
    InputError: as `overlaps`, or the threshold is outside (0, 1].

  References:
    Schmidt et al., Cell Detection with Star-Convex Polygons, MICCAI 2018 (arXiv 1806.03535); the
    assignment is that of its software, `stardist.matching`.

  >>> match(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 0, 0]]))[:3]  # TP, FP, FN
  (1, 1, 0)
  """
  return match_each(prediction, truth, (threshold,))[0]


def match_each(
  prediction: np.ndarray, truth: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> list[Matching]:
  """`match` at every threshold; pixels are counted once."""
  for threshold in thresholds:
    if not 0 < threshold <= 1:
      raise InputError(f'threshold is {threshold}: expected an IoU above 0 and at most 1')
  found = _overlaps(prediction, truth)
  return [_match(found, threshold) for threshold in thresholds]


def pool(matchings: Iterable[Matching]) -> Matching:
  """The matching of all images together: summed counts, concatenated matches."""
  matchings = list(matchings)
  return Matching(
    sum(m.true_positives for m in matchings),
    sum(m.false_positives for m in matchings),
    sum(m.false_negatives for m in matchings),
    np.concatenate([np.zeros(0), *(m.iou_of_matches for m in matchings)]),
    np.concatenate([np.zeros((0, 2), np.int64), *(m.pairs for m in matchings)]),
  )


def average_precision(
  prediction: np.ndarray, truth: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
  """`object_accuracy` at every threshold, called average precision in microscopy.

  TP / (TP + FP + FN), as in the 2018 Data Science Bowl, StarDist and Cellpose. It is not the area
  under a precision-recall curve, which needs a confidence for every object.

  Args:
    prediction: (H, W) labels.
    truth: the same shape.
    thresholds: (N,), each as in `match`.

  Returns:
    (N,) float64 in [0, 1].

  Raises:
    InputError: as `match`.

  References:
    Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl,
    Nature Methods 16, 2019.

  >>> average_precision(np.array([[1, 1, 1, 0]]), np.array([[1, 1, 1, 1]]), (0.5, 0.75, 0.8))
  array([1., 1., 0.])
  """
  matchings = match_each(prediction, truth, thresholds)
  return np.array([object_accuracy(matching) for matching in matchings], np.float64)


def object_accuracy(matching: Matching) -> float:
  """TP / (TP + FP + FN), the average precision at the threshold of the matching."""
  return _share(matching.true_positives, sum(matching[:3]), matching)


def precision(matching: Matching) -> float:
  """TP / (TP + FP), the share of predicted objects that are true."""
  return _share(matching.true_positives, sum(matching[:2]), matching)


def recall(matching: Matching) -> float:
  """TP / (TP + FN), the share of true objects that are found."""
  found, _, missed = matching[:3]
  return _share(found, found + missed, matching)


def f1(matching: Matching) -> float:
  """TP / (TP + FP / 2 + FN / 2), the harmonic mean of precision and recall."""
  return _share(matching.true_positives, _mean_count(matching), matching)


def panoptic_quality(matching: Matching) -> float:
  """Sum of the matches' IoUs / (TP + FP / 2 + FN / 2): F1 times the mean IoU of the matches.

  As published, matches have an IoU above 0.5.

  References:
    Kirillov et al., Panoptic Segmentation, CVPR 2019, equation 1 (arXiv 1801.00868).
  """
  return _share(float(matching.iou_of_matches.sum()), _mean_count(matching), matching)


def count_error(prediction: np.ndarray, truth: np.ndarray) -> int:
  """Number of predicted minus number of true objects; arguments and errors as `overlaps`.

  >>> count_error(np.array([[1, 1, 0, 2]]), np.array([[5, 5, 0, 0]]))
  1
  """
  found = _overlaps(prediction, truth)
  return len(found.predicted) - len(found.true)


def _share(part: float, whole: float, matching: Matching) -> float:
  """part / whole; without objects 1 if there are none in either image, else 0."""
  return part / whole if whole else float(not any(matching[:3]))


def _mean_count(matching: Matching) -> float:
  """Mean of the numbers of predicted and of true objects."""
  found, false, missed = matching[:3]
  return found + (false + missed) / 2


def _check(prediction: np.ndarray, truth: np.ndarray) -> None:
  for name, labels in (('prediction', prediction), ('truth', truth)):
    if not np.issubdtype(labels.dtype, np.integer):
      raise InputError(
        f'{name} has {labels.dtype} values: expected integer labels;'
        ' skimage.measure.label makes them from a binary mask'
      )
    if labels.size and labels.min() < 0:
      raise InputError(
        f'{name} has the label {labels.min()}: expected 0 for background and numbers above it'
      )
  if prediction.shape != truth.shape:
    raise InputError(
      f'prediction is {prediction.shape} and truth {truth.shape}:'
      ' expected labels of the same image and size'
    )


def _overlaps(prediction: np.ndarray, truth: np.ndarray) -> _Overlaps:
  _check(prediction, truth)
  predicted, row_of_pixel = np.unique(prediction, return_inverse=True)
  true, column_of_pixel = np.unique(truth, return_inverse=True)
  pair_of_pixel = row_of_pixel.ravel() * len(true) + column_of_pixel.ravel()
  pairs, shared = np.unique(pair_of_pixel, return_counts=True)
  rows, columns = np.divmod(pairs, len(true))
  area = np.bincount(rows, shared)[rows] + np.bincount(columns, shared)[columns]
  iou = shared / (area - shared)
  objects = (predicted[rows] > 0) & (true[columns] > 0)
  return _Overlaps(
    predicted[predicted > 0],
    true[true > 0],
    rows[objects] - np.count_nonzero(predicted == 0),
    columns[objects] - np.count_nonzero(true == 0),
    iou[objects],
  )


def _match(found: _Overlaps, threshold: float) -> Matching:
  candidates = np.flatnonzero(found.iou >= threshold)
  rows, columns, iou = (values[candidates] for values in (found.rows, found.columns, found.iou))
  chosen = _assign(rows, columns, iou)
  pairs = np.stack([found.predicted[rows[chosen]], found.true[columns[chosen]]], axis=1)
  return Matching(
    len(chosen),
    len(found.predicted) - len(chosen),
    len(found.true) - len(chosen),
    iou[chosen],
    pairs.astype(np.int64),
  )


def _assign(rows: np.ndarray, columns: np.ndarray, iou: np.ndarray) -> np.ndarray:
  """Positions (M,) of the candidate pairs in the assignment of `match`, ascending."""
  contested = (np.bincount(rows)[rows] > 1) | (np.bincount(columns)[columns] > 1)
  row_values, row = np.unique(rows[contested], return_inverse=True)
  column_values, column = np.unique(columns[contested], return_inverse=True)
  pair_at = np.full((len(row_values), len(column_values)), -1)
  pair_at[row, column] = np.flatnonzero(contested)
  # One more pair outweighs the sum of all IoUs.
  benefit = np.where(pair_at < 0, 0, 1 + iou[pair_at] / (2 * min(pair_at.shape)))
  won = pair_at[linear_sum_assignment(benefit, maximize=True)]
  return np.sort(np.concatenate([np.flatnonzero(~contested), won[won >= 0]]))
