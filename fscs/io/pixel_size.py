"""Reads the size of a pixel from the metadata of a TIFF file."""

import contextlib
import math
from typing import NamedTuple
from xml.etree import ElementTree

import tifffile

_MICROMETRES = {  # by unit, in lower case
  **dict.fromkeys(('µm', 'um', 'micron', 'microns', 'micrometer', 'micrometre'), 1.0),
  **dict.fromkeys(('inch', 'inches', 'in'), 25_400.0),
  'å': 1e-4,
  'nm': 1e-3,
  'mm': 1e3,
  'cm': 1e4,
  'm': 1e6,
}
# A larger pixel, from the resolution tags alone, is one of a printer or screen (300 dpi are 85 µm).
_MAX_FROM_RESOLUTION = 10.0  # µm


class PixelSize(NamedTuple):
  """Size of a pixel in micrometres.

  >>> PixelSize(0.5, 0.25).area
  0.125
  """

  height: float
  width: float

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
  return found if found and all(0 < size < math.inf for size in found) else None


def _from_ome(xml: str) -> PixelSize | None:
  pixels = ElementTree.fromstring(xml).find('.//{*}Pixels')
  if pixels is None:
    return None
  height, width = (
    float(pixels.get(f'PhysicalSize{axis}', 'nan'))
    * _micrometres(pixels.get(f'PhysicalSize{axis}Unit', 'µm'))
    for axis in 'YX'
  )
  return PixelSize(height, width)


def _from_imagej(tiff: tifffile.TiffFile) -> PixelSize | None:
  unit = _micrometres(str((tiff.imagej_metadata or {}).get('unit', '')))
  per_width, per_height = tiff.pages.first.get_resolution()
  return PixelSize(unit / per_height, unit / per_width)


def _from_resolution(page: tifffile.TiffPage) -> PixelSize | None:
  if 'XResolution' not in page.tags or page.resolutionunit == tifffile.RESUNIT.NONE:
    return None
  per_width, per_height = page.get_resolution('MICROMETER')
  found = PixelSize(1 / per_height, 1 / per_width)
  return found if max(found) <= _MAX_FROM_RESOLUTION else None


def _micrometres(unit: str) -> float:
  """Micrometres in a unit of length; NaN for other units, as 'pixel'."""
  name = unit.replace('\\u00B5', 'µ').replace('\u03bc', 'µ').strip().lower()
  return _MICROMETRES.get(name, math.nan)
