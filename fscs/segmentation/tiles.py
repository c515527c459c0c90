"""Prediction of images of any size: whole where they are small, else by overlapping tiles.

Sides of what the network sees are few different numbers, so that it is compiled for few sizes. All
images here are (H, W) uint8 at the working scale.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

TILE = 1024  # largest side that is predicted at once
RAMP = 16  # pixels over which one tile's weight falls and the next one's rises
ALIGNED = 8  # margins are multiples, which keeps tiles in step with pooling by up to 16
SMALL_STEP, LARGE_STEP = 128, 256  # sides are rounded up to multiples of these,
LARGE = 512  # below and above this one
SAMPLE_TILES, SAMPLE_SIDE = 16, 256  # what stands for a large image where its statistics are taken


class Span(NamedTuple):
  """A tile's place along one axis, and how much of it counts at every pixel."""

  begin: int
  weights: np.ndarray  # (length,) in [0, 1]; those of all tiles that meet in a pixel add up to 1


def padded_side(size: int) -> int:
  """The side that an image of that side is filled up to."""
  step = SMALL_STEP if size <= LARGE else LARGE_STEP
  return -(-size // step) * step


def overlap(reach: int) -> int:
  """Pixels that neighbouring tiles share, for a network that sees so far to each side."""
  return 2 * margin(reach) + RAMP


def margin(reach: int) -> int:
  """How many of a tile's outermost pixels do not count."""
  return -(-reach // ALIGNED) * ALIGNED


def spans(size: int, reach: int, tile: int = TILE) -> list[Span]:
  """Tiles that cover `size` pixels; weights rise and fall linearly amid what two tiles share."""
  if size <= tile:
    return [Span(0, np.ones(size))]
  shared = overlap(reach)
  count = -(-(size - shared) // (tile - shared))
  begins = np.arange(count) * (tile - shared)
  ramp = np.clip((np.arange(shared) + 0.5 - margin(reach)) / RAMP, 0, 1)
  found = []
  for index, begin in enumerate(begins):
    weights = np.ones(min(tile, size - begin))
    if index > 0:
      weights[:shared] = ramp
    if index < count - 1:
      weights[-shared:] = ramp[::-1]
    found.append(Span(int(begin), weights))
  return found


def tiles(shape: tuple[int, int], reach: int) -> Iterator[tuple[Span, Span]]:
  """The tiles of an image, row by row."""
  for row in spans(shape[0], reach):
    for column in spans(shape[1], reach):
      yield row, column


def fill_up(image: np.ndarray) -> np.ndarray:
  """An image of at most one tile mirrored at its lower and right edge up to a side of few sizes."""
  missing = [(0, padded_side(size) - size) for size in image.shape]
  return np.pad(image, missing, mode='symmetric')


def predict_by_tiles(
  predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, reach: int
) -> np.ndarray:
  """(H, W) predictions of an image of any size.

  Args:
    predict: maps (h, w) to (h, w), for sides that `padded_side` gives.
    image: (H, W).
    reach: how far the prediction sees to each side, in pixels.
  """
  blended = np.zeros(image.shape, np.float32)
  for row, column in tiles(image.shape, reach):
    place = tuple(slice(s.begin, s.begin + len(s.weights)) for s in (row, column))
    part = image[place]
    predicted = predict(fill_up(part))[: part.shape[0], : part.shape[1]]
    blended[place] += predicted * np.outer(row.weights, column.weights).astype(np.float32)
  return blended


def sample(image: np.ndarray, count: int = SAMPLE_TILES, side: int = SAMPLE_SIDE) -> np.ndarray:
  """About `count` pieces (N, h, w), evenly spread, that stand for an image.

  They are `side` pixels high and wide, or filled up to few sizes where the image is narrower.
  """
  height, width = (min(size, side) for size in image.shape)
  room = [size - part for size, part in zip(image.shape, (height, width), strict=True)]
  places = spread(count, room)
  return np.stack([fill_up(image[r : r + height, c : c + width]) for r, c in places])


def spread(count: int, room: list[int]) -> list[tuple[int, int]]:
  """Points of a grid of about `count` over [0, room], as square as the room is."""
  ratio = (room[0] + 1) / (room[1] + 1)
  rows = int(np.clip(round((count * ratio) ** 0.5), 1, count))
  columns = max(count // rows, 1)
  grid = (np.linspace(0, r, n).astype(int) for r, n in zip(room, (rows, columns), strict=True))
  return [(int(r), int(c)) for r, c in np.stack(np.meshgrid(*grid), -1).reshape(-1, 2)]
