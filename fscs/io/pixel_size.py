"""How large a pixel is, as the metadata of a TIFF say it."""

import contextlib
import math
from typing import NamedTuple
from xml.etree import ElementTree

import tifffile

_MICROMETRES = {  # by unit, in lower case
  **dict.fromkeys(('µm', 'um', 'micron', 'microns', 'micrometer', 'micrometre'), 1.0),
  **{'å': 1e-4, 'nm': 1e-3, 'mm': 1e3, 'cm': 1e4, 'm': 1e6},
  **dict.fromkeys(('inch', 'inches', 'in'), 25_400.0),
}
# A resolution alone, without the metadata of a microscope's programs, is more often of a printer or
# a screen, whose pixels are larger.
_LARGEST_OF_RESOLUTION = 10.0  # µm


class PixelSize(NamedTuple):
  """Of the pixels of an image, in micrometres."""

  height: float
  width: float

  @property
  def area(self) -> float:
    """In square micrometres."""
    return self.height * self.width


def pixel_size_of(tiff: tifffile.TiffFile) -> PixelSize | None:
  """What OME-XML, ImageJ's description or else the resolution of the first page say.

  Returns:
    None where they do not say it, in a unit of length, for rows and columns.
  """
  found = None
  with contextlib.suppress(ElementTree.ParseError, TypeError, ValueError, ArithmeticError):
    if tiff.is_ome:
      found = _of_ome(tiff.ome_metadata)
    elif tiff.is_imagej:
      found = _of_imagej(tiff)
    else:
      found = _of_resolution(tiff.pages.first)
  return found if found and all(0 < size < math.inf for size in found) else None


def _of_ome(xml: str) -> PixelSize | None:
  pixels = ElementTree.fromstring(xml).find('.//{*}Pixels')
  if pixels is None:
    return None
  sizes = [
    float(pixels.get(f'PhysicalSize{axis}', 'nan'))
    * _micrometres(pixels.get(f'PhysicalSize{axis}Unit', 'µm'))
    for axis in 'YX'
  ]
  return PixelSize(*sizes)


def _of_imagej(tiff: tifffile.TiffFile) -> PixelSize | None:
  unit = _micrometres(str(tiff.imagej_metadata.get('unit', '')))
  per_width, per_height = tiff.pages.first.get_resolution()
  return PixelSize(unit / per_height, unit / per_width)


def _of_resolution(page: tifffile.TiffPage) -> PixelSize | None:
  if 'XResolution' not in page.tags or page.resolutionunit == tifffile.RESUNIT.NONE:
    return None
  found = PixelSize(*(1 / per for per in page.get_resolution('MICROMETER')[::-1]))
  return found if max(found) <= _LARGEST_OF_RESOLUTION else None


def _micrometres(unit: str) -> float:
  """Of one such unit; NaN if it is no unit of length, as 'pixel'."""
  name = unit.replace('\\u00B5', 'µ').replace('\u03bc', 'µ').strip().lower()
  return _MICROMETRES.get(name, math.nan)
