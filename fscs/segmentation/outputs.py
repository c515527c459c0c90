"""What prediction writes for an image: TIFFs, overlay, ROIs.

All files of an image are made in a folder beside and appear together, or none of them does.
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
from fscs.io import PixelSize
from fscs.segmentation import tiling as blocks

OVERLAY_COLOUR = (0, 168, 232)
OVERLAY_SIDE = 2048  # longest side of an overlay in pixels
TILE_SIDE = 512  # of tiled TIFFs
LARGEST_CLASSIC = 2**31  # bytes of pixels in a TIFF; more make a BigTIFF
ENDINGS = (  # of files, after the name of the image; the table, last, says that all are there
  *('probability.tif', 'mask.tif', 'labels.tif', 'overlay.png', 'rois.zip', 'objects.csv'),
)


@contextlib.contextmanager
def whole_or_not(path: Path) -> Iterator[Path]:
  """A path to write to beside `path`, which takes its place at the end, or vanishes on failure."""
  temporary = path.with_name(f'.{os.getpid()}-{path.name}')
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def output_path(out: Path, stem: str, ending: str) -> Path:
  """Where a result of an image is."""
  return out / f'{stem}_{ending}'


def require_short_name(out: Path, image: Path) -> None:
  """Raises InputError where the file system cannot hold the names of an image's results."""
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

  What an earlier attempt that was killed left there is removed.
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


def scratch(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
  """An array of zeros: in memory, or in a file if it is larger than an image predicted whole."""
  if math.prod(shape) <= blocks.LARGEST_WHOLE:
    return np.zeros(shape, dtype)
  array = np.memmap(path, dtype, 'w+', shape=shape)
  if hasattr(os, 'posix_fallocate'):  # a disk found full only on writing would end the process
    with path.open('rb+') as file:
      os.posix_fallocate(file.fileno(), 0, array.nbytes)
  return array


def release(array: np.ndarray) -> None:
  """Let memory go that holds parts of a file of `scratch`; they are read again when asked for."""
  while isinstance(array, np.ndarray):
    array = array.base
  if isinstance(array, mmap.mmap) and hasattr(mmap, 'MADV_DONTNEED'):
    array.madvise(mmap.MADV_DONTNEED)


def write_pages(
  path: Path,
  pages: np.ndarray,
  dtype: Any,
  convert: Callable[[np.ndarray], np.ndarray],
  pixel_size: PixelSize | None = None,
) -> None:
  """A compressed TIFF of pages (N, H, W), each region converted on its way; large ones in tiles."""
  count, *shape = pages.shape
  tiled = math.prod(shape) > blocks.LARGEST_WHOLE

  def tiles_of(page: np.ndarray) -> Iterator[np.ndarray]:
    for block in blocks.blocks(shape, TILE_SIDE, 0):
      part = convert(page[block.core])
      release(page)
      yield np.pad(part, [(0, TILE_SIDE - size) for size in part.shape]).astype(dtype)

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
    tile=(TILE_SIDE, TILE_SIDE) if tiled else None,
    compression='zlib',
    photometric='minisblack',
    bigtiff=pages.size * np.dtype(dtype).itemsize > LARGEST_CLASSIC,
    **_resolution(pixel_size),
  )


def _resolution(pixel_size: PixelSize | None) -> dict[str, Any]:
  if pixel_size is None:
    return {}
  per_cm = (1e4 / pixel_size.width, 1e4 / pixel_size.height)
  return {'resolution': per_cm, 'resolutionunit': 'CENTIMETER'}


def label_type(count: int) -> type:
  """The smallest type of labels that ImageJ and others read."""
  return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
  """A PNG of an 8-bit image, (H, W) or (H, W, 3), with the outlines of its objects."""
  colours = image.copy() if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
  colours[find_boundaries(labels, mode='inner')] = OVERLAY_COLOUR
  Image.fromarray(colours).save(path, compress_level=3)  # a third of the time, no larger


def rois_of(
  labels: np.ndarray,
  page: int,
  offset: tuple[int, int] = (0, 0),
  place: Mapping[str, int] | None = None,
) -> Iterator[roifile.ImagejRoi]:
  """A polygon per object, the longest outline of it; pixel (r, c) is the square from (r, c).

  Args:
    labels: (h, w), a part of a page.
    page: from 0.
    offset: row and column of the page where the part begins.
    place: of the page on the axes of the file, from 0. ImageJ wants both of Z and T where there are
      both, and the number of the page else.
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
  """An archive for ImageJ's ROI manager; none where there is no object."""
  if rois:
    roifile.roiwrite(path, list(rois), mode='w')
