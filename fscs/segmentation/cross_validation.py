"""What networks that have not seen a piece of the annotated images make of it."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fscs import metrics
from fscs.data.scaling import typical_diameter
from fscs.segmentation import instances as objects
from fscs.segmentation.annotations import Annotated
from fscs.segmentation.folds import Piece
from fscs.segmentation.instances import Splitting
from fscs.segmentation.prediction import Orientations
from fscs.segmentation.segmenter import Segmenter, predict_grey, statistics_of
from fscs.typing import Params


class Trial(NamedTuple):
  """What was found on one annotated image, or half of one, at the working scale."""

  name: str
  grey: np.ndarray  # (H, W) uint8
  labels: np.ndarray  # (H, W) int32, the truth
  probability: np.ndarray  # (H, W) float32, by a network that has not seen the piece
  iou: float  # of the foreground, at the segmenter's threshold


def try_folds(
  start: Segmenter,
  images: Sequence[Annotated],
  folds: Sequence[Sequence[Piece]],
  params: Sequence[Params],
  crops: Sequence[np.ndarray],
) -> tuple[tuple[Trial, ...], bool]:
  """The trials of all folds, and whether the annotated images' statistics are to be kept.

  Args:
    start: what the networks of all folds have in common.
    images: the annotated images.
    folds: what was held out in turn.
    params: of the network that has not seen the fold, for each.
    crops: (N, H, H) uint8 that stand for what this network has seen, for each.
  """

  def trials(keep: bool, orientations: Orientations) -> tuple[Trial, ...]:
    found = []
    for fold, of_fold, seen in zip(folds, params, crops, strict=True):
      segmenter = dataclasses.replace(start, params=of_fold, orientations=orientations)
      if keep:
        segmenter = with_statistics(segmenter, seen)
      found += [_try(segmenter, images[piece.image], piece) for piece in fold]
    return tuple(found)

  of_one = {keep: trials(keep, 1) for keep in (False, True)}  # enough to choose by
  total = {keep: sum(trial.iou for trial in found) for keep, found in of_one.items()}
  keep = total[True] > total[False]
  if start.orientations == 1:
    return of_one[keep], keep
  return trials(keep, start.orientations), keep


def with_statistics(segmenter: Segmenter, crops: np.ndarray) -> Segmenter:
  """The segmenter with the batch-norm statistics of (N, H, W) uint8 crops kept.

  Crops must be such as it has learned from: pieces that are spread evenly over an image hold less
  foreground, and with their statistics too much is found.
  """
  return dataclasses.replace(segmenter, statistics=statistics_of(segmenter, crops))


def learn_splitting(trials: Sequence[Trial], scale: float) -> Splitting:
  """The best splitting of the trials, in pixels of the user's images."""
  labels = [trial.labels for trial in trials]
  diameter = typical_diameter(labels)
  found = objects.learn_splitting([trial.probability for trial in trials], labels, diameter)
  distance = None if found.distance is None else found.distance / scale
  return Splitting(found.threshold, distance, max(1, round(found.min_area / scale**2)))


def score_again(trials: Sequence[Trial], threshold: float) -> tuple[Trial, ...]:
  """The trials at another threshold."""
  return tuple(
    trial._replace(iou=_iou(trial.probability, trial.labels, threshold)) for trial in trials
  )


def _try(segmenter: Segmenter, image: Annotated, piece: Piece) -> Trial:
  grey, labels = _part(image.grey, piece), _part(image.labels, piece)
  probability = predict_grey(segmenter, grey)
  iou = _iou(probability, labels, segmenter.splitting.threshold)
  return Trial(image.name, grey, labels, probability, iou)


def _part(array: np.ndarray, piece: Piece) -> np.ndarray:
  return array[piece.rows, piece.columns]


def _iou(probability: np.ndarray, labels: np.ndarray, threshold: float) -> float:
  return float(metrics.iou(probability > threshold, labels > 0))
