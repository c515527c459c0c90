"""Opens image files of all kinds as arrays that are read region by region, with all their channels.

TIFF and NPY files are read where they lie; PNG, JPEG and BMP are decoded whole.
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

_COLOURS = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
LEAST_ASPECT = 8  # how much shorter than rows and columns an axis is that can only be of channels
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)


@dataclasses.dataclass(frozen=True)
class Raster:
  """The pixels of an open file as they are stored."""

  path: Path
  pixels: np.ndarray | zarr.Array
  axes: str  # Y, X, C (channels), S (samples of a pixel); any other letter counts as pages
  colour: bool = False  # the samples are red, green, blue and perhaps alpha
  palette: bool = False  # the values are indices into a table of colours
  alpha: bool = False  # the last sample is the opacity of grey values, and no channel
  pixel_size: PixelSize | None = None  # if the file says it
  close: Callable[[], None] = lambda: None

  @property
  def shape(self) -> tuple[int, int, int]:
    """(pages, height, width)."""
    return math.prod(self._page_shape), self._size('Y'), self._size('X')

  @property
  def channels(self) -> int:
    """How many there are; those of one pixel count fastest."""
    return self._size('C') * self._samples

  def place_of(self, page: int) -> dict[str, int]:
    """Where a page is on the axes that make pages and are longer than one: T, Z, ...; from 0."""
    axes = [axis for axis in self.axes if axis not in 'YXCS']
    places = np.unravel_index(page, self._page_shape)
    return {axis: int(i) for axis, i in zip(axes, places, strict=True) if self._size(axis) > 1}

  def read(self, page: int, rows: slice, columns: slice, first: int, count: int) -> np.ndarray:
    """(h, w, count) values of one page from channel `first` on, in native byte order.

    Raises:
      IndexError: there is no such page.
      InputError: the file turns out to be damaged.
    """
    if not 0 <= page < self.shape[0]:
      raise IndexError(f'page {page} of {self.shape[0]}')
    samples = self._samples
    planes = [
      self._read_plane(
        page, rows, columns, plane, slice(max(start, 0), min(start + count, samples))
      )
      for plane in range(first // samples, -(-(first + count) // samples))
      for start in [first - plane * samples]
    ]
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)

  def _read_plane(
    self, page: int, rows: slice, columns: slice, plane: int, samples: slice
  ) -> np.ndarray:
    """(h, w, samples) of one place on the axis C."""
    places = {'Y': rows, 'X': columns, 'C': plane, 'S': samples}
    pages = iter(np.unravel_index(page, self._page_shape))
    index = tuple(places[axis] if axis in places else int(next(pages)) for axis in self.axes)
    with files.as_input_error(self.path), files.tifffile_errors():
      region = np.array(self.pixels[index])
    region = region.astype(region.dtype.newbyteorder('='), copy=False)
    if 'S' not in self.axes:
      return region[..., None]
    return region if self.axes.endswith('S') else np.moveaxis(region, 0, -1)

  @property
  def _samples(self) -> int:
    """How many of a pixel's samples are channels."""
    return self._size('S') - self.alpha

  @property
  def _page_shape(self) -> tuple[int, ...]:
    sizes = zip(self.axes, self.pixels.shape, strict=True)
    return tuple(size for axis, size in sizes if axis not in 'YXCS')

  def _size(self, axis: str) -> int:
    return self.pixels.shape[self.axes.index(axis)] if axis in self.axes else 1


def open_raster(path: str | os.PathLike) -> Raster:
  """Opens an image file with all its channels; raises as `open_image` does."""
  path = Path(path)
  files.require_usable(path, files.IMAGE_SUFFIXES)
  kind = path.suffix.lower()
  opener = {'.tif': _open_tiff, '.tiff': _open_tiff, '.npy': _open_npy}.get(kind, _open_decoded)
  # What libraries warn of is odd metadata, which is of no account here.
  with files.as_input_error(path), warnings.catch_warnings(action='ignore'):
    raster = opener(path)
  shape, dtype = raster.pixels.shape, raster.pixels.dtype
  if 0 not in shape and dtype.kind in 'biuf' and dtype.itemsize <= 8:
    return raster
  raster.close()
  raise InputError(
    f'{path}: found {"no" if 0 in shape else dtype} pixels (shape {shape}), expected integers or '
    'floats of up to 64 bits; save the grey values anew in one of these types'
  )


def _open_tiff(path: Path) -> Raster:
  with contextlib.ExitStack() as stack:
    with files.tifffile_errors() as errors:
      tiff = stack.enter_context(tifffile.TiffFile(path))
      series = _one_series(path, tiff)
    if errors:  # tifffile would go on without the pages it did not find
      raise files.undecodable(path, errors[0])
    shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
    if 0 in shape:
      raise files.undecodable(path, f'found no pixels but the shape {shape}')
    if series.dataoffset is not None:
      dtype = series.dtype.newbyteorder(tiff.byteorder)
      pixels = np.memmap(path, dtype, 'r', series.dataoffset, shape)
    else:
      _require_complete(path, series)
      store = series.aszarr(level=0, multiscales=False, squeeze=False)
      pixels = zarr.open_array(store, mode='r', zarr_format=2)
    photometric, extra = series.keyframe.photometric, series.keyframe.extrasamples
    samples = dict(zip(axes, shape, strict=True)).get('S', 1)
    colour = photometric in _COLOURS and samples in (3, 4)
    palette = photometric == tifffile.PHOTOMETRIC.PALETTE
    alpha = samples == 2 and len(extra) == 1 and extra[0] in _ALPHA
    size = pixel_size_of(tiff)
    return Raster(path, pixels, axes, colour, palette, alpha, size, stack.pop_all().close)


def _one_series(path: Path, tiff: tifffile.TiffFile) -> tifffile.TiffPageSeries:
  """The pages of full resolution; thumbnails and pyramids are left out."""
  levels = [level for series in tiff.series for level in series.levels]
  full = [s for s in levels if not (s.keyframe.is_reduced or s.keyframe.is_subifd)]
  if len(full) == 1:
    return full[0]
  found = ', '.join(f'{series.shape} {series.dtype}' for series in full[:4]) or 'no pages'
  raise InputError(
    f'{path}: found pages that differ in size or type ({found}), expected pages of one size; save '
    'each kind in a file of its own'
  )


def _require_complete(path: Path, series: tifffile.TiffPageSeries) -> None:
  """Raises InputError where a page or the end of one is missing; it would read as zeros."""
  for page in series.pages:
    if page is None:
      raise files.undecodable(
        path, 'a page that its metadata names is missing, or the file it is in'
      )
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
  axes = 'I' * (pixels.ndim == 3 + bool(samples)) + 'YX' + 'S' * bool(samples)
  if len(axes) != pixels.ndim:
    raise InputError(
      f'{path}: found an array of shape {pixels.shape}, expected (H, W) or (N, H, W), perhaps with '
      'a last axis of channels; transpose or split it'
    )
  return Raster(path, pixels, axes, colour=samples in (3, 4))


def _samples_of(shape: tuple[int, ...]) -> int:
  """Length of the last axis if it is that of channels, as its size tells; else 0."""
  if len(shape) < 3:
    return 0
  height, width, last = shape[-3:]
  return last if last in (1, 3, 4) or LEAST_ASPECT * last <= min(height, width) else 0


def _open_decoded(path: Path) -> Raster:
  pixels = files.decode(path)
  colour = pixels.ndim == 3
  return Raster(path, pixels, 'YXS' if colour else 'YX', colour)
