"""Images too large for memory: read, predicted, labelled and written block by block.

Regions are pairs of slices (rows, columns) in pixels of the image. Memory is that of a few blocks.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fscs.data.scaling import grey_limits, rescale, rescale_probability, scaled_shape, stretch
from fscs.segmentation import tiles
from fscs.segmentation.instances import Splitting, find_objects
from fscs.segmentation.segmenter import Segmenter, predict_grey, statistics_of

LARGEST_WHOLE = 4096 * 4096  # pixels of an image that is predicted in memory, also if enlarged
SAMPLES, SAMPLE_SIDE = 64, 256  # blocks that stand for the image where its grey values are taken
LABEL_BLOCK = 2048  # side of the blocks in which objects are told apart
MARGIN_DIAMETERS = 2  # how far a block looks beyond itself, in diameters of the largest object

Region = tuple[slice, slice]
Read = Callable[[Region], np.ndarray]  # grey values (h, w) of a region


class Block(NamedTuple):
  """A part of an image, and what is looked at to predict it."""

  core: Region
  seen: Region  # the core with a margin, inside the image


def blocks(shape: tuple[int, int], core: int, margin: int) -> Iterator[Block]:
  """Cores of at most `core` pixels a side that cover an image, row by row."""
  for rows in _cores(shape[0], core):
    for columns in _cores(shape[1], core):
      yield Block(
        (rows, columns), (_widen(rows, margin, shape[0]), _widen(columns, margin, shape[1]))
      )


def _cores(size: int, core: int) -> Iterator[slice]:
  for begin in range(0, size, core):
    yield slice(begin, min(begin + core, size))


def _widen(span: slice, margin: int, size: int) -> slice:
  return slice(max(0, span.start - margin), min(size, span.stop + margin))


def inside(block: Block) -> Region:
  """Where the core lies in an array of what is seen."""
  return tuple(
    slice(core.start - seen.start, core.stop - seen.start)
    for core, seen in zip(block.core, block.seen, strict=True)
  )


def samples(read: Read, shape: tuple[int, int], count: int, side: int) -> Iterator[np.ndarray]:
  """About `count` evenly spread parts of the image, of at most `side` pixels a side."""
  sides = [min(size, side) for size in shape]
  room = [size - side for size, side in zip(shape, sides, strict=True)]
  for row, column in tiles.spread(count, room):
    yield read((slice(row, row + sides[0]), slice(column, column + sides[1])))


def predict_blocks(
  segmenter: Segmenter, read: Read, shape: tuple[int, int]
) -> Iterator[tuple[Region, np.ndarray]]:
  """Probabilities (h, w) float32 of region after region.

  Grey values are stretched by the percentiles of samples of the image; an image that is normalised
  by its own statistics is so by those of samples.
  """
  limits = _limits(read, shape)
  working = lambda part: _to_working(part, segmenter.scale, limits)  # noqa: E731
  if segmenter.statistics is None:
    side = max(1, int(tiles.SAMPLE_SIDE / segmenter.scale))
    found = samples(read, shape, tiles.SAMPLE_TILES, side)
    batch = np.stack([tiles.fill_up(working(part)) for part in found])
    segmenter = dataclasses.replace(segmenter, statistics=statistics_of(segmenter, batch))
  seen = tiles.margin(segmenter.reach)
  for block in blocks(shape, *one_tile(seen, segmenter.scale)):
    part = read(block.seen)
    probability = predict_grey(segmenter, working(part))
    yield block.core, rescale_probability(probability, part.shape)[inside(block)]


def _limits(read: Read, shape: tuple[int, int]) -> tuple[float, float]:
  """The grey values that become 0 and 255: those of samples, if they differ, else of the image."""
  found = samples(read, shape, SAMPLES, SAMPLE_SIDE)
  low, high = grey_limits(np.concatenate([part.ravel() for part in found]))
  if low < high:
    return low, high
  parts = (read(block.core) for block in blocks(shape, LABEL_BLOCK, 0))
  lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
  return float(min(lows)), float(max(highs))


def one_tile(seen: int, scale: float) -> tuple[int, int]:
  """Core and margin, in pixels of the image, of blocks that are a tile at most when resized.

  Args:
    seen: least margin, after resizing.
    scale: factor by which blocks are resized.
  """
  margin = int(np.ceil(seen / scale))
  return max(1, int((tiles.TILE + 0.5) / scale) - 2 * margin), margin


def _to_working(part: np.ndarray, scale: float, limits: tuple[float, float]) -> np.ndarray:
  return rescale(stretch(part, limits), scaled_shape(part.shape, scale))


def label_blocks(
  read: Read, shape: tuple[int, int], splitting: Splitting, largest_diameter: float
) -> Iterator[tuple[Region, np.ndarray, Region]]:
  """Objects, block after block: (what was seen, labels of it, the core).

  An object belongs to the block in whose core its box begins; labels of others are 0, and numbers
  go on from block to block. Objects larger than the margin may be cut.

  Args:
    read: probabilities of a region.
    shape: of the image.
    splitting: how objects are found.
    largest_diameter: of the objects to expect, in pixels.
  """
  margin = max(64, int(MARGIN_DIAMETERS * largest_diameter))
  count = 0
  for block in blocks(shape, LABEL_BLOCK, margin):
    labels = find_objects(read(block.seen), splitting)
    own = _begin_in(labels, inside(block))
    numbers = np.where(own, np.cumsum(own) + count, 0).astype(np.int32)
    count += int(own.sum())
    yield block.seen, numbers[labels], block.core


def _begin_in(labels: np.ndarray, core: Region) -> np.ndarray:
  """Whether each label's first pixel in reading order lies in the core; False for 0."""
  values, first = np.unique(labels, return_index=True)
  rows, columns = np.unravel_index(first, labels.shape)
  in_rows = (rows >= core[0].start) & (rows < core[0].stop)
  in_columns = (columns >= core[1].start) & (columns < core[1].stop)
  own = np.zeros(int(values.max()) + 1, bool)
  own[values] = in_rows & in_columns & (values > 0)
  return own
