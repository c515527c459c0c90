"""Segments one image file, page by page, in memory that does not grow with the file.

Pages are predicted whole, or block by block if they are large. Large results are kept in scratch
files until they are written.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roifile

from fscs.data.intensity import stretch
from fscs.io import ImageFile, open_image, require_finite
from fscs.segmentation import measurements, outputs
from fscs.segmentation.blockwise import (
  MAX_PIXELS_IN_MEMORY,
  Block,
  Read,
  Region,
  label_blocks,
  predict_blocks,
)
from fscs.segmentation.domain_shift import domain_shift_warnings
from fscs.segmentation.instances import find_objects
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.thumbnails import (
  put_subsampled,
  read_subsampled,
  subsampled_shape,
  subsampling_step,
)

MAX_WARNINGS = 5  # of a file that are written out; the others are counted
CHANNELS_AT_ONCE = 4  # channels that are measured together, which is faster than one by one


class FileSummary(NamedTuple):
  """What was found in a file."""

  file: str
  pages: int
  height: int
  width: int
  objects: int
  foreground: float  # share of the pixels
  warnings: str  # domain-shift warnings, often empty
  sha256: str  # of the file, its first digits


class PartOfSet(Exception):
  """A file is a later one of an OME-TIFF set, which is segmented under the name of its first."""


class _Part(NamedTuple):
  """A part of a page with its objects."""

  block: Block
  labels: np.ndarray  # (h, w) int32 of the halo
  grey: np.ndarray  # (h, w) of the halo


class _Page(NamedTuple):
  """What was found on a page, besides its arrays."""

  rows: list[dict[str, Any]]  # of `measurements.columns`, one per object
  rois: list[roifile.ImagejRoi]
  foreground: int  # pixels
  warnings: list[str]


def segment_file(segmenter: Segmenter, path: Path, out: Path) -> FileSummary:
  """Segment all pages of a file and write all results, or nothing.

  Args:
    segmenter: predicts.
    path: image file.
    out: folder for the results.

  Raises:
    InputError: the file cannot be read, holds values that are not finite, or has too long a name.
    PartOfSet: the file is read with another one.
    OSError: the results cannot be written.
  """
  outputs.require_short_name(out, path)
  with (
    open_image(path, segmenter.channel, segmenter.axes) as image,
    outputs.all_or_none(out, path.stem) as folder,
  ):
    if image.part_of:
      raise PartOfSet(f'{path.name}: part of {image.part_of.name}, which is segmented as a whole')
    probability = outputs.scratch_array(folder / 'probability', image.shape, np.float32)
    labels = outputs.scratch_array(folder / 'labels', image.shape, np.int32)
    pages = [
      _segment_page(segmenter, image, page, probability[page], labels[page])
      for page in range(image.shape[0])
    ]
    _write(folder, image, pages, probability, labels, segmenter.watershed.threshold)
    notes = image.notes
    if segmenter.channel is None and image.source and not image.colour:
      notes = (*notes, f'{image.source} is segmented')  # the annotated images may have had one
  return FileSummary(
    path.name,
    *image.shape,
    sum(len(page.rows) for page in pages),
    sum(page.foreground for page in pages) / probability.size,
    '; '.join(filter(None, (*notes, _join_warnings([page.warnings for page in pages])))),
    content_digest(path),
  )


def content_digest(path: Path) -> str:
  """16 hexadecimal digits of the SHA-256 of a file."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]


def _segment_page(
  segmenter: Segmenter, image: ImageFile, page: int, probability: np.ndarray, labels: np.ndarray
) -> _Page:
  """Fills in the page's (H, W) probability and labels."""
  rows: list[dict[str, Any]] = []
  rois: list[roifile.ImagejRoi] = []
  foreground = 0
  step = subsampling_step(labels.shape, outputs.OVERLAY_SIDE)
  thumbnail = np.zeros(subsampled_shape(labels.shape, step), image.dtype)
  for part in _parts(segmenter, functools.partial(_read, image, page), probability):
    halo = part.block.halo
    offset = (halo[0].start, halo[1].start)
    target = labels[halo]
    new = (part.labels > 0) & (target == 0)
    target[new] = part.labels[new]
    rows += _measure(segmenter, image, page, part)
    rois += outputs.rois_of(part.labels, page, offset, image.place_of(page))
    threshold = segmenter.watershed.threshold
    foreground += int(np.count_nonzero(probability[part.block.core] > threshold))
    put_subsampled(thumbnail, part.grey, offset, step)
    outputs.release_memory(probability)
    outputs.release_memory(labels)
  diameters = [row['equivalent_diameter'] for row in rows]
  return _Page(rows, rois, foreground, domain_shift_warnings(segmenter, thumbnail, diameters))


def _measure(
  segmenter: Segmenter, image: ImageFile, page: int, part: _Part
) -> list[dict[str, Any]]:
  """The rows of a part's objects, with the intensities in every channel."""
  if not part.labels.any():
    return []
  halo = part.block.halo
  offset = (halo[0].start, halo[1].start)
  is_weighted = isinstance(segmenter.channel, tuple)
  grey = image.read_stored(page, *halo) if is_weighted else part.grey
  rows = measurements.measure(image.path.name, page, part.labels, grey, offset)
  if image.channels > 1:
    for first in range(0, image.channels, CHANNELS_AT_ONCE):
      count = min(CHANNELS_AT_ONCE, image.channels - first)
      channels = image.read_channels(page, *halo, first, count)
      measurements.add_channels(rows, part.labels, channels, first)
  return rows


def _read(image: ImageFile, page: int, region: Region) -> np.ndarray:
  grey = image.read(page, *region)
  require_finite(grey, image.path)
  return grey


def _parts(segmenter: Segmenter, read: Read, probability: np.ndarray) -> Iterator[_Part]:
  """Predicts a page into `probability`, then finds its objects part by part."""
  height, width = probability.shape
  if height * width * max(1, segmenter.scale) ** 2 <= MAX_PIXELS_IN_MEMORY:
    whole = (slice(0, height), slice(0, width))
    grey = read(whole)
    probability[:] = segmenter.predict_proba(grey)
    labels = find_objects(probability, segmenter.watershed)
    yield _Part(Block(whole, whole), labels, grey)
    return
  for region, predicted in predict_blocks(segmenter, read, (height, width)):
    probability[region] = predicted
    outputs.release_memory(probability)
  largest = segmenter.support.diameters[2]
  found = label_blocks(
    lambda region: probability[region], (height, width), segmenter.watershed, largest
  )
  for block, labels in found:
    yield _Part(block, labels, read(block.halo))


def _write(
  folder: Path,
  image: ImageFile,
  pages: list[_Page],
  probability: np.ndarray,
  labels: np.ndarray,
  threshold: float,
) -> None:
  rows = [row for page in pages for row in page.rows]
  dtype = outputs.label_dtype(max((row['label'] for row in rows), default=0))

  def unchanged(part: np.ndarray) -> np.ndarray:
    return part

  def binary(part: np.ndarray) -> np.ndarray:
    return np.where(part > threshold, 255, 0)

  size = image.pixel_size
  outputs.write_pages(folder / 'probability.tif', probability, np.float32, unchanged, size)
  outputs.write_pages(folder / 'mask.tif', probability, np.uint8, binary, size)
  outputs.write_pages(folder / 'labels.tif', labels, dtype, unchanged, size)
  step = subsampling_step(labels.shape[1:], outputs.OVERLAY_SIDE)
  picture = stretch(read_subsampled(image, 0, outputs.OVERLAY_SIDE))
  outputs.write_overlay(folder / 'overlay.png', picture, labels[0, ::step, ::step])
  outputs.write_rois(folder / 'rois.zip', [roi for page in pages for roi in page.rois])
  if size:
    measurements.add_sizes(rows, size)
  columns = measurements.columns(image.channels, sized=size is not None)
  measurements.write(folder / 'objects.csv', rows, columns)


def _join_warnings(by_page: list[list[str]]) -> str:
  """The warnings of all pages in one line."""
  several = len(by_page) > 1
  found = [
    f'page {page}: {warning}' if several else warning
    for page, warnings in enumerate(by_page, 1)
    for warning in warnings
  ]
  more = [f'and {len(found) - MAX_WARNINGS} more'] if len(found) > MAX_WARNINGS else []
  return '; '.join(found[:MAX_WARNINGS] + more)
