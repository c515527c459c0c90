"""Tables of objects: area, position, shape and intensities, a row per object."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from skimage.measure import regionprops_table

INTENSITIES = ('intensity_mean', 'intensity_min', 'intensity_max', 'intensity_std')
PROPERTIES = (
  *('label', 'area', 'centroid', 'bbox', 'equivalent_diameter_area', 'axis_major_length'),
  *('axis_minor_length', 'eccentricity', 'orientation', 'perimeter', 'solidity', *INTENSITIES),
)
COLUMNS = (  # of every table; those of files with several channels have more
  *('file', 'page', 'label', 'area', 'centroid_row', 'centroid_column'),
  *('top', 'left', 'bottom', 'right', 'equivalent_diameter', 'major_axis', 'minor_axis'),
  *('eccentricity', 'orientation', 'perimeter', 'solidity', *INTENSITIES),
)


def measure(
  file: str, page: int, labels: np.ndarray, values: np.ndarray, offset: tuple[int, int] = (0, 0)
) -> list[dict[str, Any]]:
  """A row per object; lengths in pixels, positions from the image's upper left.

  Args:
    file: name of the image.
    page: of the file, from 0.
    labels: (h, w) int, a part of the page.
    values: (h, w, 1 + channels) as `ImageFile.read_measured` gives them. The first make the
      intensities of `COLUMNS`, and channel 0 those of intensity_mean_0 and so on.
    offset: row and column of the page where the part begins.
  """
  if values.dtype.kind == 'f':  # sums of narrower floats overflow
    values = values.astype(np.float64)
  table = regionprops_table(labels, values, properties=PROPERTIES)
  names = [name for name in COLUMNS[2:] if name not in INTENSITIES]
  names += [_intensity(name, place) for name in INTENSITIES for place in range(values.shape[-1])]
  rows = []
  for found in zip(*table.values(), strict=True):
    row = dict(zip(names, (value.item() for value in found), strict=True))
    for name in ('centroid_row', 'top', 'bottom'):
      row[name] += offset[0]
    for name in ('centroid_column', 'left', 'right'):
      row[name] += offset[1]
    rows.append({'file': file, 'page': page, **row})
  return rows


def _intensity(name: str, place: int) -> str:
  return f'{name}_{place - 1}' if place else name


def columns(channels: int) -> tuple[str, ...]:
  """The columns of a table of objects, of files with so many channels."""
  if channels == 1:
    return COLUMNS
  more = (_intensity(name, place) for place in range(1, channels + 1) for name in INTENSITIES)
  return (*COLUMNS, *more)


def write(path: Path, rows: Iterable[Mapping[str, Any]], names: Sequence[str] = COLUMNS) -> None:
  """A CSV of all objects; what a row lacks is left empty."""
  with _opened(path, 'w') as file:
    writer = csv.DictWriter(file, names, lineterminator='\n')
    writer.writeheader()
    for row in rows:
      writer.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()})


def join(path: Path, tables: Sequence[Path]) -> None:
  """One such file of several, with the columns of all of them."""
  names = dict.fromkeys(COLUMNS)
  for table in tables:
    with _opened(table) as file:
      names |= dict.fromkeys(next(csv.reader(file), ()))
  write(path, _rows(tables), tuple(names))


def _rows(tables: Iterable[Path]) -> Iterator[dict[str, str]]:
  for table in tables:
    with _opened(table) as file:
      yield from csv.DictReader(file)


def _opened(path: Path, mode: str = 'r') -> TextIO:
  return path.open(mode, newline='', encoding='utf-8', errors='surrogateescape')
