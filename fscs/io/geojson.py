"""Reads polygons of GeoJSON, as QuPath exports annotations and detections.

Coordinates are x and y in pixels of the image, from the corner of the first pixel. Every feature
with an area is an object, numbered in the order of the file; holes are background. Where features
overlap, the earlier one keeps its pixels. Points and lines are left out.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from skimage import draw

from fscs.errors import InputError
from fscs.io.files import as_input_error


def read_geojson(
  path: Path,
  shape: tuple[int, int],
  page: int = 0,
  pages: int = 1,
  place: Mapping[str, int] | None = None,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Draw the areas of a file.

  Args:
    path: the file.
    shape: (height, width) of the image.
    page: of the image, from 0.
    pages: number of pages of the image. If it has one, all features lie on it; else those with its
      slice and frame.
    place: of the page along the axes Z and T, from 0, as far as the image has them.

  Returns:
    (H, W) int32: 0 is background, objects are 1 to n; and notes for the user.

  Raises:
    InputError: the file is damaged or has no area, or one lies outside the image.
  """
  labels = np.zeros(shape, np.int32)
  with as_input_error(path):
    features = _features(json.loads(path.read_text('utf-8')))
    areas = [geometry for geometry in features if _polygons(geometry)]
    if not areas:
      raise InputError(f'{path}: found no area, expected polygons; export the annotated areas')
    count = 0
    for number, geometry in enumerate(areas, 1):
      if pages > 1 and not _is_on(geometry.get('plane') or {}, page, place or {}):
        continue
      inside = np.zeros(shape, bool)
      for rings in _polygons(geometry):
        for ring in rings:  # the outline, then holes
          # GeoJSON counts from the corner of the first pixel, scikit-image from its centre.
          columns, rows = np.asarray(ring, float)[:, :2].T - 0.5
          inside[draw.polygon(rows, columns, shape)] ^= True
      if not inside.any():
        raise InputError(
          f'{path}: found area {number} outside the image of {shape[0]} x {shape[1]} pixels,'
          ' expected areas within it; export those of this image'
        )
      free = inside & (labels == 0)
      count += bool(free.any())
      labels[free] = count
  left_out = len(features) - len(areas)
  return labels, (f'{left_out} points or lines are left out',) if left_out else ()


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


def _is_on(plane: Mapping[str, Any], page: int, place: Mapping[str, int]) -> bool:
  """Whether a feature lies on a page; QuPath counts slices and frames from 0."""
  slice_, frame = int(plane.get('z', 0)), int(plane.get('t', 0))
  if {'Z', 'T'} <= place.keys():
    return (slice_, frame) == (place['Z'], place['T'])
  return max(slice_, frame) == page
