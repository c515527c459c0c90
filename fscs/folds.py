"""Cross-validation on few annotated images: what is held out in turn, and which crops remain."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_FOLDS = 3


class Piece(NamedTuple):
  """Part of an annotated image, at the working scale."""

  image: int
  rows: slice
  columns: slice


def num_folds(num_images: int) -> int:
  """How many parts are held out in turn."""
  return min(num_images, MAX_FOLDS) if num_images > 2 else 2


def usable_folds(
  shapes: Sequence[tuple[int, int]], corners: np.ndarray, crop_size: int
) -> tuple[list[tuple[Piece, ...]], list[np.ndarray]]:
  """The folds that leave crops to learn from, and the crops of each; last those of all images.

  Args:
    shapes: of the images.
    corners: (C, 3) image, row and column of every crop.
    crop_size: side of the crops.
  """
  folds = make_folds(shapes)
  crops = [crops_outside(fold, corners, crop_size) for fold in folds]
  folds = [fold for fold, left in zip(folds, crops, strict=True) if len(left)]
  return folds, [*(left for left in crops if len(left)), np.arange(len(corners), dtype=np.int32)]


def make_folds(shapes: Sequence[tuple[int, int]]) -> list[tuple[Piece, ...]]:
  """What is held out in turn: images where there are three or more, else halves of all images."""
  whole = [Piece(i, slice(0, h), slice(0, w)) for i, (h, w) in enumerate(shapes)]
  if len(shapes) > 2:
    parts = np.array_split(np.arange(len(shapes)), num_folds(len(shapes)))
    return [tuple(whole[i] for i in part) for part in parts]
  halves = [_halves(piece) for piece in whole]
  return [tuple(pair[side] for pair in halves) for side in (0, 1)]


def _halves(piece: Piece) -> tuple[Piece, Piece]:
  """Both halves along the longer side."""
  height, width = piece.rows.stop, piece.columns.stop
  if height >= width:
    rows = slice(0, height // 2), slice(height // 2, height)
    return tuple(piece._replace(rows=part) for part in rows)
  columns = slice(0, width // 2), slice(width // 2, width)
  return tuple(piece._replace(columns=part) for part in columns)


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
