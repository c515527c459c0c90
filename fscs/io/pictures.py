"""Decodes PNG, JPEG, BMP, GIF, WebP and JPEG 2000, which are read whole."""

import contextlib
from pathlib import Path

import numpy as np
from PIL import Image

from fscs.errors import InputError
from fscs.io.rasters import ORIENTATIONS, PLAIN, Raster

MAX_DECODED_PIXELS = 2**30  # of a file that can only be decoded whole

_FORMATS = ('PNG', 'JPEG', 'BMP', 'GIF', 'WEBP', 'JPEG2000')
_ORIENTATION_TAG = 274  # of EXIF


def open_picture(path: Path) -> Raster:
  """Open a file with all its pixels.

  Grey values are (H, W) bool, uint8 or uint16; colours (H, W, 3) or (H, W, 4) uint8. Palettes are
  applied.

  Raises:
    InputError: more than `MAX_DECODED_PIXELS`, several frames, or colours of 16 bits.
    Exception: whatever Pillow raises for a damaged file; see `files.as_input_error`.
  """
  with _no_pixel_limit(), Image.open(path, formats=_FORMATS) as image:
    _require_readable(path, image)
    pixels = _decode(image)
    orientation = ORIENTATIONS.get(image.getexif().get(_ORIENTATION_TAG, 1), PLAIN)
  return Raster(
    path,
    pixels,
    'YXS' if pixels.ndim == 3 else 'YX',
    colour=pixels.ndim == 3,
    orientation=orientation,
    notes=('turned or mirrored, as its EXIF orientation says',) if orientation != PLAIN else (),
  )


def palette_indices(path: Path) -> np.ndarray | None:
  """(H, W) uint8 stored indices of a picture with a palette, not turned; None for others."""
  with _no_pixel_limit(), Image.open(path, formats=_FORMATS) as image:
    return np.asarray(image) if image.mode == 'P' else None


def _require_readable(path: Path, image: Image.Image) -> None:
  if image.width * image.height > MAX_DECODED_PIXELS:
    raise InputError(
      f'{path}: found {image.width * image.height:,} pixels, expected at most '
      f'{MAX_DECODED_PIXELS:,} in this kind of file; save it as a tiled TIFF'
    )
  if (frames := getattr(image, 'n_frames', 1)) > 1:
    raise InputError(
      f'{path}: found {frames} frames, expected one in this kind of file; save them as TIFF'
    )
  tiles = getattr(image, 'tile', None)
  if tiles and tiles[0][3] in ('RGB;16B', 'RGBA;16B', 'LA;16B'):  # would lose 8 bits
    raise InputError(
      f'{path}: found a PNG of 16 bits with colours or alpha, expected 8 bits or plain grey; '
      'save it as TIFF'
    )


def _decode(image: Image.Image) -> np.ndarray:
  if image.mode.startswith('I'):  # some releases of Pillow read 16-bit grey PNGs as 32-bit
    return np.asarray(image).astype(np.uint16)
  if image.mode in ('1', 'L', 'RGB', 'RGBA'):
    return np.asarray(image)
  return np.asarray(image.convert('RGBA' if image.has_transparency_data else 'RGB'))


@contextlib.contextmanager
def _no_pixel_limit():
  """Lift Pillow's own limit, which is far below `MAX_DECODED_PIXELS`."""
  limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
  try:
    yield
  finally:
    Image.MAX_IMAGE_PIXELS = limit
