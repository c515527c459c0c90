"""Cross-validation on few annotated images: what is held out in turn, and which crops remain."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_FOLDS = 3
LEAST_FOREGROUND = 0.25  # share of an image's foreground in the smaller of its halves


class Piece(NamedTuple):
  """Part of an annotated image, at the working scale."""

  image: int
  rows: slice
  columns: slice


def num_folds(num_images: int) -> int:
  """How many parts are held out in turn."""
  return min(num_images, MAX_FOLDS) if num_images > 2 else 2


def usable_folds(
  labels: Sequence[np.ndarray], corners: np.ndarray, crop_size: int
) -> tuple[list[tuple[Piece, ...]], list[np.ndarray]]:
  """The folds to learn from and to be tried on, and the crops of each; last those of all images.

  Pieces without foreground are in no fold, since a single wrong pixel there is an IoU of 0; nor is
  there a fold beside which no crop has foreground, of which a network would learn nothing. Where
  that leaves no halves of two images, whole images are folds.

  Args:
    labels: (H, W) of the images; above 0 is foreground.
    corners: (C, 3) image, row and column of every crop.
    crop_size: side of the crops.
  """
  folds, crops = _usable(make_folds(labels), labels, corners, crop_size)
  if not folds and len(labels) == 2:
    folds, crops = _usable([(piece,) for piece in _whole(labels)], labels, corners, crop_size)
  return folds, [*crops, np.arange(len(corners), dtype=np.int32)]


def _usable(
  candidates: Sequence[tuple[Piece, ...]],
  labels: Sequence[np.ndarray],
  corners: np.ndarray,
  crop_size: int,
) -> tuple[list[tuple[Piece, ...]], list[np.ndarray]]:
  folds, crops = [], []
  for pieces in candidates:
    left = crops_outside(pieces, corners, crop_size)
    seen = (labels[i][r : r + crop_size, c : c + crop_size] for i, r, c in corners[left])
    marked = tuple(p for p in pieces if labels[p.image][p.rows, p.columns].any())
    if marked and any(crop.any() for crop in seen):
      folds.append(marked)
      crops.append(left)
  return folds, crops


def make_folds(labels: Sequence[np.ndarray]) -> list[tuple[Piece, ...]]:
  """What is held out in turn: images where there are three or more, else halves of all images.

  Args:
    labels: (H, W) of the images; above 0 is foreground.
  """
  if len(labels) > 2:
    whole = _whole(labels)
    parts = np.array_split(np.arange(len(whole)), num_folds(len(whole)))
    return [tuple(whole[i] for i in part) for part in parts]
  halves = [_halves(i, image > 0) for i, image in enumerate(labels)]
  return [tuple(pair[side] for pair in halves) for side in (0, 1)]


def _whole(labels: Sequence[np.ndarray]) -> list[Piece]:
  return [Piece(i, *map(slice, (0, 0), image.shape)) for i, image in enumerate(labels)]


def _halves(image: int, foreground: np.ndarray) -> tuple[Piece, Piece]:
  """Parts of the longer side, cut as near to its middle as leaves both enough foreground."""
  axis = int(foreground.shape[0] < foreground.shape[1])
  before = np.cumsum(foreground.sum(axis=1 - axis))
  least = 1 + np.searchsorted(before, LEAST_FOREGROUND * before[-1])
  most = np.searchsorted(before, (1 - LEAST_FOREGROUND) * before[-1], side='right')
  cut = max(1, int(np.clip(foreground.shape[axis] // 2, least, most)))
  whole = tuple(slice(0, size) for size in foreground.shape)
  parts = slice(0, cut), slice(cut, foreground.shape[axis])
  return tuple(Piece(image, *whole[:axis], part, *whole[axis + 1 :]) for part in parts)


def crops_outside(fold: Sequence[Piece], corners: np.ndarray, crop_size: int) -> np.ndarray:
  """Numbers (C,) int32 of the crops that share no pixel with the pieces of a fold."""
  image, row, column = corners.T
  outside = np.ones(len(corners), bool)
  for piece in fold:
    apart_in_rows = _apart(row, crop_size, piece.rows)
    apart_in_columns = _apart(column, crop_size, piece.columns)
    outside &= (image != piece.image) | apart_in_rows | apart_in_columns
  return np.flatnonzero(outside).astype(np.int32)


def _apart(begin: np.ndarray, size: int, span: slice) -> np.ndarray:
  return (begin >= span.stop) | (begin + size <= span.start)
