"""Cross-validation on a few annotated images: folds, out-of-fold predictions and their scores.

With three or more images whole images are held out. With one or two, halves of the images are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fscs.metrics.pixels import iou
from fscs.segmentation.annotations import AnnotatedImage
from fscs.segmentation.config import Orientations
from fscs.segmentation.prediction import Network, predict_grey

MAX_FOLDS = 3
MIN_FOREGROUND = 0.25  # share of an image's foreground in the smaller of its halves


class ImagePart(NamedTuple):
  """A region of an annotated image, at the working scale."""

  image: int
  rows: slice
  columns: slice


class Fold(NamedTuple):
  """What is held out together, and what is left to train on."""

  held_out: tuple[ImagePart, ...]
  crops: np.ndarray  # (C,) int32, numbers of the crops that share no pixel with `held_out`


def num_folds(num_images: int) -> int:
  """Number of folds of the cross-validation, at most.

  >>> num_folds(1), num_folds(3), num_folds(10)
  (2, 3, 3)
  """
  return min(num_images, MAX_FOLDS) if num_images > 2 else 2


def make_folds(labels: Sequence[np.ndarray]) -> list[tuple[ImagePart, ...]]:
  """What is held out in turn: whole images if there are three or more, else halves of all images.

  Args:
    labels: (H, W) of the images; above 0 is foreground.
  """
  if len(labels) > 2:
    whole = _whole_images(labels)
    parts = np.array_split(np.arange(len(whole)), num_folds(len(whole)))
    return [tuple(whole[i] for i in part) for part in parts]
  halves = [_halves(i, image > 0) for i, image in enumerate(labels)]
  return [tuple(pair[side] for pair in halves) for side in (0, 1)]


def usable_folds(labels: Sequence[np.ndarray], corners: np.ndarray, crop_size: int) -> list[Fold]:
  """Folds with foreground on both sides.

  Images and parts without foreground are not held out: a single false positive there makes an IoU
  of 0. If two images give no usable halves, whole images are held out.

  Args:
    labels: (H, W) of the images; above 0 is foreground.
    corners: (C, 3) image, row and column of every crop.
    crop_size: side of the crops in pixels.
  """
  with_objects = [index for index, image in enumerate(labels) if image.any()]
  chosen = [labels[index] for index in with_objects]

  def usable(candidates: Sequence[tuple[ImagePart, ...]]) -> list[Fold]:
    numbered = [
      tuple(part._replace(image=with_objects[part.image]) for part in parts) for parts in candidates
    ]
    return _usable(numbered, labels, corners, crop_size)

  folds = usable(make_folds(chosen))
  if not folds and len(chosen) == 2:
    folds = usable([(part,) for part in _whole_images(chosen)])
  return folds


def _usable(
  candidates: Sequence[tuple[ImagePart, ...]],
  labels: Sequence[np.ndarray],
  corners: np.ndarray,
  crop_size: int,
) -> list[Fold]:
  folds = []
  for parts in candidates:
    crops = crops_outside(parts, corners, crop_size)
    seen = (labels[i][r : r + crop_size, c : c + crop_size] for i, r, c in corners[crops])
    filled = tuple(p for p in parts if labels[p.image][p.rows, p.columns].any())
    if filled and any(crop.any() for crop in seen):
      folds.append(Fold(filled, crops))
  return folds


def _whole_images(labels: Sequence[np.ndarray]) -> list[ImagePart]:
  return [
    ImagePart(i, slice(0, height), slice(0, width))
    for i, (height, width) in enumerate(image.shape for image in labels)
  ]


def _halves(image: int, foreground: np.ndarray) -> tuple[ImagePart, ImagePart]:
  """Parts of the longer side, cut as near to its middle as leaves both enough foreground."""
  axis = int(foreground.shape[0] < foreground.shape[1])
  cumulative = np.cumsum(foreground.sum(axis=1 - axis))
  least = 1 + np.searchsorted(cumulative, MIN_FOREGROUND * cumulative[-1])
  most = np.searchsorted(cumulative, (1 - MIN_FOREGROUND) * cumulative[-1], side='right')
  cut = max(1, int(np.clip(foreground.shape[axis] // 2, least, most)))
  first, second = slice(0, cut), slice(cut, foreground.shape[axis])
  other = slice(0, foreground.shape[1 - axis])
  if axis == 0:
    return ImagePart(image, first, other), ImagePart(image, second, other)
  return ImagePart(image, other, first), ImagePart(image, other, second)


def crops_outside(parts: Sequence[ImagePart], corners: np.ndarray, crop_size: int) -> np.ndarray:
  """Numbers (C,) int32 of the crops that share no pixel with any of the parts."""
  image, row, column = corners.T
  outside = np.ones(len(corners), bool)
  for part in parts:
    apart_in_rows = _apart(row, crop_size, part.rows)
    apart_in_columns = _apart(column, crop_size, part.columns)
    outside &= (image != part.image) | apart_in_rows | apart_in_columns
  return np.flatnonzero(outside).astype(np.int32)


def _apart(begin: np.ndarray, size: int, span: slice) -> np.ndarray:
  return (begin >= span.stop) | (begin + size <= span.start)


class FoldResult(NamedTuple):
  """The out-of-fold prediction of an annotated image, or of half of one, at the working scale."""

  name: str
  part: ImagePart  # where it is, at the working scale
  grey: np.ndarray  # (H, W) uint8
  labels: np.ndarray  # (H, W) int32, the annotation
  probability: np.ndarray  # (H, W) float32
  iou: float  # of the foreground


def predict_fold(
  network: Network,
  images: Sequence[AnnotatedImage],
  fold: Fold,
  threshold: float,
  orientations: Orientations,
) -> list[FoldResult]:
  """Out-of-fold predictions.

  Args:
    network: was not trained on what the fold holds out.
    images: the annotated images.
    fold: what is held out.
    threshold: probability above which a pixel is foreground.
    orientations: see `average_orientations`.
  """
  results = []
  for part in fold.held_out:
    image = images[part.image]
    grey, labels = image.grey[part.rows, part.columns], image.labels[part.rows, part.columns]
    probability = predict_grey(network, grey, orientations)
    score = float(iou(probability > threshold, labels > 0))
    name = _name_of(image, part)
    results.append(FoldResult(name, part, grey, labels, probability, score))
  return results


def _name_of(image: AnnotatedImage, part: ImagePart) -> str:
  height, width = image.labels.shape
  if part.rows != slice(0, height):
    return f'{image.name}, {"lower" if part.rows.start else "upper"} part'
  if part.columns != slice(0, width):
    return f'{image.name}, {"right" if part.columns.start else "left"} part'
  return image.name


def rescore(results: Sequence[FoldResult], threshold: float) -> list[FoldResult]:
  """The results with the IoU at another threshold."""
  return [
    result._replace(iou=float(iou(result.probability > threshold, result.labels > 0)))
    for result in results
  ]
