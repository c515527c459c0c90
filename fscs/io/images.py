"""Reads grey values of microscopy images, region by region.

Positions are (row, column) of what viewers show, regions are slices, values keep the type of the
file. A region costs its own memory and that of the strips, tiles or chunks it touches. PNG, JPEG
and other pictures are decoded whole, and so are frames of compressed ND2 files.

Axes other than rows, columns and channels (time, depth, position, ...) become pages, in the order
of the file. Where a TIFF does not name its axes, and in NPY files, the rule of `fscs.io.axes`
holds. Three or four channels of an NPY file are RGB or RGBA. The alpha of grey values is ignored.

Images are turned and mirrored as the orientation tag of TIFF and EXIF says, and inverted if the
photometric tag says that 0 is white. Files of ImageJ are not inverted: there the tag describes the
look-up table. ImageJ's linear calibration of intensities is applied. Pixels of the value that means
no data by the tag of GDAL get the lowest other value of their page and channel.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

from fscs.data.channels import Channel, luma, weighted_sum
from fscs.errors import InputError
from fscs.io.opening import open_raster
from fscs.io.pixel_size import PixelSize
from fscs.io.rasters import Raster
from fscs.messages import counted, listed


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """An open image file, read as grey values; a context manager that closes the file."""

  path: Path
  name: str  # of the file, with that of the scene if there are several
  shape: tuple[int, int, int]  # (pages, height, width)
  dtype: np.dtype  # of the grey values: bool, integers or floats, native byte order
  source: str  # of the grey values: 'luma of RGB', 'channel 0 of 3', ...; '' if plain
  _raster: Raster
  _channel: Channel

  def read(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """Grey values of a region of one page: (h, w) of `dtype`.

    Raises:
      IndexError: there is no such page.
      InputError: the file is damaged.
    """
    if isinstance(self._channel, tuple):
      return weighted_sum(self.read_channels(page, rows, columns), self._channel)
    return self.read_stored(page, rows, columns)

  def read_stored(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """(h, w) grey values in the unit of the file, for measurements.

    As `read`, except for a weighted sum of channels: then the luma of RGB, or the first channel.
    """
    channel = self._channel
    if isinstance(channel, tuple):
      channel = None if self.colour else 0
    if channel is not None:
      return self._raster.read(page, rows, columns, channel, 1)[..., 0]
    return luma(self.read_channels(page, rows, columns))

  def read_shown(self, page: int, rows: slice, columns: slice) -> np.ndarray:
    """What to display: (h, w, 3) if the file is RGB and no channel was chosen, else as `read`."""
    if self.colour and not isinstance(self._channel, int):
      return self.read_channels(page, rows, columns)
    return self.read(page, rows, columns)

  @property
  def channels(self) -> int:
    """Number of channels that `read_channels` returns."""
    return 3 if self.colour else self._raster.channels

  @property
  def channel(self) -> int | None:
    """The channel that is read; None for the luma of RGB, or a weighted sum."""
    return self._channel if isinstance(self._channel, int) else None

  @property
  def colour(self) -> bool:
    """Whether the channels are red, green and blue."""
    return self._raster.colour

  def read_channels(
    self, page: int, rows: slice, columns: slice, first: int = 0, count: int | None = None
  ) -> np.ndarray:
    """(h, w, count) stored values of `count` channels (default: all) from `first`; no alpha."""
    count = self.channels - first if count is None else count
    return self._raster.read(page, rows, columns, first, count)

  @property
  def notes(self) -> tuple[str, ...]:
    """What was done since the file says so: turned, inverted, calibrated, ..."""
    nodata = self._raster.nodata
    if nodata is None:
      return self._raster.notes
    filled = f'{nodata:g} means no data by its GDAL tag, and becomes the lowest other value'
    return (*self._raster.notes, filled)

  @property
  def part_of(self) -> Path | None:
    """The first file of the OME-TIFF set that this file is a later one of; both read as the set."""
    first = self._raster.members[0] if self._raster.members else self.path
    return None if os.path.realpath(first) == os.path.realpath(self.path) else first

  @property
  def pixel_size(self) -> PixelSize | None:
    """Size of a pixel in micrometres, if the file states it."""
    return self._raster.pixel_size

  def place_of(self, page: int) -> dict[str, int]:
    """Index of a page along each page axis (T, Z, ...) longer than one, from 0."""
    return self._raster.place_of(page)

  def close(self) -> None:
    """Close the file; it cannot be read any more."""
    self._raster.close()

  def __enter__(self) -> 'ImageFile':
    return self

  def __exit__(self, *_) -> None:
    self.close()


def open_image(
  path: str | os.PathLike,
  channel: Channel | str = None,
  axes: str | None = None,
  scene: str | None = None,
) -> ImageFile:
  """Open an image file.

  The palette of a TIFF file is not applied.

  Args:
    path: TIFF (OME, ImageJ, BigTIFF, LSM, STK, SVS, NDPI, QPTIFF), OME-Zarr, CZI, ND2, LIF, PNG,
      JPEG, BMP, GIF, WebP, JPEG 2000 or NPY.
    channel: a channel, from 0 or by its name; or one weight per channel without alpha, for a
      float32 weighted sum. By default the luma of RGB images (ITU-R BT.601, rounded for integers),
      and the first channel of others.
    axes: one letter per axis of the array in a TIFF or NPY file, such as CYX, YXC or ZYX: Y, X, at
      most one C for channels, any others for pages. By default as the file or the rule above says.
    scene: name or number from 0, needed if the file has several.

  Raises:
    InputError: the file does not exist, is damaged, empty or of an unknown kind; its pages differ
      in size; its pixels are not real numbers; it has no such channel or scene.

  Examples:
    with open_image('cells.tif') as image:
      pages, height, width = image.shape
      corner = image.read(0, slice(0, 256), slice(0, 256))
  """
  raster = open_raster(path, axes, scene)
  if isinstance(channel, tuple):
    return _open_weighted(raster, channel)
  if isinstance(channel, str):
    channel = _number_of(raster, channel)
  if channel is not None and not 0 <= channel < raster.channels:
    raster.close()
    raise InputError(
      f'{raster.path}: found {counted(raster.channels, "channel")}{_named(raster)}, counted from 0,'
      f' expected one of number {channel}; choose one that is there',
      arguments=('channel',),
    )
  if channel is None and raster.colour:
    source = 'luma of RGB'
  else:
    channel = channel or 0
    source = f'channel {channel} of {raster.channels}' if raster.channels > 1 else ''
    if source and raster.channel_names:
      source += f' ({raster.channel_names[channel]})'
    source = 'palette index' if raster.palette else source
  return ImageFile(raster.path, raster.name, raster.shape, raster.dtype, source, raster, channel)


def _named(raster: Raster) -> str:
  """The names of the channels in brackets, if there are any."""
  return f' ({listed(raster.channel_names)})' if raster.channel_names else ''


def _number_of(raster: Raster, name: str) -> int:
  """The channel of a name; upper and lower case count only where names differ in nothing else.

  Raises:
    InputError: there is none, or several.
  """
  names = raster.channel_names
  found = [i for i, known in enumerate(names) if known == name]
  found = found or [i for i, known in enumerate(names) if known.casefold() == name.casefold()]
  if len(found) == 1:
    return found[0]
  raster.close()
  there = f'{counted(raster.channels, "channel")}{_named(raster) or " without names"}'
  raise InputError(
    f'{raster.path}: found {there}, expected one of the name {name!r}; choose one that is there, or'
    ' a number from 0',
    arguments=('channel',),
  )


def _open_weighted(raster: Raster, weights: tuple[float, ...]) -> ImageFile:
  channels = 3 if raster.colour else raster.channels
  if channels != len(weights):
    raster.close()
    raise InputError(
      f'{raster.path}: found {counted(channels, "channel")}, expected {len(weights)} like the'
      ' annotated images; give images of the same kind, or fine-tune on a single channel',
      arguments=('channel',),
    )
  source = f'weighted sum of {channels} channels'
  dtype = np.result_type(raster.dtype, np.float32)
  return ImageFile(raster.path, raster.name, raster.shape, dtype, source, raster, weights)


def require_finite(pixels: np.ndarray, path: Path) -> None:
  """Check that no pixel is NaN or infinite.

  Args:
    pixels: any shape.
    path: the file they come from, for the message.

  Raises:
    InputError: some are; the message counts them.

  >>> require_finite(np.ones((4, 4)), Path('cells.tif'))
  """
  bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
  if bad:
    raise InputError(
      f'{path}: found {counted(int(bad), "pixel")} NaN or infinite, expected finite values;'
      ' replace them, for example with the background value'
    )
