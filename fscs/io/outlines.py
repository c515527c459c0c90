"""Draws the areas of a file of outlines into a label image.

Every area is an object, numbered in the order of the file. Where areas overlap, the earlier one
keeps its pixels. In an image of several pages each area lies on its slice and frame, or on the page
of its position; in an image of one page they are ignored.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fscs.errors import InputError

Shape = tuple[int, int]


class Outline(NamedTuple):
  """An area, and where it lies. Slices, frames and positions count from 1; 0 means any."""

  name: str
  pixels: Callable[[Shape], np.ndarray]  # from (height, width) to (n,) flat indices of pixels
  slice_: int = 0
  frame: int = 0
  position: int = 0


def draw_outlines(
  path: Path,
  outlines: Iterable[Outline],
  shape: Shape,
  page: int = 0,
  pages: int = 1,
  place: Mapping[str, int] | None = None,
) -> np.ndarray:
  """Draw the areas of one page.

  Args:
    path: the file, for messages.
    outlines: all areas of the file.
    shape: (height, width) of the image.
    page: of the image, from 0.
    pages: number of pages of the image.
    place: of the page along the axes Z and T, from 0, as far as the image has them.

  Returns:
    (H, W) int32: 0 is background, objects are 1 to n.

  Raises:
    InputError: an area lies outside the image, or on no page of several.
  """
  labels = np.zeros(shape, np.int32)
  count = 0
  for outline in outlines:
    if pages > 1 and not _is_on(path, outline, page, pages, place or {}):
      continue
    pixels = outline.pixels(shape)
    if not len(pixels):
      raise InputError(
        f'{path}: found {outline.name} outside the image of {shape[0]} x {shape[1]} pixels,'
        ' expected areas within it; remove it, or give the outlines of this image'
      )
    free = pixels[labels.flat[pixels] == 0]
    count += len(free) > 0
    labels.flat[free] = count
  return labels


def _is_on(path: Path, outline: Outline, page: int, pages: int, place: Mapping[str, int]) -> bool:
  """Whether an area lies on a page."""
  slice_, frame, position = outline.slice_, outline.frame, outline.position
  if {'Z', 'T'} <= place.keys() and (slice_ or frame):
    return slice_ in (0, place['Z'] + 1) and frame in (0, place['T'] + 1)
  # One axis of pages, whose name the writer of the file may not have known: it is the one along
  # which the area is not on the first page.
  number = position or (max(slice_, frame) if min(slice_, frame) <= 1 else 0)
  if not 1 <= number <= pages:
    raise InputError(
      f'{path}: found {outline.name} at position {position}, slice {slice_}, frame {frame},'
      f' expected one of the {pages} pages of the image; draw it on its page, or give label images'
    )
  return number == page + 1
