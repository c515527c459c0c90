"""Reads grey values of microscopy images, region by region.

TIFF and NPY files are read where they lie: a region costs its own memory and that of the strips or
tiles it touches. PNG, JPEG and BMP are decoded whole. Positions are (row, column), regions are
slices, and values keep the type they have in the file.

Axes of a TIFF other than rows, columns and channels (time, depth, position, ...) are pages, one
after the other in the order of the file. An NPY array is (H, W), (N, H, W), (H, W, channels) or
(N, H, W, channels): a last axis of 1, 3 or 4, or of an eighth of the others or less, is of
channels, and 3 and 4 are red, green, blue and alpha. What a TIFF of grey values says of their
opacity (alpha) is left out.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

from fscs.data.channels import LUMA, Channel, weighted_sum
from fscs.errors import InputError
from fscs.io.pixel_size import PixelSize
from fscs.io.rasters import Raster, open_raster


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """Grey values of an open image file; a context manager that closes it."""

  path: Path
  shape: tuple[int, int, int]  # (pages, height, width)
  dtype: np.dtype  # of the grey values: bool, integers or floats, native byte order
  note: str  # how they were made if not plain grey, as 'luma of RGB' or 'channel 0 of 3'; or ''
  _raster: Raster
  _channel: Channel

  def read(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """(h, w) grey values of a region of one page, of `dtype`.

    Raises:
      IndexError: there is no such page.
      InputError: the file turns out to be damaged.
    """
    if isinstance(self._channel, tuple):
      return weighted_sum(self.read_channels(page, rows, columns), self._channel)
    return self.read_stored(page, rows, columns)

  def read_stored(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """As `read`, but of weighted channels the luma or else the first, whose unit is the file's."""
    channel = self._channel
    if isinstance(channel, tuple):
      channel = None if self.colour else 0
    if channel is not None:
      return self._raster.read(page, rows, columns, channel, 1)[..., 0]
    return _luma(self.read_channels(page, rows, columns))

  def read_shown(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """What people would look at: (h, w, 3) colours, unless one was chosen, or (h, w) as `read`."""
    if self.colour and not isinstance(self._channel, int):
      return self.read_channels(page, rows, columns)
    return self.read(page, rows, columns)

  @property
  def channels(self) -> int:
    """How many `read_channels` gives."""
    return 3 if self.colour else self._raster.channels

  @property
  def colour(self) -> bool:
    """Whether its channels are red, green and blue."""
    return self._raster.colour

  def read_channels(
    self, page: int, rows: slice, columns: slice, first: int = 0, count: int | None = None
  ) -> np.ndarray:
    """(h, w, count) stored values of channels from the first, or all; without alpha of colours."""
    count = self.channels - first if count is None else count
    return self._raster.read(page, rows, columns, first, count)

  @property
  def pixel_size(self) -> PixelSize | None:
    """In micrometres, if the file says it; a TIFF may."""
    return self._raster.pixel_size

  def place_of(self, page: int) -> dict[str, int]:
    """Where a page is on the axes that make pages and are longer than one: T, Z, ...; from 0."""
    return self._raster.place_of(page)

  def close(self) -> None:
    self._raster.close()

  def __enter__(self) -> 'ImageFile':
    return self

  def __exit__(self, *_) -> None:
    self.close()


def open_image(path: str | os.PathLike, channel: Channel = None) -> ImageFile:
  """Opens an image file.

  Values are those stored: the palette or inverted display of a TIFF is not applied.

  Args:
    path: TIFF (OME, ImageJ, BigTIFF), PNG, JPEG, BMP or NPY.
    channel: which channel to read, counted from 0, or weights of the channels (without alpha),
      whose sum is in float32; by default the luma (ITU-R BT.601, rounded for integers, alpha
      ignored) of RGB images and the first channel of others.

  Raises:
    InputError: the file is missing, unreadable, damaged or of an unknown kind; its pages differ in
      size; it holds no pixels, or other than real numbers; it has no such channel.
  """
  raster = open_raster(path)
  if isinstance(channel, tuple):
    return _open_weighted(raster, channel)
  if channel is not None and not 0 <= channel < raster.channels:
    raster.close()
    count = raster.channels
    known = f'{count} channels, expected 0 to {count - 1}' if count > 1 else '1 channel, number 0'
    raise InputError(f'--channel {channel}: {raster.path} has {known}; choose one that there is')
  if channel is None and raster.colour:
    note = 'luma of RGB'
  else:
    channel = channel or 0
    note = f'channel {channel} of {raster.channels}' if raster.channels > 1 else ''
    note = 'palette index' if raster.palette else note
  dtype = raster.pixels.dtype.newbyteorder('=')
  return ImageFile(raster.path, raster.shape, dtype, note, raster, channel)


def _open_weighted(raster: Raster, weights: tuple[float, ...]) -> ImageFile:
  channels = 3 if raster.colour else raster.channels
  if channels != len(weights):
    raster.close()
    raise InputError(
      f'{raster.path}: found {channels} channel(s), expected the {len(weights)} that the model has'
      ' learned from: give images of the same kind, or fine-tune with --channel=luma'
    )
  note = f'weighted sum of {channels} channels'
  dtype = np.result_type(raster.pixels.dtype.newbyteorder('='), np.float32)
  return ImageFile(raster.path, raster.shape, dtype, note, raster, weights)


def require_finite(pixels: np.ndarray, path: Path) -> None:
  """Raises InputError if any of the pixels is not a number or infinite."""
  bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
  if bad:
    raise InputError(
      f'{path}: found {bad:,} pixels that are NaN or infinite, expected finite values; replace '
      'them, for example with the background value'
    )


def _luma(rgb: np.ndarray) -> np.ndarray:
  """(h, w, 3) to (h, w) of the same type."""
  # Term by term, because the rounding of a matrix product may depend on the size of the region.
  red, green, blue = np.moveaxis(rgb.astype(np.result_type(rgb.dtype, np.float32)), -1, 0)
  grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
  return (grey if rgb.dtype.kind == 'f' else np.rint(grey)).astype(rgb.dtype)
