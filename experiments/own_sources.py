"""Folders of a user's annotated images as data sets to learn from, besides the published ones."""

from pathlib import Path

import numpy as np

from experiments.annotated_pages import find_pairs, read_all
from fscs.errors import InputError
from fscs.own_images import stretch
from fscs.types import ImageSet

STRIDE = (32, 32)  # between crops, in rows and columns of full resolution
MOST_PADDING = 4  # times as many pixels as there are may come of making images one size


def read(folder: str) -> ImageSet:
  """A folder's annotated images, in grey values as `experiments.finetune` makes them.

  Smaller images are continued by their mirror images to the size of the largest.

  Args:
    folder: with images and their masks, in folders `images` and `masks` or side by side.

  Returns:
    ImageSet of uint8 (H, W), all of one size, that has the name of the folder as its code.

  Raises:
    InputError: nothing in it can be used, or its images are of too different sizes.
  """
  root = Path(folder)
  images, masks = (root / part if (root / part).is_dir() else root for part in ('images', 'masks'))
  try:
    pages, _ = read_all(find_pairs(str(images), str(masks)), 'learned')
  except InputError as error:
    raise InputError(f'--sources has {folder}: {error}') from error
  shapes = [page.grey.shape for page in pages]
  shape = tuple(int(size) for size in np.max(shapes, axis=0))
  if len(pages) * np.prod(shape) > MOST_PADDING * sum(map(np.prod, shapes)):
    smallest, *_, largest = sorted(shapes, key=np.prod)
    raise InputError(
      f'--sources has {folder}: images of {_words(smallest)} and of {_words(largest)} are together:'
      ' cut the large ones in pieces, or put them in a folder of their own'
    )
  return ImageSet(
    code=name_of(folder),
    images=tuple(_extended(stretch(page.grey), shape) for page in pages),
    masks=tuple(_extended(page.mask > 0, shape) for page in pages),
    names=tuple(page.name for page in pages),
  )


def name_of(folder: str) -> str:
  """What the figures and errors of a run call it."""
  return Path(folder).resolve().name


def _extended(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  more = [(0, wanted - size) for size, wanted in zip(pixels.shape, shape, strict=True)]
  return np.pad(pixels, more, mode='symmetric')


def _words(shape: tuple[int, int]) -> str:
  return f'{shape[1]} x {shape[0]} pixels'
