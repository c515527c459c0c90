"""Reads masks: which pixels of an image are objects, and which object each belongs to.

A mask of one value per pixel is, by the values it holds:

- binary, at any two values: the larger is foreground. Objects are its connected components, where
  pixels touch at their sides;
- soft-edged, as a JPEG or where more than half of the values between the smallest and the largest
  occur mostly on slopes, that is in pixels with both a lower and a higher value among their eight
  neighbours: binary, and foreground is what lies above half-way between smallest and largest. At
  least half of the pixels must be within a tenth of the range of its ends, and so must nearly all
  be that have no edge nearby: others are of labels that were smoothed;
- otherwise labels in whole numbers: each value is an object, 0 is background. An object may be in
  pieces, but more than four on average are taken for classes or noise.

In a mask of colours each colour is an object, and black or fully transparent pixels are background;
where colours are in more than four pieces on average, they only tell neighbours apart, and each
piece is an object. A single colour makes a binary mask, and equal red, green and blue make a mask
of one value. Of a palette, PNG and BMP files give the colours and TIFF files the indices.

ImageJ ROIs are objects each; see `fscs.io.rois`.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.measure import label

from fscs.errors import InputError
from fscs.io.files import IMAGE_SUFFIXES, require_usable
from fscs.io.images import require_finite
from fscs.io.rasters import open_raster
from fscs.io.rois import ROI_SUFFIXES, read_rois

MASK_SUFFIXES = (*IMAGE_SUFFIXES, *ROI_SUFFIXES)
MAX_OBJECTS = 65_535
MAX_PIECES = 4  # on average, of an object
LEAST_LOSSY = 64  # levels from background to foreground, to tell them from compression
FLAT_SIDE = 7  # side of the neighbourhood of a pixel that tells whether an edge is nearby


class Mask(NamedTuple):
  """The objects of one image."""

  labels: np.ndarray  # (H, W) int32: 0 is background, objects are 1 to n
  instances: bool  # the file tells objects apart; False: they are connected components


def require_pages(path: str | os.PathLike, pages: int, image: str | os.PathLike) -> None:
  """Raises InputError unless a mask file has as many pages as its image; ROIs name their pages."""
  path = Path(path)
  require_usable(path, MASK_SUFFIXES)
  if path.suffix.lower() in ROI_SUFFIXES:
    return
  with contextlib.closing(open_raster(path)) as raster:
    found = raster.shape[0]
  if found != pages:
    raise InputError(
      f'{path}: found {found} pages, expected {pages} as in {image}; give the mask of this image'
    )


def read_mask(
  path: str | os.PathLike,
  shape: tuple[int, int],
  page: int = 0,
  *,
  pages: int = 1,
  allow_empty: bool = False,
) -> Mask:
  """Reads one page of a mask file.

  Args:
    path: any image file that `open_image` reads, or an ImageJ ROI (.roi) or archive of them (.zip).
    shape: (height, width) of the image.
    page: counted from 0; the page of the image that the mask is for.
    pages: of the image. If it is one, the position of ROIs does not count.
    allow_empty: whether a mask may be all background.

  Raises:
    InputError: the file is missing, unreadable, damaged or of an unknown kind; it has no such page
      or another size than the image; it is all background or all foreground; it holds more than
      `MAX_OBJECTS` objects, or values that are none of the kinds above.
  """
  path = Path(path)
  require_usable(path, MASK_SUFFIXES)
  if path.suffix.lower() in ROI_SUFFIXES:
    _require_page(path, page, pages)
    mask = Mask(read_rois(path, shape, page, pages), instances=True)
  else:
    mask = _read_raster(path, shape, page)
  return _checked(path, mask, allow_empty)


def _read_raster(path: Path, shape: tuple[int, int], page: int) -> Mask:
  """The mask in an image file."""
  with contextlib.closing(open_raster(path)) as raster:
    found, height, width = raster.shape
    _require_page(path, page, found)
    if (height, width) != tuple(shape):
      raise InputError(
        f'{path}: found a mask of {height} x {width} pixels (height x width), expected {shape[0]} '
        f'x {shape[1]} like its image; give the mask of this image'
      )
    if raster.channels > 1 and not raster.colour:
      raise InputError(
        f'{path}: found {raster.channels} channels, expected one value or one colour per pixel; '
        'save the channel that holds the mask'
      )
    values = raster.read(page, slice(None), slice(None), 0, raster.channels)
  return _of_colours(path, values) if raster.colour else _of_values(path, values[..., 0])


def _require_page(path: Path, page: int, pages: int) -> None:
  if not 0 <= page < pages:
    raise InputError(
      f'{path}: found {pages} pages, expected page {page + 1} as its image has; give a mask with '
      'as many pages as the image'
    )


def _of_values(path: Path, values: np.ndarray) -> Mask:
  """From (H, W) values of any type."""
  require_finite(values, path)
  levels, index = np.unique(values, return_inverse=True)
  index = index.astype(np.int32).reshape(values.shape)
  if len(levels) == 1:
    return _of_foreground(values != 0)
  if len(levels) == 2:
    return _of_foreground(index == 1)
  low, high = float(levels[0]), float(levels[-1])
  lossy = path.suffix.lower() in ('.jpg', '.jpeg')
  if lossy or np.mean(_on_slopes(index, index, len(levels))[1:-1]) > 0.5:
    height = (values - low) / (high - low)
    if np.mean(np.abs(height - 0.5) >= 0.4) < 0.5:
      raise InputError(
        f'{path}: found {len(levels):,} values that change as in an image, expected a mask; give'
        ' the mask, or threshold it and save it again'
      )
    if (lossy and high - low < LEAST_LOSSY) or _has_steps(height):
      raise InputError(
        f'{path}: found {len(levels):,} values, as of labels that were smoothed, resized or'
        ' compressed; save the labels as PNG or TIFF, and resize them by the nearest neighbour'
      )
    return _of_foreground(height > 0.5)
  if low < 0 or np.any(levels != np.rint(levels)):
    raise InputError(
      f'{path}: found negative or fractional labels ({low:g} to {high:g}), expected whole numbers '
      'from 0 on; save the labels as integers'
    )
  pieces = label(index, connectivity=2, return_num=True)[1]
  if pieces > MAX_PIECES * (len(levels) - 1):
    raise InputError(
      f'{path}: found {len(levels) - 1} values in {pieces:,} pieces, as of classes or noise, '
      'expected one value for each object; save the objects of one class, or their labels'
    )
  return Mask(index + (low > 0), instances=True)


def _of_colours(path: Path, values: np.ndarray) -> Mask:
  """From (H, W, 3) or (H, W, 4) colours."""
  if values.dtype not in (np.bool_, np.uint8, np.uint16):
    raise InputError(
      f'{path}: found colours of type {values.dtype}, expected 8 or 16 bits; save it as PNG'
    )
  opaque = (values[..., 3:] != 0).all(-1)
  red, green, blue = (values[..., channel] * opaque for channel in range(3))
  if np.array_equal(red, green) and np.array_equal(red, blue):
    return _of_values(path, red)
  codes = (red.astype(np.uint64) << 32) | (green.astype(np.uint64) << 16) | blue
  colours, index = np.unique(codes, return_inverse=True)
  index = index.astype(np.int32).reshape(codes.shape)
  if len(colours) == 2 and colours[0] == 0:
    return _of_foreground(index == 1)
  brightness = 0.3 * red + 0.6 * green + 0.1 * blue  # changes evenly from one colour to another
  if len(colours) > MAX_OBJECTS + 1 or np.mean(_on_slopes(brightness, index, len(colours))) > 0.5:
    raise InputError(
      f'{path}: found {len(colours):,} colours, most of them on soft edges, expected one for each '
      'object; save it as PNG without smoothing'
    )
  labels = (index + (colours[0] > 0)).astype(np.int32)
  pieces, count = label(labels, connectivity=1, return_num=True)
  if count > MAX_PIECES * labels.max():  # a few colours in turn, so that neighbours differ
    labels = pieces.astype(np.int32)
  return Mask(labels, instances=True)


def _has_steps(height: np.ndarray) -> bool:
  """Whether what is flat, of (H, W) values in [0, 1], is often far from both 0 and 1."""
  highest = ndimage.maximum_filter(height, FLAT_SIDE)
  lowest = ndimage.minimum_filter(height, FLAT_SIDE)
  raised = height[(highest - lowest <= 0.1) & (height > 0.1)]
  return bool(np.count_nonzero(raised < 0.9) > 0.1 * len(raised))


def _on_slopes(height: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
  """(count,) bool: whether most pixels of each index have a lower and a higher neighbour."""
  slope = ndimage.minimum_filter(height, 3) < height
  slope &= height < ndimage.maximum_filter(height, 3)
  pixels = np.bincount(index.ravel(), minlength=count)
  return np.bincount(index[slope], minlength=count) * 2 > pixels


def _of_foreground(foreground: np.ndarray) -> Mask:
  return Mask(label(foreground, connectivity=1).astype(np.int32), instances=False)


def _checked(path: Path, mask: Mask, allow_empty: bool) -> Mask:
  """The same mask; InputError unless it has background and an acceptable number of objects."""
  count = mask.labels.max()
  if count > MAX_OBJECTS:
    raise InputError(
      f'{path}: found {count:,} objects, expected at most {MAX_OBJECTS:,}; if these are specks, '
      'remove them, else cut image and mask into parts'
    )
  if mask.labels.all() or not (count or allow_empty):
    raise InputError(
      f'{path}: found {"foreground" if count else "background"} only, expected objects and '
      'background (0, black or transparent); draw both, or leave this image out'
    )
  return mask
