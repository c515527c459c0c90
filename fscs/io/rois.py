"""Reads ImageJ ROIs: every area is an object, numbered in the order of the archive.

A pixel belongs to an area if its centre is inside. Where ROIs overlap, the earlier one keeps its
pixels. Rounded corners are drawn square. In an image of several pages each ROI lies on the page of
its position; in an image of one page the position is ignored.
"""

import zipfile
from pathlib import Path

import numpy as np
import roifile
from skimage import draw

from fscs.errors import InputError
from fscs.io.files import as_input_error

ROI_SUFFIXES = ('.roi', '.zip')

_AREA_TYPES = ('POLYGON', 'FREEHAND', 'TRACED', 'RECT', 'OVAL')
_OTHER_SUBTYPES = ('TEXT', 'ARROW', 'IMAGE')


def read_rois(path: Path, shape: tuple[int, int], page: int = 0, pages: int = 1) -> np.ndarray:
  """Draw the areas of a ROI (.roi) or of an archive of ROIs (.zip).

  Args:
    path: the file.
    shape: (height, width) of the image.
    page: of the image, from 0.
    pages: number of pages of the image.

  Returns:
    (H, W) int32: 0 is background, objects are 1 to n.

  Raises:
    InputError: the file is damaged or has no ROI; or a ROI is not an area, lies outside the image,
      or on no page of several.
  """
  labels = np.zeros(shape, np.int32)
  with as_input_error(path):
    rois = _named_rois(path)
    if not rois:
      raise InputError(f'{path}: found no ROI; save the ROIs of this image with the ROI Manager')
    count = 0
    for name, roi in _on_page(path, rois, page, pages):
      if roi.roitype.name not in _AREA_TYPES or roi.subtype.name in _OTHER_SUBTYPES:
        raise InputError(
          f'{path}: found the ROI {name} of type {roi.roitype.name}, expected areas (polygon, '
          'freehand, traced, rectangle, oval); remove it in the ROI Manager'
        )
      pixels = _pixels_of(roi, shape)
      if not len(pixels):
        raise InputError(
          f'{path}: found the ROI {name} outside the image of {shape[0]} x {shape[1]} pixels, '
          'expected areas within it; remove it, or give the ROIs of this image'
        )
      free = pixels[labels.flat[pixels] == 0]
      count += len(free) > 0
      labels.flat[free] = count
  return labels


def _on_page(
  path: Path, rois: list[tuple[str, roifile.ImagejRoi]], page: int, pages: int
) -> list[tuple[str, roifile.ImagejRoi]]:
  if pages == 1:
    return rois
  for name, roi in rois:
    if not 1 <= roi.position <= pages:
      raise InputError(
        f'{path}: found the ROI {name} at position {roi.position}, expected one of the {pages}'
        ' pages of the image; draw it on its page, or give label images'
      )
  return [(name, roi) for name, roi in rois if roi.position == page + 1]


def _named_rois(path: Path) -> list[tuple[str, roifile.ImagejRoi]]:
  """Names and ROIs in the order of the archive."""
  if path.suffix.lower() == '.roi':
    return [(path.name, roifile.ImagejRoi.frombytes(path.read_bytes()))]
  with zipfile.ZipFile(path) as archive:
    names = [name for name in archive.namelist() if name.lower().endswith('.roi')]
    names = [name for name in names if '/.' not in f'/{name}']  # macOS adds hidden files
    return [(name, roifile.ImagejRoi.frombytes(archive.read(name))) for name in names]


def _pixels_of(roi: roifile.ImagejRoi, shape: tuple[int, int]) -> np.ndarray:
  """(n,) flat indices of the pixels whose centre is in the ROI."""
  if roi.subpixelrect:
    left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
  else:
    left, top, right, bottom = map(float, (roi.left, roi.top, roi.right, roi.bottom))
  # ImageJ counts from the corner of the first pixel, scikit-image from its centre.
  if roi.roitype == roifile.ROI_TYPE.OVAL:
    centre = (top + bottom - 1) / 2, (left + right - 1) / 2
    inside = draw.ellipse(*centre, (bottom - top) / 2, (right - left) / 2, shape=shape)
    return np.asarray(np.ravel_multi_index(inside, shape))
  if roi.roitype == roifile.ROI_TYPE.RECT and not roi.composite:
    paths = [np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)]
  else:
    paths = list(roi.coordinates(multi=True))
  # As in ImageJ, a centre on a left edge is inside and one on a right edge is not.
  corners = [np.asarray(path, float) - (0.5 + 1e-6, 0.5) for path in paths]
  drawn = [np.ravel_multi_index(draw.polygon(c[:, 1], c[:, 0], shape), shape) for c in corners]
  # A composite ROI consists of outlines and holes: a pixel in an even number of them is outside.
  pixels, times = np.unique(np.concatenate(drawn), return_counts=True)
  return pixels[times % 2 == 1]
