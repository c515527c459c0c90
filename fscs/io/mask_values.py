"""What the values of a mask mean: which pixels are objects, and which object each belongs to.

A mask with one value per pixel is one of three kinds, told apart by its values:

- Binary: two values. The larger is foreground, unless the user names another. Objects are the
  connected components; pixels that touch only at corners are not connected.
- Soft-edged binary: a JPEG, or more than half of the values between smallest and largest lie mostly
  on slopes (pixels with both a lower and a higher value among their eight neighbours). The
  foreground is above the middle of the range. At least half of all pixels, and nearly all pixels
  without an edge nearby, must be within a tenth of the range from its ends: otherwise the file
  holds an image, or labels that were smoothed.
- Labels: every other mask of whole numbers. Each value is an object, 0 is background. Objects may
  be in pieces, but more than four on average mean classes or noise.

In a mask of colours each colour is an object. Black and fully transparent pixels are background. If
colours are in more than four pieces on average, they only separate neighbours, and each piece is an
object. One colour makes a binary mask. Equal red, green and blue make a mask of one value.

If the user names the value of the foreground, only pixels of this value are foreground, and objects
are its connected components.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.measure import label

from fscs.errors import InputError
from fscs.io.files import JPEG_SUFFIXES
from fscs.io.images import require_finite

MAX_OBJECTS = 65_535
MAX_PIECES = 4  # of an object, on average
MIN_JPEG_CONTRAST = 64  # from background to foreground, to be told from compression artefacts
FLAT_SIDE = 7  # pixels: side of the neighbourhood without an edge
MAX_VALUES = 8  # that are listed
CUT_AT = 255  # labels of 8 bits that use most values up to this one were probably cut


class Mask(NamedTuple):
  """The objects of one image."""

  labels: np.ndarray  # (H, W) int32: 0 is background, objects are 1 to n
  instances: bool  # whether the file separates objects; else they are connected components
  notes: tuple[str, ...] = ()  # what was guessed, for the user
  values: tuple[int, ...] = ()  # those of the labels in the file, if there are few


def mask_of_values(path: Path, values: np.ndarray, foreground: int | None = None) -> Mask:
  """The mask with (H, W) values of any type.

  Args:
    path: the file, for messages.
    values: of its pixels.
    foreground: the value of the foreground; by default the rules above.

  Raises:
    InputError: the values are of none of the kinds above, or none is that of the foreground.
  """
  require_finite(values, path)
  if foreground is not None:
    return _of_value(path, values, foreground)
  levels, inverse = np.unique(values, return_inverse=True)
  index = inverse.astype(np.int32).reshape(values.shape)
  if len(levels) == 1:
    return _of_foreground(values != 0)
  low, high = float(levels[0]), float(levels[-1])
  if len(levels) == 2:
    guess = f'of two values the larger is taken for objects, here {high:g} rather than {low:g}'
    return _of_foreground(index == 1, (guess,) if low and high else ())
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
  cut = values.dtype == np.uint8 and high == CUT_AT and len(levels) > CUT_AT / 2
  notes = ('labels end at 255, the last of 8 bits; were those above cut?',) if cut else ()
  few = levels[levels != 0] if len(levels) <= MAX_VALUES + 1 else []
  return Mask(index + (low > 0), True, notes, tuple(int(value) for value in few))


def _of_value(path: Path, values: np.ndarray, foreground: int) -> Mask:
  found = values == foreground
  if not found.any() and values.any():
    levels = np.unique(values)
    listed = ', '.join(f'{value:g}' for value in levels[:MAX_VALUES].astype(float))
    more = ', ...' if len(levels) > MAX_VALUES else ''
    raise InputError(
      f'{path}: found the values {listed}{more}, expected {foreground} for the foreground; name'
      ' one that is there',
      arguments=('foreground',),
    )
  return _of_foreground(found)


def mask_of_colours(path: Path, values: np.ndarray, foreground: int | None = None) -> Mask:
  """The mask with (H, W, 3) or (H, W, 4) colours; arguments and errors as `mask_of_values`."""
  if values.dtype not in (np.bool_, np.uint8, np.uint16):
    raise InputError(
      f'{path}: found colours of type {values.dtype}, expected 8 or 16 bits; save it as PNG'
    )
  opaque = (values[..., 3:] != 0).all(-1)
  red, green, blue = (values[..., channel] * opaque for channel in range(3))
  if np.array_equal(red, green) and np.array_equal(red, blue):
    return mask_of_values(path, red, foreground)
  if foreground is not None:
    raise InputError(
      f'{path}: found colours, expected one value per pixel of which {foreground} is the'
      ' foreground; save it with one value, or leave the colours to be told apart',
      arguments=('foreground',),
    )
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


def _of_foreground(foreground: np.ndarray, notes: tuple[str, ...] = ()) -> Mask:
  return Mask(_components(foreground, connectivity=1), False, notes)
