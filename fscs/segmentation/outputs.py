"""The files that prediction writes for an image: TIFFs, overlay, ROIs.

All files of an image are made in a folder of their own and appear together, or none of them does.
"""

import contextlib
import hashlib
import math
import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roifile
import tifffile
from PIL import Image
from skimage.measure import find_contours, regionprops_table
from skimage.segmentation import find_boundaries

from fscs.errors import InputError
from fscs.io import ImageRef, PixelSize
from fscs.segmentation.blockwise import MAX_PIXELS_IN_MEMORY, blocks

OUTLINE_COLOUR = (0, 168, 232)
OVERLAY_SIDE = 2048  # longest side of an overlay in pixels
TIFF_TILE = 512  # side of the tiles of large TIFFs
MAX_CLASSIC_TIFF = 2**31  # bytes of pixels; more make a BigTIFF
ENDINGS = (  # of files, after the name of the image; the table comes last and completes the set
  *('probability.tif', 'mask.tif', 'labels.tif', 'overlay.png', 'rois.zip', 'objects.csv'),
)


def output_path(out: Path, stem: str, ending: str) -> Path:
  """Where a result of an image is kept."""
  return out / f'{stem}_{ending}'


def require_short_name(out: Path, image: ImageRef) -> None:
  """Raises InputError if the file system cannot hold the names of an image's results."""
  longest = output_path(out, image.stem, max(ENDINGS, key=len))
  try:
    longest.lstat()
  except FileNotFoundError:
    pass
  except OSError as error:
    raise InputError(
      f'{image}: its results would have names of {len(os.fsencode(longest.name))} bytes'
      f' ({error.strerror}); give the image a shorter name'
    ) from error


@contextlib.contextmanager
def all_or_none(out: Path, stem: str) -> Iterator[Path]:
  """A folder to write to; at the end its files of `ENDINGS` become the results of an image.

  The remains of an earlier attempt that was killed are removed.
  """
  folder = out / f'.unfinished-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:12]}'
  shutil.rmtree(folder, ignore_errors=True)
  folder.mkdir()
  try:
    yield folder
    output_path(out, stem, ENDINGS[-1]).unlink(missing_ok=True)
    for ending in ENDINGS:
      if (folder / ending).exists():
        (folder / ending).replace(output_path(out, stem, ending))
      else:
        output_path(out, stem, ending).unlink(missing_ok=True)
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def scratch_array(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """An array of zeros, in memory or, for large images, in a file."""
  if math.prod(shape) <= MAX_PIXELS_IN_MEMORY:
    return np.zeros(shape, dtype)
  array = np.memmap(path, dtype, 'w+', shape=shape)
  if hasattr(os, 'posix_fallocate'):  # a disk that fills up later would kill the process
    with path.open('rb+') as file:
      os.posix_fallocate(file.fileno(), 0, array.nbytes)
  return array


def release_memory(array: np.ndarray) -> None:
  """Drop the pages of a file of `scratch_array` from memory; they are read again when needed."""
  base: Any = array
  while isinstance(base, np.ndarray):
    base = base.base
  if isinstance(base, mmap.mmap) and hasattr(mmap, 'MADV_DONTNEED'):
    base.madvise(mmap.MADV_DONTNEED)


def write_pages(
  path: Path,
  pages: np.ndarray,
  dtype: Any,
  convert: Callable[[np.ndarray], np.ndarray],
  pixel_size: PixelSize | None = None,
) -> None:
  """Write a compressed TIFF; large pages in tiles.

  Args:
    path: file to write.
    pages: (N, H, W).
    dtype: of the pixels written.
    convert: applied to every region before it is written.
    pixel_size: written as the resolution.
  """
  count, *shape = pages.shape
  tiled = math.prod(shape) > MAX_PIXELS_IN_MEMORY

  def tiles_of(page: np.ndarray) -> Iterator[np.ndarray]:
    for block in blocks(page.shape, TIFF_TILE, 0):
      part = convert(page[block.core])
      release_memory(page)
      yield np.pad(part, [(0, TIFF_TILE - size) for size in part.shape]).astype(dtype)

  parts = (
    (tile for page in pages for tile in tiles_of(page))
    if tiled
    else (convert(page).astype(dtype) for page in pages)
  )
  tifffile.imwrite(
    path,
    parts,
    shape=(count, *shape) if count > 1 else shape,
    dtype=dtype,
    tile=(TIFF_TILE, TIFF_TILE) if tiled else None,
    compression='zlib',
    photometric='minisblack',
    metadata={'axes': 'IYX' if count > 1 else 'YX'},
    bigtiff=pages.size * np.dtype(dtype).itemsize > MAX_CLASSIC_TIFF,
    **_resolution(pixel_size),
  )


def _resolution(pixel_size: PixelSize | None) -> dict[str, Any]:
  if pixel_size is None:
    return {}
  per_cm = (1e4 / pixel_size.width, 1e4 / pixel_size.height)
  return {'resolution': per_cm, 'resolutionunit': 'CENTIMETER'}


def label_dtype(count: int) -> type:
  """The smallest type of labels that ImageJ and other programs read.

  >>> label_dtype(70_000).__name__
  'uint32'
  """
  return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
  """Write a PNG of an 8-bit image, (H, W) or (H, W, 3), with the outlines of its objects."""
  colours = image.copy() if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
  colours[find_boundaries(labels, mode='inner')] = OUTLINE_COLOUR
  # Level 3 takes a third of the time of the default and makes files that are no larger.
  Image.fromarray(colours).save(path, compress_level=3)


def rois_of(
  labels: np.ndarray,
  page: int,
  offset: tuple[int, int] = (0, 0),
  place: Mapping[str, int] | None = None,
) -> Iterator[roifile.ImagejRoi]:
  """A polygon per object: its longest outline. Pixel (r, c) is the square from (r, c).

  Args:
    labels: (h, w), a part of a page.
    page: counted from 0.
    offset: row and column of the page where the part begins.
    place: of the page on the axes of the file, counted from 0. ImageJ wants both Z and T if there
      are both, and else the number of the page.
  """
  place = place or {}
  table = regionprops_table(labels, properties=('label', 'bbox', 'image'))
  for number, image, top, left in zip(
    table['label'], table['image'], table['bbox-0'], table['bbox-1'], strict=True
  ):
    rows, columns = max(find_contours(np.pad(image, 1), 0.5), key=len).T - 0.5
    rows, columns = rows + top + offset[0], columns + left + offset[1]
    roi = roifile.ImagejRoi.frompoints(np.stack([columns, rows], axis=-1))
    roi.name = f'{page + 1:04}-{number:06}'
    roi.position = page + 1
    if {'Z', 'T'} <= place.keys():
      roi.z_position, roi.t_position = place['Z'] + 1, place['T'] + 1
    yield roi


def write_rois(path: Path, rois: Sequence[roifile.ImagejRoi]) -> None:
  """Write an archive for ImageJ's ROI Manager; none without objects."""
  if rois:
    roifile.roiwrite(path, list(rois), mode='w')
