"""Opens image files of all kinds as arrays that are read region by region.

TIFF and NPY files are read in place. PNG, JPEG and BMP files are decoded whole.
"""

import contextlib
import dataclasses
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
import zarr

from fscs.errors import InputError
from fscs.io import files
from fscs.io.pixel_size import PixelSize, pixel_size_of

# The last axis of an NPY array holds channels if rows and columns are this many times longer.
MIN_ASPECT = 8

_RGB = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


def _nothing_to_close() -> None:
  """For arrays in memory and memory maps, which close themselves."""


@dataclasses.dataclass(frozen=True)
class Raster:
  """The stored pixels of an open image file."""

  path: Path
  pixels: np.ndarray | zarr.Array
  axes: str  # one letter per axis: Y, X, C (channels), S (samples of a pixel); others are pages
  colour: bool = False  # the samples are red, green, blue and perhaps alpha
  palette: bool = False  # the values are indices into a table of colours
  alpha: bool = False  # the last sample is the opacity of grey values, not a channel
  pixel_size: PixelSize | None = None  # None if the file does not state it
  close: Callable[[], None] = _nothing_to_close

  @property
  def shape(self) -> tuple[int, int, int]:
    """(pages, height, width)."""
    return math.prod(self._page_shape), self._size('Y'), self._size('X')

  @property
  def channels(self) -> int:
    """Number of channels; the samples of a pixel vary fastest."""
    return self._size('C') * self._samples

  def place_of(self, page: int) -> dict[str, int]:
    """Index of a page along each page axis (T, Z, ...) longer than one, from 0."""
    axes = [axis for axis in self.axes if axis not in 'YXCS']
    places = np.unravel_index(page, self._page_shape)
    return {axis: int(i) for axis, i in zip(axes, places, strict=True) if self._size(axis) > 1}

  def read(self, page: int, rows: slice, columns: slice, first: int, count: int) -> np.ndarray:
    """Channels of a region of one page.

    Args:
      page: from 0.
      rows: slice without step.
      columns: slice without step.
      first: the first channel, from 0.
      count: how many channels.

    Returns:
      (h, w, count) in the type of the file, native byte order.

    Raises:
      IndexError: there is no such page.
      InputError: the file is damaged.
    """
    if not 0 <= page < self.shape[0]:
      raise IndexError(f'page {page} of {self.shape[0]}')
    planes = []
    for plane in range(first // self._samples, -(-(first + count) // self._samples)):
      start = first - plane * self._samples  # of the wanted channels, within this plane
      samples = slice(max(start, 0), min(start + count, self._samples))
      planes.append(self._read_plane(page, rows, columns, plane, samples))
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)

  def _read_plane(
    self, page: int, rows: slice, columns: slice, plane: int, samples: slice
  ) -> np.ndarray:
    """(h, w, samples) at one index of the axis C."""
    places = {'Y': rows, 'X': columns, 'C': plane, 'S': samples}
    pages = iter(np.unravel_index(page, self._page_shape))
    index = tuple(places[axis] if axis in places else int(next(pages)) for axis in self.axes)
    with files.as_input_error(self.path), files.tifffile_errors():
      region = np.array(self.pixels[index])  # type: ignore[index]  # stubs want one kind of index
    region = region.astype(region.dtype.newbyteorder('='), copy=False)
    if 'S' not in self.axes:
      return region[..., None]
    return region if self.axes.endswith('S') else np.moveaxis(region, 0, -1)

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


def open_raster(path: str | os.PathLike) -> Raster:
  """Open an image file with all its channels.

  Raises:
    InputError: as `fscs.io.open_image`.
  """
  path = Path(path)
  files.require_usable(path, files.IMAGE_SUFFIXES)
  openers = {'.tif': _open_tiff, '.tiff': _open_tiff, '.npy': _open_npy}
  opener = openers.get(path.suffix.lower(), _open_decoded)
  # Libraries warn of odd metadata, which makes no difference to the pixels.
  with files.as_input_error(path), warnings.catch_warnings(action='ignore'):
    raster = opener(path)
  shape, dtype = raster.pixels.shape, raster.pixels.dtype
  if 0 not in shape and dtype.kind in 'biuf' and dtype.itemsize <= 8:
    return raster
  raster.close()
  raise InputError(
    f'{path}: found {"no" if 0 in shape else dtype} pixels (shape {shape}), expected integers or '
    'floats of up to 64 bits; save the grey values in one of these types'
  )


def _open_tiff(path: Path) -> Raster:
  with contextlib.ExitStack() as stack:
    with files.tifffile_errors() as errors:
      tiff = stack.enter_context(tifffile.TiffFile(path))
      series = _full_resolution(path, tiff)
    if errors:  # tifffile would go on without the pages it did not find
      raise files.undecodable(path, errors[0])
    shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
    if 0 in shape:
      raise files.undecodable(path, f'found no pixels, its shape is {shape}')
    if series.dataoffset is not None:  # contiguous and uncompressed
      dtype = series.dtype.newbyteorder(tiff.byteorder)
      pixels: np.ndarray | zarr.Array = np.memmap(path, dtype, 'r', series.dataoffset, shape)
    else:
      _require_complete(path, series)
      store = series.aszarr(level=0, multiscales=False, squeeze=False)
      pixels = zarr.open_array(store, mode='r', zarr_format=2)
    photometric, extra = series.keyframe.photometric, series.keyframe.extrasamples
    samples = dict(zip(axes, shape, strict=True)).get('S', 1)
    return Raster(
      path,
      pixels,
      axes,
      colour=photometric in _RGB and samples in (3, 4),
      palette=photometric == tifffile.PHOTOMETRIC.PALETTE,
      alpha=samples == 2 and len(extra) == 1 and extra[0] in _ALPHA,
      pixel_size=pixel_size_of(tiff),
      close=stack.pop_all().close,
    )


def _full_resolution(path: Path, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
  """The pages of full resolution; thumbnails and the levels of pyramids are left out."""
  levels = [level for series in tiff.series for level in series.levels]
  full = [s for s in levels if not (s.keyframe.is_reduced or s.keyframe.is_subifd)]
  if len(full) == 1:
    return full[0]
  found = ', '.join(f'{series.shape} {series.dtype}' for series in full[:4]) or 'no pages'
  raise InputError(
    f'{path}: found pages that differ in size or type ({found}), expected pages of one size; save '
    'each kind in its own file'
  )


def _require_complete(path: Path, series: tifffile.TiffPageSeries) -> None:
  """Raise InputError if a page is missing or cut short: it would read as zeros."""
  for page in series.pages:
    if page is None:
      raise files.undecodable(path, 'its metadata name a page that is not in the file')
    end, size = np.add(page.dataoffsets, page.databytecounts).max(), page.parent.filehandle.size
    if end > size:
      raise files.undecodable(path, f'its pages would end at byte {end:,} of {size:,}')


def _open_npy(path: Path) -> Raster:
  try:
    pixels = np.load(path, mmap_mode='r', allow_pickle=False)
  except ValueError as error:
    if 'Python objects' not in str(error):
      raise
    raise InputError(
      f'{path}: found Python objects, expected an array of numbers; from Cellpose, save the masks'
      ' as PNG or TIFF instead'
    ) from error
  samples = _samples_of(pixels.shape)
  axes = 'YXS' if samples else 'YX'
  if pixels.ndim > len(axes):
    axes = f'I{axes}'
  if pixels.ndim != len(axes):
    raise InputError(
      f'{path}: found an array of shape {pixels.shape}, expected (H, W) or (N, H, W), perhaps with '
      'a last axis of channels; transpose or split it'
    )
  return Raster(path, pixels, axes, colour=samples in (3, 4))


def _samples_of(shape: tuple[int, ...]) -> int:
  """Length of the last axis if it holds channels, judged by its size; else 0."""
  if len(shape) < 3:
    return 0
  height, width, last = shape[-3:]
  return last if last in (1, 3, 4) or MIN_ASPECT * last <= min(height, width) else 0


def _open_decoded(path: Path) -> Raster:
  pixels = files.decode(path)
  colour = pixels.ndim == 3
  return Raster(path, pixels, 'YXS' if colour else 'YX', colour)
