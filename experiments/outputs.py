"""What prediction writes for an image: TIFFs, overlay, ROIs and a table of objects."""

import contextlib
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import roifile
import tifffile
from PIL import Image
from skimage.measure import find_contours, regionprops_table
from skimage.segmentation import find_boundaries

OVERLAY_COLOUR = (0, 168, 232)
OVERLAY_SIDE = 2048  # longest side of an overlay in pixels
PROPERTIES = (
  'label',
  'area',
  'centroid',
  'bbox',
  'equivalent_diameter_area',
  'axis_major_length',
  'axis_minor_length',
  'eccentricity',
  'orientation',
  'perimeter',
  'solidity',
  'intensity_mean',
  'intensity_min',
  'intensity_max',
  'intensity_std',
)
COLUMNS = (
  *('file', 'page', 'label', 'area', 'centroid_row', 'centroid_column'),
  *('top', 'left', 'bottom', 'right', 'equivalent_diameter', 'major_axis', 'minor_axis'),
  *('eccentricity', 'orientation', 'perimeter', 'solidity'),
  *('intensity_mean', 'intensity_min', 'intensity_max', 'intensity_std'),
)


@contextlib.contextmanager
def whole_or_not(path: Path) -> Iterator[Path]:
  """A path to write to beside `path`, which takes its place at the end, or vanishes on failure."""
  temporary = path.with_name(f'.{os.getpid()}-{path.name}'[-250:])
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_pages(path: Path, pages: Sequence[np.ndarray]) -> None:
  """A compressed TIFF, a page per array; arrays of one size and type."""
  stack = pages[0] if len(pages) == 1 else np.stack(pages)
  with whole_or_not(path) as temporary:
    tifffile.imwrite(temporary, stack, compression='zlib', photometric='minisblack')


def write_blocks(
  path: Path, parts: Iterable[np.ndarray], shape: tuple[int, int], side: int, dtype: Any
) -> None:
  """A compressed, tiled BigTIFF from blocks of `side` pixels, row by row, the last ones cut."""

  def whole_tiles() -> Iterator[np.ndarray]:
    for part in parts:
      missing = [(0, side - size) for size in part.shape]
      yield np.pad(part, missing).astype(dtype)

  with whole_or_not(path) as temporary:
    tifffile.imwrite(
      temporary,
      whole_tiles(),
      shape=shape,
      dtype=dtype,
      tile=(side, side),
      compression='zlib',
      photometric='minisblack',
      bigtiff=True,
    )


def label_type(count: int) -> type:
  """The smallest type of labels that ImageJ and others read."""
  return np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32


def write_overlay(path: Path, grey: np.ndarray, labels: np.ndarray) -> None:
  """A PNG of an 8-bit image with the outlines of its objects; large ones are thinned out."""
  step = -(-max(grey.shape) // OVERLAY_SIDE)
  grey, labels = grey[::step, ::step], labels[::step, ::step]
  colours = np.repeat(grey[..., None], 3, axis=-1)
  colours[find_boundaries(labels, mode='inner')] = OVERLAY_COLOUR
  with whole_or_not(path) as temporary:
    Image.fromarray(colours).save(temporary, format='PNG')


def rois_of(
  labels: np.ndarray, page: int, offset: tuple[int, int] = (0, 0), first: int = 0
) -> Iterator[roifile.ImagejRoi]:
  """A polygon per object, the longest outline of it; pixel (r, c) is the square from (r, c)."""
  table = regionprops_table(labels, properties=('label', 'bbox', 'image'))
  for number, image, top, left in zip(
    table['label'], table['image'], table['bbox-0'], table['bbox-1'], strict=True
  ):
    rows, columns = max(find_contours(np.pad(image, 1), 0.5), key=len).T - 0.5
    rows, columns = rows + top + offset[0], columns + left + offset[1]
    roi = roifile.ImagejRoi.frompoints(np.stack([columns, rows], axis=-1))
    roi.name = f'{page + 1:04}-{number + first:06}'
    roi.position = page + 1
    yield roi


def write_rois(path: Path, rois: Sequence[roifile.ImagejRoi]) -> None:
  """An archive for ImageJ's ROI manager; none where there is no object."""
  if not rois:
    path.unlink(missing_ok=True)
    return
  with whole_or_not(path.with_suffix('.zip')) as temporary:
    archive = temporary.with_suffix('.zip')
    roifile.roiwrite(archive, list(rois), mode='w')
    if archive != temporary:
      archive.replace(temporary)


def measure(
  file: str, page: int, labels: np.ndarray, grey: np.ndarray, offset: tuple[int, int] = (0, 0)
) -> list[dict[str, Any]]:
  """A row of `COLUMNS` per object; lengths in pixels, positions from the image's upper left."""
  table = regionprops_table(labels, grey, properties=PROPERTIES)
  rows = []
  for values in zip(*table.values(), strict=True):
    row = dict(zip(COLUMNS[2:], (value.item() for value in values), strict=True))
    for name in ('centroid_row', 'top', 'bottom'):
      row[name] += offset[0]
    for name in ('centroid_column', 'left', 'right'):
      row[name] += offset[1]
    rows.append({'file': file, 'page': page, **row})
  return rows


def write_measurements(path: Path, rows: Iterable[dict[str, Any]]) -> None:
  """A CSV of all objects."""
  with whole_or_not(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
    writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
    writer.writeheader()
    for row in rows:
      writer.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()})
