"""Folders of a user's annotated images as data sets to learn from, besides the published ones."""

from pathlib import Path
from typing import Literal

import numpy as np
from skimage.measure import label

from fscs.data.scaling import stretch
from fscs.errors import InputError
from fscs.io import MASK_SUFFIXES
from fscs.segmentation.annotated_files import find_pairs, read_all
from fscs.typing import ImageSet

STRIDE = (32, 32)  # between crops, in rows and columns of full resolution
MOST_PADDING = 4  # times as many pixels as there are may come of making images one size


def read(folder: str, least: int = 1) -> ImageSet:
  """A folder's annotated images, in grey values as `fscs.cli.finetune` makes them.

  Smaller images are continued by their mirror images to the size of the largest.

  Args:
    folder: with images and their masks, in folders `images` and `masks` or side by side.
    least: pixels that each side of the images has at least, in the same way.

  Returns:
    ImageSet of uint8 (H, W), all of one size, that has the name of the folder as its code; the
    labels are those of the masks, or regions where these tell no objects apart, and 0 in what is
    continued.

  Raises:
    InputError: nothing in it can be used, or its images are too small or of too different sizes.
  """
  try:
    pages, _ = read_all(find_pairs(*map(str, _places(Path(folder)))), 'learned')
  except InputError as error:
    raise InputError(f'--sources has {folder}: {error}') from error
  shape = _common_shape(folder, [page.grey.shape for page in pages], least)
  return ImageSet(
    code=name_of(folder),
    images=tuple(_extended(stretch(page.grey), shape) for page in pages),
    masks=tuple(_extended(page.mask > 0, shape) for page in pages),
    names=tuple(page.name for page in pages),
    labels=tuple(_extended(_objects(page.mask), shape, 'constant') for page in pages),
  )


def _places(root: Path) -> tuple[Path, Path]:
  """Where images are, and where masks."""
  images, masks = (root / part if (root / part).is_dir() else root for part in ('images', 'masks'))
  if masks == root and not any(path.suffix.lower() in MASK_SUFFIXES for path in root.iterdir()):
    masks = images
  return images, masks


def _common_shape(folder: str, shapes: list[tuple[int, int]], least: int) -> tuple[int, int]:
  """The size of the largest, in each direction; raises InputError where that is too far off."""
  shape = tuple(int(size) for size in np.max(shapes, axis=0))
  smallest, *_, largest = sorted((*shapes, shape), key=np.prod)
  pixels = MOST_PADDING * sum(map(np.prod, shapes))
  if len(shapes) * np.prod(shape) > pixels:
    raise InputError(
      f'--sources has {folder}: images of {_words(smallest)} and of {_words(largest)} are together:'
      ' cut the large ones in pieces, or put them in a folder of their own'
    )
  shape = tuple(max(size, least) for size in shape)
  if len(shapes) * np.prod(shape) > pixels:
    raise InputError(
      f'--sources has {folder}: images of {_words(smallest)} are too small for crops of {least} x'
      f' {least}: choose a smaller --crop-size or --downscale'
    )
  return shape


def objects(image_set: ImageSet, downscale: int) -> list[np.ndarray]:
  """The labels of a set, (H // downscale, W // downscale) each."""
  shrunk = []
  for labels in image_set.labels:
    height, width = (size // downscale * downscale for size in labels.shape)
    middle = slice(downscale // 2, None, downscale)
    shrunk.append(labels[:height, :width][middle, middle])
  return shrunk


def _objects(mask: np.ndarray) -> np.ndarray:
  return label(mask, connectivity=1) if mask.dtype == bool else mask


def name_of(folder: str) -> str:
  """What the figures and errors of a run call it."""
  return Path(folder).resolve().name


def _extended(
  pixels: np.ndarray, shape: tuple[int, int], mode: Literal['symmetric', 'constant'] = 'symmetric'
) -> np.ndarray:
  more = [(0, wanted - size) for size, wanted in zip(pixels.shape, shape, strict=True)]
  return np.pad(pixels, more, mode=mode)


def _words(shape: tuple[int, int]) -> str:
  return f'{shape[1]} x {shape[0]} pixels'
