"""Measurements of objects: area, position, shape and intensity, one row per object."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from skimage.measure import regionprops_table

from fscs.io import PixelSize

INTENSITIES = ('intensity_mean', 'intensity_min', 'intensity_max', 'intensity_std')
PROPERTIES = (
  *('label', 'area', 'centroid', 'bbox', 'equivalent_diameter_area', 'axis_major_length'),
  *('axis_minor_length', 'eccentricity', 'orientation', 'perimeter', 'solidity', *INTENSITIES),
)
COLUMNS = (  # of every table; channels and pixel sizes add further ones
  *('file', 'page', 'label', 'area', 'centroid_row', 'centroid_column'),
  *('top', 'left', 'bottom', 'right', 'equivalent_diameter', 'major_axis', 'minor_axis'),
  *('eccentricity', 'orientation', 'perimeter', 'solidity', *INTENSITIES),
)

SIZES = ('pixel_height_um', 'pixel_width_um', 'area_um2', 'equivalent_diameter_um')


def measure(
  file: str, page: int, labels: np.ndarray, grey: np.ndarray, offset: tuple[int, int] = (0, 0)
) -> list[dict[str, Any]]:
  """One row of `COLUMNS` per object; lengths in pixels, positions from the upper left corner.

  Args:
    file: name of the image.
    page: of the file, counted from 0; tables count from 1.
    labels: (h, w) int, a part of the page.
    grey: (h, w) of any type.
    offset: row and column of the page where the part begins.
  """
  rows = []
  for values in _table(labels, grey, PROPERTIES):
    row = dict(zip(COLUMNS[2:], values, strict=True))
    for name in ('centroid_row', 'top', 'bottom'):
      row[name] += offset[0]
    for name in ('centroid_column', 'left', 'right'):
      row[name] += offset[1]
    rows.append({'file': file, 'page': page + 1, **row})
  return rows


def add_channels(
  rows: Sequence[dict[str, Any]], labels: np.ndarray, channels: np.ndarray, first: int
) -> None:
  """Add intensities in some channels to the rows that `measure` made of the same labels.

  Args:
    rows: changed in place; channel 2 gives intensity_mean_2 and so on.
    labels: (h, w) int.
    channels: (h, w, n) of any type.
    first: number of the first of the n channels, counted from 0.
  """
  numbers = range(first, first + channels.shape[-1])
  names = [_of_channel(name, number) for name in INTENSITIES for number in numbers]
  for row, values in zip(rows, _table(labels, channels, INTENSITIES), strict=True):
    row.update(zip(names, values, strict=True))


def add_sizes(rows: Sequence[dict[str, Any]], pixel_size: PixelSize) -> None:
  """Add `SIZES`, in micrometres and square micrometres, to the rows of `measure`."""
  for row in rows:
    area = row['area'] * pixel_size.area
    row.update(zip(SIZES, (*pixel_size, area, 2 * math.sqrt(area / math.pi)), strict=True))


def _table(
  labels: np.ndarray, values: np.ndarray, properties: Sequence[str]
) -> Iterator[tuple[float, ...]]:
  """The properties of one object after the other."""
  if not labels.any():
    return
  if values.dtype.kind == 'f':  # sums in lower precision overflow
    values = values.astype(np.float64)
  table = regionprops_table(labels, values, properties=properties)
  for found in zip(*table.values(), strict=True):
    yield tuple(value.item() for value in found)


def _of_channel(name: str, number: int) -> str:
  return f'{name}_{number}'


def columns(channels: int, sized: bool = False) -> tuple[str, ...]:
  """Columns of a table of objects, for a number of channels, with `SIZES` if `sized`."""
  numbers = range(channels if channels > 1 else 0)
  names = (_of_channel(name, number) for number in numbers for name in INTENSITIES)
  return (*COLUMNS, *(SIZES if sized else ()), *names)


def write(path: Path, rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
  """Write a table of objects as CSV; missing values are left empty."""
  with _opened(path, 'w') as file:
    writer = csv.DictWriter(file, names, lineterminator='\n')
    writer.writeheader()
    for row in rows:
      writer.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()})


def is_whole(path: Path) -> bool:
  """Whether there is a table of objects in which every row has all columns."""
  try:
    with _opened(path) as file:
      rows = csv.reader(file)
      header = next(rows, [])
      known = tuple(header[: len(COLUMNS)]) == COLUMNS
      return known and all(len(row) == len(header) for row in rows)
  except (OSError, csv.Error):  # no such file, too long a name, or zero bytes in it
    return False


def join(path: Path, tables: Sequence[Path]) -> None:
  """Join tables of objects, with the columns of all of them."""
  names = dict.fromkeys(COLUMNS)
  for table in tables:
    with _opened(table) as file:
      names |= dict.fromkeys(next(csv.reader(file)))
  write(path, _rows(tables), tuple(names))


def _rows(tables: Iterable[Path]) -> Iterator[dict[str, str]]:
  for table in tables:
    with _opened(table) as file:
      yield from csv.DictReader(file)


def _opened(path: Path, mode: Literal['r', 'w'] = 'r') -> TextIO:
  return path.open(mode, newline='', encoding='utf-8', errors='surrogateescape')
