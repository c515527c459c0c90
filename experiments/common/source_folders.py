"""Folders of annotated images as data sets to learn from, besides the published ones."""

from pathlib import Path
from typing import Literal

import numpy as np
from skimage.measure import label

from fscs.data.image_sets import ImageSet
from fscs.data.intensity import stretch
from fscs.errors import InputError
from fscs.io import MASK_SUFFIXES
from fscs.segmentation.annotated_files import read_annotated_folder

STRIDE = (32, 32)  # between crops, in rows and columns of full resolution
MAX_PADDING = 4  # pixels after padding images to one size, per pixel before


def read_folder(folder: str, min_side: int = 1) -> ImageSet:
  """The annotated images of a folder, in the grey values of `fscs finetune`.

  Smaller images are reflected up to the size of the largest.

  Args:
    folder: with images and masks, in sub-folders `images` and `masks` or side by side.
    min_side: least side of the images; smaller ones are reflected too.

  Returns:
    ImageSet of (H, W) uint8 images of one size. Its code is the name of the folder; its labels are
    those of the masks, or connected components, and 0 in reflected parts.

  Raises:
    InputError: nothing in it can be used, or its images are too small or differ too much in size.
  """
  try:
    pages = read_annotated_folder(*_find_folders(Path(folder))).pages
  except InputError as error:
    raise InputError(f'source {folder}: {error}', arguments=('sources',)) from error
  pages = [page for page in pages if page.mask.any()]  # others give no crops
  shape = _common_shape(folder, [page.grey.shape for page in pages], min_side)
  return ImageSet(
    code=name_of(folder),
    images=tuple(_padded(stretch(page.grey), shape) for page in pages),
    masks=tuple(_padded(page.mask > 0, shape) for page in pages),
    names=tuple(page.name for page in pages),
    labels=tuple(_padded(_labels(page.mask), shape, 'constant') for page in pages),
  )


def _find_folders(root: Path) -> tuple[Path, Path]:
  """Folders of the images and of the masks."""
  images, masks = (root / part if (root / part).is_dir() else root for part in ('images', 'masks'))
  if masks == root and not any(path.suffix.lower() in MASK_SUFFIXES for path in root.iterdir()):
    masks = images
  return images, masks


def _common_shape(folder: str, shapes: list[tuple[int, int]], min_side: int) -> tuple[int, int]:
  """The size of the largest image in each direction.

  Raises:
    InputError: most pixels would be padding.
  """
  shape = tuple(int(size) for size in np.max(shapes, axis=0))
  smallest, *_, largest = sorted((*shapes, shape), key=np.prod)
  max_pixels = MAX_PADDING * sum(map(np.prod, shapes))
  if len(shapes) * np.prod(shape) > max_pixels:
    raise InputError(
      f'source {folder}: images of {_as_text(smallest)} and of {_as_text(largest)} are together:'
      ' cut the large ones in pieces, or put them in a folder of their own',
      arguments=('sources',),
    )
  height, width = (max(size, min_side) for size in shape)
  if len(shapes) * height * width > max_pixels:
    raise InputError(
      f'source {folder}: images of {_as_text(smallest)} are too small for crops of {min_side} x'
      f' {min_side}: choose smaller crops, or shrink the images less',
      arguments=('sources', 'crop_size', 'downscale'),
    )
  return height, width


def shrunk_labels(image_set: ImageSet, downscale: int) -> list[np.ndarray]:
  """The labels of a set, (H // downscale, W // downscale) each, by the nearest neighbour."""
  shrunk = []
  for labels in image_set.labels or ():
    height, width = (size // downscale * downscale for size in labels.shape)
    middle = slice(downscale // 2, None, downscale)
    shrunk.append(labels[:height, :width][middle, middle])
  return shrunk


def _labels(mask: np.ndarray) -> np.ndarray:
  return label(mask, connectivity=1) if mask.dtype == bool else mask


def name_of(folder: str) -> str:
  """What logs and errors of a run call the folder."""
  return Path(folder).resolve().name


def _padded(
  pixels: np.ndarray, shape: tuple[int, int], mode: Literal['symmetric', 'constant'] = 'symmetric'
) -> np.ndarray:
  missing = [(0, wanted - size) for size, wanted in zip(pixels.shape, shape, strict=True)]
  return np.pad(pixels, missing, mode=mode)


def _as_text(shape: tuple[int, int]) -> str:
  return f'{shape[1]} x {shape[0]} pixels'
