"""Reads polygons of GeoJSON, as QuPath exports annotations and detections.

Coordinates are x and y in pixels of the image, from the corner of the first pixel. Every feature
with an area is an object; holes are background. Points and lines are left out. See
`fscs.io.outlines`.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skimage import draw

from fscs.errors import InputError
from fscs.io.files import as_input_error
from fscs.io.outlines import Outline, Shape


def read_geojson(path: Path) -> tuple[list[Outline], tuple[str, ...]]:
  """The areas of a file, and notes for the user.

  Raises:
    InputError: the file is damaged or has no area.
  """
  with as_input_error(path):
    features = _features(json.loads(path.read_text('utf-8')))
    outlines: list[Outline] = []
    for geometry in features:
      if polygons := _polygons(geometry):
        plane = geometry.get('plane') or {}
        pixels = functools.partial(_pixels_of, polygons)
        # QuPath counts slices and frames from 0.
        place = int(plane.get('z', 0)) + 1, int(plane.get('t', 0)) + 1
        outlines.append(Outline(f'area {len(outlines) + 1}', pixels, *place))
    if not outlines:
      raise InputError(f'{path}: found no area, expected polygons; export the annotated areas')
  left_out = len(features) - len(outlines)
  return outlines, (f'{left_out} points or lines are left out',) if left_out else ()


def _pixels_of(polygons: list[Any], shape: Shape) -> np.ndarray:
  """(n,) flat indices of the pixels inside."""
  inside = np.zeros(shape, bool)
  for rings in polygons:
    for ring in rings:  # the outline, then holes
      # GeoJSON counts from the corner of the first pixel, scikit-image from its centre.
      columns, rows = np.asarray(ring, float)[:, :2].T - 0.5
      inside[draw.polygon(rows, columns, shape)] ^= True
  return np.flatnonzero(inside)


def _features(content: Any) -> list[Mapping[str, Any]]:
  """The geometries of a collection of features, a list of them, or one."""
  found = content.get('features', [content]) if isinstance(content, dict) else content
  return list(_geometries(found))


def _geometries(features: list[Any]) -> Iterator[Mapping[str, Any]]:
  for feature in features:
    geometry = feature.get('geometry', feature) or {}
    if geometry.get('type') == 'GeometryCollection':
      yield from geometry['geometries']
    else:
      yield geometry


def _polygons(geometry: Mapping[str, Any]) -> list[Any]:
  """Lists of rings, (n, 2) x and y each."""
  kind = geometry.get('type')
  if kind == 'Polygon':
    return [geometry['coordinates']]
  return geometry['coordinates'] if kind == 'MultiPolygon' else []
