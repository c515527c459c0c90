"""Every so many-th pixel of an image, for pictures of images that are too large to show whole."""

import numpy as np

from fscs.io import ImageFile
from fscs.segmentation.tiling import LABEL_BLOCK, blocks


def step_for(shape: tuple[int, int], side: int) -> int:
  """The smallest step that leaves at most `side` pixels to a side."""
  return -(-max(shape) // side)


def thinned_shape(shape: tuple[int, int], step: int) -> tuple[int, int]:
  """What is left of an image whose pixels (0, 0), (0, step), ... are kept."""
  return tuple(-(-size // step) for size in shape)


def put_thinned(target: np.ndarray, part: np.ndarray, offset: tuple[int, int], step: int) -> None:
  """Writes what is kept of a part of an image into the thinned image.

  Args:
    target: (h, w) of `thinned_shape`, and perhaps channels.
    part: (H, W) and as many channels, a region of the image.
    offset: row and column of the image where the part begins.
    step: pixels of the image whose row and column are multiples of it are kept.
  """
  skipped = (-begin % step for begin in offset)
  kept = part[tuple(slice(skip, None, step) for skip in skipped)]
  begins = (-(-begin // step) for begin in offset)
  target[tuple(slice(b, b + n) for b, n in zip(begins, kept.shape[:2], strict=True))] = kept


def read_thinned(image: ImageFile, page: int, side: int) -> np.ndarray:
  """A page of a file as people would look at it: at most `side` pixels to a side.

  It is read in blocks. Returns (h, w), or (h, w, 3) of colours.

  Raises:
    InputError: the file turns out to be damaged.
  """
  _, *shape = image.shape
  step = step_for(shape, side)
  thin = None
  for block in blocks(shape, LABEL_BLOCK, 0):
    rows, columns = block.core
    part = image.read_shown(page, rows, columns)
    if thin is None:
      thin = np.zeros((*thinned_shape(shape, step), *part.shape[2:]), part.dtype)
    put_thinned(thin, part, (rows.start, columns.start), step)
  return thin
