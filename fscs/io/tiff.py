"""Opens TIFF files: OME, ImageJ, BigTIFF and microscopes' own kinds that tifffile reads."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr

from fscs.errors import InputError
from fscs.io import files
from fscs.io.axes import axes_of_array, given_axes
from fscs.io.pixel_size import pixel_size_of, screen_resolution
from fscs.io.rasters import ORIENTATIONS, PLAIN, Calibration, Pixels, Raster
from fscs.messages import shortened

_RGB = (tifffile.PHOTOMETRIC.RGB, tifffile.PHOTOMETRIC.YCBCR)
_ALPHA = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
_SLIDES = ('svs', 'ndpi', 'qpi', 'scn', 'bif')  # kinds with a label and an overview of the slide


def open_tiff(path: Path, axes: str | None = None) -> Raster:
  """Open a TIFF file; see `fscs.io.opening.open_raster`."""
  with contextlib.ExitStack() as stack:
    tiff, series = _open(path, stack)
    shape, stored_axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
    if 0 in shape:
      raise files.undecodable(path, f'found no pixels, its shape is {shape}')
    if axes:
      plain = stored_axes.endswith('S') and shape[-1] == 1
      stored_axes = given_axes(path, shape[:-1] if plain else shape, axes) + 'S' * plain
    elif set(stored_axes[:-2]) == {'Q'}:  # an array whose axes the file does not name
      stored_axes = axes_of_array(shape) or stored_axes
    if series.dataoffset is not None:  # contiguous and uncompressed
      dtype = series.dtype.newbyteorder(tiff.byteorder)
      pixels: Pixels = np.memmap(path, dtype, 'r', series.dataoffset, shape)
    else:
      _require_complete(path, series)
      store = series.aszarr(level=0, multiscales=False, squeeze=False)
      pixels = zarr.open_array(store, mode='r', zarr_format=2)
    page = series.keyframe
    samples = dict(zip(stored_axes, shape, strict=True)).get('S', 1)
    orientation = ORIENTATIONS.get(page.tags.valueof('Orientation', 1), PLAIN)
    white = _white(tiff, page)
    calibration, calibration_note = _calibration(tiff)
    nodata, nodata_note = _nodata(page)
    pixel_size = pixel_size_of(tiff)
    if pixel_size and orientation.transposed:
      pixel_size = type(pixel_size)(pixel_size.width, pixel_size.height)
    members = _members(series)
    notes = (
      'turned or mirrored, as its orientation tag says' if orientation != PLAIN else '',
      'inverted, as white is zero by its photometric tag' if white is not None else '',
      calibration_note,
      nodata_note,
      screen_resolution(tiff) if pixel_size is None else '',
    )
    return Raster(
      path,
      pixels,
      stored_axes,
      colour=page.photometric in _RGB and samples in (3, 4),
      palette=page.photometric == tifffile.PHOTOMETRIC.PALETTE,
      alpha=samples == 2 and len(page.extrasamples) == 1 and page.extrasamples[0] in _ALPHA,
      orientation=orientation,
      white=white,
      calibration=calibration,
      nodata=nodata,
      pixel_size=pixel_size,
      channel_names=_channel_names(tiff, dict(zip(stored_axes, shape, strict=True))),
      notes=tuple(filter(None, notes)),
      members=members if len(members) > 1 else _described_elsewhere(path, tiff),
      close=stack.pop_all().close,
    )


def _open(
  path: Path, stack: contextlib.ExitStack
) -> tuple[tifffile.TiffFile, tifffile.TiffPageSeries]:
  """The file, closed with the stack, and its pages of full resolution.

  Raises:
    InputError: it is damaged, or its pages differ.
  """
  with files.logged_errors() as errors:
    tiff = stack.enter_context(tifffile.TiffFile(path))
    found = _full_resolution(tiff)
    if len(found) > 1 and tiff.is_shaped:  # written page by page: equal pages are a stack
      tiff = stack.enter_context(tifffile.TiffFile(path, is_shaped=False))
      found = _full_resolution(tiff)
  if errors:  # tifffile would go on without the pages it did not find
    raise files.undecodable(path, errors[0])
  if len(found) != 1:
    kinds = ', '.join(f'{series.shape} {series.dtype}' for series in found[:4]) or 'no pages'
    raise InputError(
      f'{path}: found images that differ in shape or type ({kinds}), expected pages of one kind;'
      ' save each kind in its own file'
    )
  return tiff, found[0]


def _full_resolution(tiff: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
  """Without thumbnails, the levels of pyramids, and the overviews of slides."""
  if any(getattr(tiff, f'is_{kind}') for kind in _SLIDES):
    return tiff.series[:1]
  levels = [level for series in tiff.series for level in series.levels]
  return [s for s in levels if not (s.keyframe.is_reduced or s.keyframe.is_subifd)]


def _require_complete(path: Path, series: tifffile.TiffPageSeries) -> None:
  """Raise InputError if a page is missing or cut short: it would read as zeros."""
  for page in series.pages:
    if page is None:
      raise files.undecodable(path, 'its metadata name a page that is not in the file')
    end, size = np.add(page.dataoffsets, page.databytecounts).max(), page.parent.filehandle.size
    if end > size:
      raise files.undecodable(path, f'its pages would end at byte {end:,} of {size:,}')


def _white(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> int | None:
  """The largest value, if the file says that 0 is white.

  ImageJ stores what it measures: there the tag describes only the look-up table. tifffile gives the
  tag to all arrays of bool, without inverting them.
  """
  kind = page.dtype.kind if page.dtype is not None else ''
  if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE or kind not in ('b', 'u'):
    return None
  if tiff.is_imagej or (kind == 'b' and page.software.startswith('tifffile')):
    return None
  return 2**page.bitspersample - 1


def _calibration(tiff: tifffile.TiffFile) -> tuple[Calibration | None, str]:
  """ImageJ's calibration of intensities, and a note if there is another than a straight line."""
  metadata = (tiff.imagej_metadata or {}) if tiff.is_imagej else {}
  function = metadata.get('cf')
  if function is None:
    return None, ''
  coefficients = metadata.get('c0'), metadata.get('c1')
  numbers = [c for c in coefficients if isinstance(c, int | float)]
  if function != 0 or len(numbers) != 2 or not numbers[1] or not np.isfinite(numbers).all():
    return None, "ImageJ's calibration of intensities is not a straight line, and not applied"
  return Calibration(*numbers), ''


def _channel_names(tiff: tifffile.TiffFile, sizes: Mapping[str, int]) -> tuple[str, ...]:
  """Of OME-XML, or ImageJ's labels of the first slices; none unless they name every channel."""
  if sizes.get('S', 1) > 1:
    return ()
  names: list[str] = []
  with contextlib.suppress(ElementTree.ParseError):
    if tiff.is_ome:
      pixels = ElementTree.fromstring(tiff.ome_metadata or '').find('.//{*}Pixels')
      channels = pixels.findall('{*}Channel') if pixels is not None else []
      names = [channel.get('Name', '') for channel in channels]
    elif tiff.is_imagej:  # there channels vary fastest
      labels = (tiff.imagej_metadata or {}).get('Labels') or []
      names = [str(label) for label in labels[: sizes.get('C', 1)]]
  return tuple(names) if all(names) and len(names) == sizes.get('C', 1) else ()


def _nodata(page: tifffile.TiffPage) -> tuple[float | None, str]:
  """The value that stands for no data, if pixels can have it; and a note if it is unreadable."""
  text = str(page.tags.valueof('GDAL_NODATA', '')).strip()
  if not text or page.dtype is None or page.dtype.kind not in 'iuf':
    return None, ''
  try:
    value = float(text)
  except ValueError:
    found = shortened(text)
    return None, f'its GDAL tag of pixels without data is no number ({found}), and not applied'
  if page.dtype.kind == 'f':
    return value, ''
  exact = text.lstrip('+-').isdecimal()  # beyond 2**53 too
  if not exact and not value.is_integer():
    return None, ''
  whole, limits = int(text) if exact else int(value), np.iinfo(page.dtype)
  return (whole if limits.min <= whole <= limits.max else None), ''


def _members(series: tifffile.TiffPageSeries) -> tuple[Path, ...]:
  """The files that hold the pages, in their order."""
  pages = (page for page in series.pages if page is not None)
  return tuple(dict.fromkeys(Path(page.parent.filehandle.path) for page in pages))


def _described_elsewhere(path: Path, tiff: tifffile.TiffFile) -> tuple[Path, ...]:
  """The files of an OME set whose metadata are in another file of the folder."""
  if not tiff.is_ome:
    return ()
  with contextlib.suppress(ElementTree.ParseError, OSError, InputError):
    reference = ElementTree.fromstring(tiff.ome_metadata or '').find('.//{*}BinaryOnly')
    name = Path(reference.get('MetadataFile', '') if reference is not None else '').name
    other = path.with_name(name) if name else path
    if other != path and files.suffix_of(other) in files.TIFF_SUFFIXES:
      with contextlib.ExitStack() as stack:
        return _members(_open(other, stack)[1])
  return ()
