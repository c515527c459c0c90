"""The stored pixels of an open image file, read region by region as a viewer shows them."""

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fscs.io import files
from fscs.io.image_refs import ImageRef
from fscs.io.pixel_size import PixelSize


class Orientation(NamedTuple):
  """How a stored image is turned to be shown: first transposed, then mirrored."""

  transposed: bool = False
  rows_reversed: bool = False
  columns_reversed: bool = False


PLAIN = Orientation()
# By the value of the tag Orientation of TIFF and EXIF. Other values mean nothing.
ORIENTATIONS = {
  1: PLAIN,
  2: Orientation(columns_reversed=True),
  3: Orientation(rows_reversed=True, columns_reversed=True),
  4: Orientation(rows_reversed=True),
  5: Orientation(transposed=True),
  6: Orientation(transposed=True, columns_reversed=True),
  7: Orientation(True, True, True),
  8: Orientation(transposed=True, rows_reversed=True),
}


class Calibration(NamedTuple):
  """Intensities are offset + slope * stored value, as ImageJ's linear calibration says."""

  offset: float
  slope: float


class Pixels(Protocol):
  """An array that is read region by region: of NumPy, of Zarr, or of a reader in this package."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  @property
  def dtype(self) -> np.dtype: ...

  def __getitem__(self, index: Any, /) -> Any:
    """Values at a tuple of integers and slices without step, one per axis."""


_BLOCK = 4096  # side of the blocks in which the lowest value of a page is looked for


def _nothing_to_close() -> None:
  """For arrays in memory and memory maps, which close themselves."""


@dataclasses.dataclass(frozen=True)
class Raster:
  """An open image file. Rows and columns are those that are shown."""

  path: Path
  pixels: Pixels
  axes: str  # one letter per axis: Y, X, C (channels), S (samples of a pixel); others are pages
  colour: bool = False  # the samples are red, green, blue and perhaps alpha
  palette: bool = False  # the values are indices into a table of colours
  alpha: bool = False  # the last sample is the opacity of grey values, not a channel
  orientation: Orientation = PLAIN
  white: int | None = None  # the stored value that is shown black, if 0 is shown white
  calibration: Calibration | None = None
  nodata: float | None = None  # the stored value of pixels without data
  pixel_size: PixelSize | None = None  # None if the file does not state it
  scene: str | None = None  # of a file with several
  channel_names: tuple[str, ...] = ()  # one per channel, or none
  notes: tuple[str, ...] = ()  # what the file says about itself that a user should know
  members: tuple[Path, ...] = ()  # files of a multi-file set, this one among them
  close: Callable[[], None] = _nothing_to_close
  _lowest_found: dict[tuple[int, int], np.ndarray] = dataclasses.field(default_factory=dict)

  @property
  def name(self) -> str:
    """As `ImageRef.name`."""
    return ImageRef(self.path, self.scene).name

  @property
  def shape(self) -> tuple[int, int, int]:
    """(pages, height, width)."""
    height, width = self._size('Y'), self._size('X')
    if self.orientation.transposed:
      height, width = width, height
    return math.prod(self._page_shape), height, width

  @property
  def dtype(self) -> np.dtype:
    """Of the values that are read, native byte order."""
    dtype = self.pixels.dtype.newbyteorder('=')
    if not self.calibration:
      return dtype
    whole = dtype.kind in 'iu' and all(float(x).is_integer() for x in self.calibration)
    return np.dtype(np.int32 if whole and dtype.itemsize <= 2 else np.float32)

  @property
  def channels(self) -> int:
    """Number of channels; the samples of a pixel vary fastest."""
    return self._size('C') * self._samples

  def place_of(self, page: int) -> dict[str, int]:
    """Index of a page along each page axis (T, Z, ...) longer than one, from 0."""
    axes = [axis for axis in self.axes if axis not in 'YXCS']
    places = np.unravel_index(page, self._page_shape)
    return {axis: int(i) for axis, i in zip(axes, places, strict=True) if self._size(axis) > 1}

  def read(
    self,
    page: int,
    rows: slice,
    columns: slice,
    first: int,
    count: int,
    *,
    fill: float | None = None,
  ) -> np.ndarray:
    """Channels of a region of one page.

    Args:
      page: from 0.
      rows: slice without step.
      columns: slice without step.
      first: the first channel, from 0.
      count: how many channels.
      fill: the value of pixels without data; by default the lowest other one of the page and
        channel.

    Returns:
      (h, w, count) of `dtype`.

    Raises:
      IndexError: there is no such page.
      InputError: the file is damaged.
    """
    pages, height, width = self.shape
    if not 0 <= page < pages:
      raise IndexError(f'page {page} of {pages}')
    transposed, rows_reversed, columns_reversed = self.orientation
    rows = _stored(rows, height, rows_reversed)
    columns = _stored(columns, width, columns_reversed)
    if transposed:
      rows, columns = columns, rows
    planes = []
    for plane in range(first // self._samples, -(-(first + count) // self._samples)):
      start = first - plane * self._samples  # of the wanted channels, within this plane
      samples = slice(max(start, 0), min(start + count, self._samples))
      stored = self._read_plane(page, rows, columns, plane, samples)
      values = self._as_shown(stored)
      missing = self._without_data(stored)
      if missing.any():
        lowest = self._lowest(page, plane)[samples] if fill is None else np.array(fill)
        values = np.where(missing, lowest.astype(values.dtype), values)
      planes.append(values)
    region = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
    if transposed:
      region = region.swapaxes(0, 1)
    region = region[:: -1 if rows_reversed else 1, :: -1 if columns_reversed else 1]
    return np.ascontiguousarray(region)

  def _without_data(self, stored: np.ndarray) -> np.ndarray:
    """Which stored values stand for no data."""
    if self.nodata is None:
      return np.zeros((), bool)
    if np.isnan(self.nodata):
      return np.isnan(stored)
    with np.errstate(over='ignore'):  # float64's lowest value is float32's -inf
      return stored == stored.dtype.type(self.nodata)

  def _lowest(self, page: int, plane: int) -> np.ndarray:
    """(samples,) lowest values of the pixels with data at one index of the axis C; else 0."""
    if (page, plane) not in self._lowest_found:
      height, width = self._size('Y'), self._size('X')
      found = []
      for row, column in itertools.product(range(0, height, _BLOCK), range(0, width, _BLOCK)):
        rows, columns = slice(row, row + _BLOCK), slice(column, column + _BLOCK)
        stored = self._read_plane(page, rows, columns, plane, slice(0, self._samples))
        values = np.ma.array(self._as_shown(stored), mask=self._without_data(stored))
        found.append(values.min((0, 1)))
      self._lowest_found[page, plane] = np.ma.stack(found).min(0).filled(0)
    return self._lowest_found[page, plane]

  def _read_plane(
    self, page: int, rows: slice, columns: slice, plane: int, samples: slice
  ) -> np.ndarray:
    """(h, w, samples) stored values at one index of the axis C."""
    places = {'Y': rows, 'X': columns, 'C': plane, 'S': samples}
    pages = iter(np.unravel_index(page, self._page_shape))
    index = tuple(places[axis] if axis in places else int(next(pages)) for axis in self.axes)
    with files.as_input_error(self.path), files.logged_errors():
      region = np.array(self.pixels[index])
    region = region.astype(region.dtype.newbyteorder('='), copy=False)
    if 'S' not in self.axes:
      return region[..., None]
    return region if self.axes.endswith('S') else np.moveaxis(region, 0, -1)

  def _as_shown(self, values: np.ndarray) -> np.ndarray:
    if self.white is not None:
      values = ~values if values.dtype == bool else (self.white - values).astype(values.dtype)
    if self.calibration:
      values = (self.calibration.offset + self.calibration.slope * values).astype(self.dtype)
    return values

  @property
  def _samples(self) -> int:
    """How many samples of a pixel are channels."""
    return self._size('S') - self.alpha

  @property
  def _page_shape(self) -> tuple[int, ...]:
    sizes = zip(self.axes, self.pixels.shape, strict=True)
    return tuple(size for axis, size in sizes if axis not in 'YXCS')

  def _size(self, axis: str) -> int:
    return self.pixels.shape[self.axes.index(axis)] if axis in self.axes else 1


def _stored(shown: slice, size: int, is_reversed: bool) -> slice:
  """The slice of a stored axis that holds a slice of the shown one."""
  start, stop, _ = shown.indices(size)
  return slice(size - stop, size - start) if is_reversed else slice(start, stop)
