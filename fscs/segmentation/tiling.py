"""Overlapping tiles: images of any size through a network that is compiled for a few sizes.

All images here are (H, W) at the working scale.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

TILE = 1024  # side of a tile; smaller images are one tile
RAMP = 16  # width of the strip in which neighbouring tiles are blended
ALIGNMENT = 16  # tiles begin at multiples, so that pooling by up to 16 samples the same pixels
SMALL_STEP, LARGE_STEP = 128, 256  # sides are padded to multiples of these,
LARGE = 512  # up to and above this side


class Span(NamedTuple):
  """A tile along one axis."""

  begin: int
  weights: np.ndarray  # (length,) in [0, 1]; the weights of all tiles sum to 1 at every pixel


def padded_side(size: int) -> int:
  """The side to which an image of that side is padded.

  >>> padded_side(130), padded_side(600)
  (256, 768)
  """
  step = SMALL_STEP if size <= LARGE else LARGE_STEP
  return -(-size // step) * step


def pad_to_program(image: np.ndarray) -> np.ndarray:
  """An image of at most one tile, reflected at its lower and right edge up to `padded_side`."""
  missing = [(0, padded_side(size) - size) for size in image.shape]
  return np.pad(image, missing, mode='symmetric')


def margin(receptive_radius: int) -> int:
  """Width of a tile's border whose predictions are discarded; half of it keeps tiles aligned."""
  half = ALIGNMENT // 2
  return -(-receptive_radius // half) * half


def overlap(receptive_radius: int) -> int:
  """Pixels that neighbouring tiles share."""
  return 2 * margin(receptive_radius) + RAMP


def spans(size: int, receptive_radius: int, tile: int = TILE) -> list[Span]:
  """Tiles that cover `size` pixels, with weights that fall linearly where two of them overlap."""
  if size <= tile:
    return [Span(0, np.ones(size))]
  shared = overlap(receptive_radius)
  count = -(-(size - shared) // (tile - shared))
  ramp = np.clip((np.arange(shared) + 0.5 - margin(receptive_radius)) / RAMP, 0, 1)
  found = []
  for index in range(count):
    begin = index * (tile - shared)
    weights = np.ones(min(tile, size - begin))
    if index > 0:
      weights[:shared] = ramp
    if index < count - 1:
      weights[-shared:] = ramp[::-1]
    found.append(Span(begin, weights))
  return found


def tiles(shape: tuple[int, int], receptive_radius: int) -> Iterator[tuple[Span, Span]]:
  """The tiles of an image, row by row."""
  for row in spans(shape[0], receptive_radius):
    for column in spans(shape[1], receptive_radius):
      yield row, column


def predict_tiled(
  predict: Callable[[np.ndarray], np.ndarray], image: np.ndarray, receptive_radius: int
) -> np.ndarray:
  """(H, W) float32 predictions of an image of any size.

  Args:
    predict: maps (h, w) to (h, w) for sides of `padded_side`.
    image: (H, W).
    receptive_radius: distance in pixels to the farthest pixel that a prediction depends on.
  """
  blended = np.zeros(image.shape, np.float32)
  for row, column in tiles(image.shape, receptive_radius):
    place = tuple(slice(s.begin, s.begin + len(s.weights)) for s in (row, column))
    part = image[place]
    predicted = predict(pad_to_program(part))[: part.shape[0], : part.shape[1]]
    blended[place] += predicted * np.outer(row.weights, column.weights).astype(np.float32)
  return blended
