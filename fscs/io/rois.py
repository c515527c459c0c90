"""Reads ImageJ ROIs, of which every area is an object; see `fscs.io.outlines`.

A pixel belongs to an area if its centre is inside. Rounded corners are drawn square, Bezier curves
as chains of short lines, and outlines that ImageJ shows as splines as polygons through their
points.
"""

import functools
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roifile
from skimage import draw

from fscs.errors import InputError
from fscs.io.files import as_input_error
from fscs.io.outlines import Outline

_AREA_TYPES = ('POLYGON', 'FREEHAND', 'TRACED', 'RECT', 'OVAL')
_OTHER_SUBTYPES = ('TEXT', 'ARROW', 'IMAGE')
_LINES_PER_CURVE = 16
_POINTS = {0: 1, 1: 1, 2: 2, 3: 3, 4: 0}  # of the commands of a path: move, line, curves, close


def read_rois(path: Path) -> tuple[list[Outline], tuple[str, ...]]:
  """The areas of a ROI (.roi) or of an archive of ROIs (.zip), and notes for the user.

  Raises:
    InputError: the file is damaged or has no ROI, or a ROI is not an area.
  """
  with as_input_error(path):
    rois = _named_rois(path)
    if not rois:
      raise InputError(f'{path}: found no ROI; save the ROIs of this image with the ROI Manager')
    for name, roi in rois:
      if roi.roitype.name not in _AREA_TYPES or roi.subtype.name in _OTHER_SUBTYPES:
        raise InputError(
          f'{path}: found the ROI {name} of type {roi.roitype.name}, expected areas (polygon, '
          'freehand, traced, rectangle, oval); remove it in the ROI Manager'
        )
    outlines = [
      Outline(
        f'the ROI {name}',
        functools.partial(_pixels_of, roi),
        roi.z_position,
        roi.t_position,
        roi.position,
      )
      for name, roi in rois
    ]
    splines = any(roi.options & roifile.ROI_OPTIONS.SPLINE_FIT for _, roi in rois)
  return outlines, ('outlines fitted by splines are read as polygons',) if splines else ()


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
    paths = _paths_of(roi)
  # As in ImageJ, a centre on a left edge is inside and one on a right edge is not.
  corners = [np.asarray(path, float) - (0.5 + 1e-6, 0.5) for path in paths]
  drawn = [np.ravel_multi_index(draw.polygon(c[:, 1], c[:, 0], shape), shape) for c in corners]
  # A composite ROI consists of outlines and holes: a pixel in an even number of them is outside.
  pixels, times = np.unique(np.concatenate(drawn), return_counts=True)
  return pixels[times % 2 == 1]


def _paths_of(roi: roifile.ImagejRoi) -> list[np.ndarray]:
  """(n, 2) x and y of every outline."""
  if roi.multi_coordinates is None:
    return list(roi.coordinates(multi=True))
  straight = [value for step in _straightened(roi.multi_coordinates.tolist()) for value in step]
  return roi.path2coords(np.array(straight, np.float32))


def _straightened(path: list[float]) -> Iterator[list[float]]:
  """The commands of a path with lines in place of its curves."""
  place, here = 0, np.zeros(2)
  while place < len(path):
    command = int(path[place])
    count = 2 * _POINTS.get(command, 0)
    points = np.reshape(path[place + 1 : place + 1 + count], (-1, 2))
    if command in (2, 3):
      t = np.linspace(0, 1, _LINES_PER_CURVE + 1)[1:, None]
      controls = [here, *points]
      while len(controls) > 1:  # de Casteljau's algorithm
        controls = [(1 - t) * a + t * b for a, b in itertools.pairwise(controls)]
      yield from ([1.0, float(x), float(y)] for x, y in controls[0])
    else:
      yield [float(command), *points.ravel().tolist()]
    if len(points):
      here = points[-1]
    place += 1 + count
