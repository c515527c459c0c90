"""Reads masks: which pixels of an image are objects, and which object each belongs to.

A mask with one value per pixel is one of three kinds, told apart by its values:

- Binary: two values, of which the larger is foreground. Objects are the connected components;
  pixels that touch only at corners are not connected.
- Soft-edged binary: a JPEG, or more than half of the values between smallest and largest lie mostly
  on slopes (pixels with both a lower and a higher value among their eight neighbours). The
  foreground is above the middle of the range. At least half of all pixels, and nearly all pixels
  without an edge nearby, must be within a tenth of the range from its ends: otherwise the file
  holds an image, or labels that were smoothed.
- Labels: every other mask of whole numbers. Each value is an object, 0 is background. Objects may
  be in pieces, but more than four on average mean classes or noise.

In a mask of colours each colour is an object. Black and fully transparent pixels are background. If
colours are in more than four pieces on average, they only separate neighbours, and each piece is an
object. One colour makes a binary mask. Equal red, green and blue make a mask of one value. Palettes
of PNG and BMP files give colours, those of TIFF files give the indices.

Every ImageJ ROI is an object; see `fscs.io.rois`.
"""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.measure import label

from fscs.errors import InputError
from fscs.io.files import IMAGE_SUFFIXES, JPEG_SUFFIXES, require_usable
from fscs.io.images import require_finite
from fscs.io.opening import open_raster
from fscs.io.rois import ROI_SUFFIXES, read_rois

MASK_SUFFIXES = (*IMAGE_SUFFIXES, *ROI_SUFFIXES)
MAX_OBJECTS = 65_535
MAX_PIECES = 4  # of an object, on average
MIN_JPEG_CONTRAST = 64  # from background to foreground, to be told from compression artefacts
FLAT_SIDE = 7  # pixels: side of the neighbourhood without an edge


class Mask(NamedTuple):
  """The objects of one image."""

  labels: np.ndarray  # (H, W) int32: 0 is background, objects are 1 to n
  instances: bool  # whether the file separates objects; else they are connected components


def require_pages(path: str | os.PathLike, pages: int, image: str | os.PathLike) -> None:
  """Check that a mask file has as many pages as its image; files of ROIs always pass.

  Args:
    path: the mask file.
    pages: of the image.
    image: name of the image, for the message.

  Raises:
    InputError: the numbers differ, or the file cannot be read.
  """
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
  """Read one page of a mask file.

  Args:
    path: an image file as for `open_image`, an ImageJ ROI (.roi), or an archive of ROIs (.zip).
    shape: (height, width) of the image.
    page: the page of the image that the mask is for, from 0.
    pages: of the image. If it has one, the positions of ROIs are ignored.
    allow_empty: accept a mask without foreground.

  Raises:
    InputError: the file does not exist, is damaged or of an unknown kind; it has no such page, or
      another size than the image; it is all background or all foreground; it has more than
      `MAX_OBJECTS` objects; or its values are of none of the kinds above.

  Examples:
    mask = read_mask('cells_mask.tif', shape=(512, 512))
    num_objects = mask.labels.max()
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
      f'{path}: found {pages} pages, expected page {page + 1}; give a mask with as many pages as '
      'the image'
    )


def _of_values(path: Path, values: np.ndarray) -> Mask:
  """The mask with (H, W) values of any type."""
  require_finite(values, path)
  levels, inverse = np.unique(values, return_inverse=True)
  index = inverse.astype(np.int32).reshape(values.shape)
  if len(levels) == 1:
    return _of_foreground(values != 0)
  if len(levels) == 2:
    return _of_foreground(index == 1)
  low, high = float(levels[0]), float(levels[-1])
  lossy = path.suffix.lower() in JPEG_SUFFIXES
  if lossy or np.mean(_on_slopes(index, index, len(levels))[1:-1]) > 0.5:
    height = (values - low) / (high - low)
    if np.mean(np.abs(height - 0.5) >= 0.4) < 0.5:
      raise InputError(
        f'{path}: found {len(levels):,} values that vary like an image, expected a mask; give the'
        ' mask, or threshold it and save it again'
      )
    if (lossy and high - low < MIN_JPEG_CONTRAST) or _has_steps(height):
      raise InputError(
        f'{path}: found {len(levels):,} values, as of labels that were smoothed, resized or'
        ' compressed; save the labels as PNG or TIFF, and resize them by the nearest neighbour'
      )
    return _of_foreground(height > 0.5)
  if low < 0 or np.any(levels != np.rint(levels)):
    raise InputError(
      f'{path}: found negative or fractional labels ({low:g} to {high:g}), expected whole numbers '
      'from 0; save the labels as integers'
    )
  pieces = _components(index, connectivity=2).max()
  if pieces > MAX_PIECES * (len(levels) - 1):
    raise InputError(
      f'{path}: found {len(levels) - 1} values in {pieces:,} pieces, as of classes or noise, '
      'expected one value for each object; save the objects of one class, or their labels'
    )
  return Mask(index + (low > 0), instances=True)


def _of_colours(path: Path, values: np.ndarray) -> Mask:
  """The mask with (H, W, 3) or (H, W, 4) colours."""
  if values.dtype not in (np.bool_, np.uint8, np.uint16):
    raise InputError(
      f'{path}: found colours of type {values.dtype}, expected 8 or 16 bits; save it as PNG'
    )
  opaque = (values[..., 3:] != 0).all(-1)
  red, green, blue = (values[..., channel] * opaque for channel in range(3))
  if np.array_equal(red, green) and np.array_equal(red, blue):
    return _of_values(path, red)
  codes = (red.astype(np.uint64) << 32) | (green.astype(np.uint64) << 16) | blue
  colours, inverse = np.unique(codes, return_inverse=True)
  index = inverse.astype(np.int32).reshape(codes.shape)
  if len(colours) == 2 and colours[0] == 0:
    return _of_foreground(index == 1)
  brightness = 0.3 * red + 0.6 * green + 0.1 * blue  # varies evenly from one colour to another
  if len(colours) > MAX_OBJECTS + 1 or np.mean(_on_slopes(brightness, index, len(colours))) > 0.5:
    raise InputError(
      f'{path}: found {len(colours):,} colours, most of them on soft edges, expected one for each '
      'object; save it as PNG without smoothing'
    )
  labels = (index + (colours[0] > 0)).astype(np.int32)
  pieces = _components(labels, connectivity=1)
  if pieces.max() > MAX_PIECES * labels.max():  # a few colours, reused so that neighbours differ
    labels = pieces
  return Mask(labels, instances=True)


def _has_steps(height: np.ndarray) -> bool:
  """Whether flat areas, of (H, W) values in [0, 1], are often far from both 0 and 1."""
  highest = ndimage.maximum_filter(height, FLAT_SIDE)
  lowest = ndimage.minimum_filter(height, FLAT_SIDE)
  raised = height[(highest - lowest <= 0.1) & (height > 0.1)]
  return bool(np.count_nonzero(raised < 0.9) > 0.1 * len(raised))


def _on_slopes(height: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
  """Which values lie mostly on slopes.

  Args:
    height: (H, W), any numbers.
    index: (H, W) int32: which of `count` values each pixel has.
    count: number of values.

  Returns:
    (count,) bool: whether most of the pixels have a lower and a higher neighbour.
  """
  slope = ndimage.minimum_filter(height, 3) < height
  slope &= height < ndimage.maximum_filter(height, 3)
  pixels = np.bincount(index.ravel(), minlength=count)
  return np.bincount(index[slope], minlength=count) * 2 > pixels


def _components(values: np.ndarray, connectivity: int) -> np.ndarray:
  """(H, W) int32: connected components of equal values, 1 to n; 0 stays background."""
  return np.asarray(label(values, connectivity=connectivity), np.int32)


def _of_foreground(foreground: np.ndarray) -> Mask:
  return Mask(_components(foreground, connectivity=1), instances=False)


def _checked(path: Path, mask: Mask, allow_empty: bool) -> Mask:
  """The same mask, if it has background and an acceptable number of objects."""
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
