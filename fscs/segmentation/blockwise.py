"""Images too large for memory: predicted and labelled block by block.

Regions are pairs of slices (rows, columns) in pixels of the image. Memory is that of a few blocks.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fscs.data.intensity import grey_limits, stretch
from fscs.data.scaling import rescale, rescale_float, scaled_shape
from fscs.segmentation.instances import Watershed, find_objects
from fscs.segmentation.prediction import predict_grey
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.tiling import TILE, margin

MAX_PIXELS_IN_MEMORY = 4096 * 4096  # at the working scale; larger images are read in blocks
NUM_SAMPLES, SAMPLE_SIDE = 64, 256  # regions from which the grey limits of an image are estimated
LABEL_BLOCK = 2048  # side of the blocks in which objects are found
HALO_DIAMETERS = 2  # halo of a label block, in diameters of the largest annotated object
MIN_HALO = 64  # pixels

Region = tuple[slice, slice]
Read = Callable[[Region], np.ndarray]  # values (h, w) of a region


class Block(NamedTuple):
  """A part of an image."""

  core: Region  # disjoint; the cores of all blocks cover the image
  halo: Region  # the core and its surroundings, inside the image


def blocks(shape: tuple[int, int], core: int, halo: int) -> Iterator[Block]:
  """Blocks with cores of at most `core` pixels a side, row by row.

  >>> [block.core[1] for block in blocks((4, 6), 4, 1)]
  [slice(0, 4, None), slice(4, 6, None)]
  """
  for rows in _cores(shape[0], core):
    for columns in _cores(shape[1], core):
      yield Block(
        (rows, columns), (_widened(rows, halo, shape[0]), _widened(columns, halo, shape[1]))
      )


def _cores(size: int, core: int) -> Iterator[slice]:
  for begin in range(0, size, core):
    yield slice(begin, min(begin + core, size))


def _widened(span: slice, halo: int, size: int) -> slice:
  return slice(max(0, span.start - halo), min(size, span.stop + halo))


def core_in_halo(block: Block) -> Region:
  """Where the core lies in an array of the halo."""
  rows, columns = (
    slice(core.start - halo.start, core.stop - halo.start)
    for core, halo in zip(block.core, block.halo, strict=True)
  )
  return rows, columns


def predict_blocks(
  segmenter: Segmenter, read: Read, shape: tuple[int, int]
) -> Iterator[tuple[Region, np.ndarray]]:
  """Foreground probability, region after region.

  Grey values are stretched by the percentiles of a sample of the image.

  Args:
    segmenter: predicts.
    read: grey values (h, w) of a region.
    shape: (height, width) of the image.

  Yields:
    A region and its probabilities, (h, w) float32.
  """
  limits = _estimate_limits(read, shape)
  for block in blocks(shape, *_one_tile(margin(segmenter.receptive_radius), segmenter.scale)):
    part = read(block.halo)
    working = rescale(stretch(part, limits), scaled_shape(part.shape, segmenter.scale))
    probability = predict_grey(segmenter.network, working, segmenter.orientations)
    yield block.core, rescale_float(probability, part.shape)[core_in_halo(block)]


def _estimate_limits(read: Read, shape: tuple[int, int]) -> tuple[float, float]:
  """The grey values that become 0 and 255: of a sample, or of all if the sample is constant."""
  found = [read(region) for region in _sample_regions(shape)]
  low, high = grey_limits(np.concatenate([part.ravel() for part in found]))
  if low < high:
    return low, high
  parts = (read(block.core) for block in blocks(shape, LABEL_BLOCK, 0))
  lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
  return float(min(lows)), float(max(highs))


def _sample_regions(shape: tuple[int, int]) -> Iterator[Region]:
  """About `NUM_SAMPLES` regions on a grid that is as square as the image."""
  height, width = (min(size, SAMPLE_SIDE) for size in shape)
  free = (shape[0] - height, shape[1] - width)
  aspect = (free[0] + 1) / (free[1] + 1)
  num_rows = int(np.clip(round((NUM_SAMPLES * aspect) ** 0.5), 1, NUM_SAMPLES))
  num_columns = max(NUM_SAMPLES // num_rows, 1)
  for row in np.linspace(0, free[0], num_rows).astype(int):
    for column in np.linspace(0, free[1], num_columns).astype(int):
      yield slice(row, row + height), slice(column, column + width)


def _one_tile(halo: int, scale: float) -> tuple[int, int]:
  """Core and halo, in pixels of the image, of blocks that are one tile at the working scale.

  Args:
    halo: least halo at the working scale.
    scale: factor by which blocks are resized.
  """
  own_halo = int(np.ceil(halo / scale))
  return max(1, int((TILE + 0.5) / scale) - 2 * own_halo), own_halo


class LabelledBlock(NamedTuple):
  """A block with the objects that belong to it."""

  block: Block
  labels: np.ndarray  # (h, w) int32 of the halo; objects of other blocks are 0


def label_blocks(
  read: Read, shape: tuple[int, int], watershed: Watershed, largest_diameter: float
) -> Iterator[LabelledBlock]:
  """Objects, block after block, numbered through.

  An object belongs to the block whose core has its first pixel in reading order. Objects that are
  larger than the halo may be cut.

  Args:
    read: probabilities (h, w) of a region.
    shape: (height, width) of the image.
    watershed: how objects are found.
    largest_diameter: of the annotated objects, in pixels.
  """
  halo = max(MIN_HALO, int(HALO_DIAMETERS * largest_diameter))
  count = 0
  for block in blocks(shape, LABEL_BLOCK, halo):
    labels = find_objects(read(block.halo), watershed)
    owned = _begins_in(labels, core_in_halo(block))
    numbers = np.where(owned, np.cumsum(owned) + count, 0).astype(np.int32)
    count += int(owned.sum())
    yield LabelledBlock(block, numbers[labels])


def _begins_in(labels: np.ndarray, core: Region) -> np.ndarray:
  """Whether the first pixel of each label lies in the core, (largest label + 1,); False for 0."""
  values, first = np.unique(labels, return_index=True)
  rows, columns = np.unravel_index(first, labels.shape)
  in_rows = (rows >= core[0].start) & (rows < core[0].stop)
  in_columns = (columns >= core[1].start) & (columns < core[1].stop)
  owned = np.zeros(int(values.max()) + 1, bool)
  owned[values] = in_rows & in_columns & (values > 0)
  return owned
