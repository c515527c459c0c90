"""Reads the size of a pixel from the metadata of a TIFF file."""

import contextlib
import functools
import math
from typing import NamedTuple
from xml.etree import ElementTree

import tifffile

_PIXELS = ('', 'pixel', 'pixels', 'px')  # pint takes one for 1/96 inch
# A larger pixel, from the resolution tags alone, is one of a printer or screen (300 dpi are 85 µm).
_MAX_FROM_RESOLUTION = 10.0  # µm


class PixelSize(NamedTuple):
  """Size of a pixel in micrometres.

  >>> PixelSize(0.5, 0.25).area
  0.125
  """

  height: float
  width: float

  @classmethod
  def of(cls, height: float | None, width: float | None) -> 'PixelSize | None':
    """None unless both are lengths.

    >>> PixelSize.of(0.5, math.nan) is None
    True
    """
    if height is None or width is None:
      return None
    return cls(height, width) if all(0 < size < math.inf for size in (height, width)) else None

  @property
  def area(self) -> float:
    """In square micrometres."""
    return self.height * self.width


def pixel_size_of(tiff: tifffile.TiffFile) -> PixelSize | None:
  """Pixel size from OME-XML, else ImageJ's description, else the resolution of the first page.

  Returns:
    None unless the file states a length for both rows and columns.
  """
  found = None
  with contextlib.suppress(ElementTree.ParseError, TypeError, ValueError, ArithmeticError):
    if tiff.is_ome:
      found = _from_ome(tiff.ome_metadata or '')
    elif tiff.is_imagej:
      found = _from_imagej(tiff)
    else:
      found = _from_resolution(tiff.pages.first)
  return PixelSize.of(*found) if found else None


def _from_ome(xml: str) -> PixelSize | None:
  pixels = ElementTree.fromstring(xml).find('.//{*}Pixels')
  if pixels is None:
    return None
  height, width = (
    float(pixels.get(f'PhysicalSize{axis}', 'nan'))
    * micrometres(pixels.get(f'PhysicalSize{axis}Unit', 'µm'))
    for axis in 'YX'
  )
  return PixelSize(height, width)


def _from_imagej(tiff: tifffile.TiffFile) -> PixelSize | None:
  found = _as_imagej_states(tiff)
  return None if found and _is_of_screen(tiff, found) else found


def _as_imagej_states(tiff: tifffile.TiffFile) -> PixelSize:
  unit = micrometres(_imagej_unit(tiff))
  per_width, per_height = tiff.pages.first.get_resolution()
  return PixelSize(unit / per_height, unit / per_width)


def _imagej_unit(tiff: tifffile.TiffFile) -> str:
  return str((tiff.imagej_metadata or {}).get('unit', ''))


def _is_of_screen(tiff: tifffile.TiffFile, size: PixelSize) -> bool:
  """ImageJ takes the resolution of a screenshot, in inches, for the scale of the image."""
  return _imagej_unit(tiff).lower() in ('inch', 'inches', 'in') and max(size) > _MAX_FROM_RESOLUTION


def screen_resolution(tiff: tifffile.TiffFile) -> str:
  """A note about a pixel size that is not used, as it is that of a screen or printer; or ''."""
  if tiff.is_imagej:
    with contextlib.suppress(TypeError, ValueError, ArithmeticError):
      size = _as_imagej_states(tiff)
      if _is_of_screen(tiff, size):
        return f'its pixel size, {size.width:.0f} µm, is that of a screen or printer, and ignored'
  return ''


def _from_resolution(page: tifffile.TiffPage) -> PixelSize | None:
  if 'XResolution' not in page.tags or page.resolutionunit == tifffile.RESUNIT.NONE:
    return None
  per_width, per_height = page.get_resolution('MICROMETER')
  found = PixelSize(1 / per_height, 1 / per_width)
  return found if max(found) <= _MAX_FROM_RESOLUTION else None


@functools.cache
def micrometres(unit: str) -> float:
  """Micrometres in a unit of length; NaN for other units, as 'pixel'."""
  import pint  # takes half a second

  name = unit.replace('\\u00B5', 'µ').strip().removesuffix('.')
  if name.lower() in _PIXELS:
    return math.nan
  registry = pint.get_application_registry()
  # People write 'Micron' and 'UM'; no pixel is a megametre.
  for spelling in (name.lower(), name):
    with contextlib.suppress(Exception):  # pint raises almost anything for odd names
      return float(registry.Quantity(1, spelling).to('micrometer').magnitude)
  return math.nan
