"""Subsampled images, for pictures of images that are too large to show whole."""

from collections.abc import Sequence

import numpy as np

from fscs.io import ImageFile
from fscs.segmentation.blockwise import LABEL_BLOCK, blocks


def subsampling_step(shape: Sequence[int], side: int) -> int:
  """The smallest step that leaves at most `side` pixels to a side.

  >>> subsampling_step((300, 1000), 400)
  3
  """
  return -(-max(shape) // side)


def subsampled_shape(shape: Sequence[int], step: int) -> tuple[int, int]:
  """(height, width) of the image whose rows and columns 0, step, 2 step, ... are kept."""
  height, width = (-(-size // step) for size in shape)
  return height, width


def put_subsampled(
  target: np.ndarray, part: np.ndarray, offset: tuple[int, int], step: int
) -> None:
  """Write what is kept of a part of an image into the subsampled image.

  Args:
    target: (h, w) of `subsampled_shape`, and perhaps channels.
    part: (H, W) and as many channels, a region of the image.
    offset: row and column of the image where the part begins.
    step: rows and columns that are multiples of it are kept.
  """
  kept = part[tuple(slice(-begin % step, None, step) for begin in offset)]
  row, column = (-(-begin // step) for begin in offset)
  target[row : row + kept.shape[0], column : column + kept.shape[1]] = kept


def read_subsampled(image: ImageFile, page: int, side: int) -> np.ndarray:
  """A page of a file as people look at it, with at most `side` pixels to a side.

  Returns:
    (h, w), or (h, w, 3) of colours; read in blocks.

  Raises:
    InputError: the file is damaged.
  """
  _, *shape = image.shape
  step = subsampling_step(shape, side)
  height, width = shape
  result = None
  for block in blocks((height, width), LABEL_BLOCK, 0):
    rows, columns = block.core
    part = image.read_shown(page, rows, columns)
    if result is None:
      result = np.zeros((*subsampled_shape(shape, step), *part.shape[2:]), part.dtype)
    put_subsampled(result, part, (rows.start, columns.start), step)
  assert result is not None  # an image has at least one block
  return result
