"""Segmentation of one file, page by page, in memory that does not grow with the file.

Pages are predicted whole, or block by block where they are large; what is found is kept in files
until it is written, where it is large.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roifile

from fscs import io as files
from fscs.data.scaling import stretch
from fscs.io import ImageFile
from fscs.segmentation import measurements, outputs
from fscs.segmentation import thumbnails as thinning
from fscs.segmentation import tiling as blocks
from fscs.segmentation.domain_shift import doubts
from fscs.segmentation.instances import find_objects
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.tiling import Read, Region

MAX_DOUBTS = 5  # of a file, in words; the others are counted
CHANNELS_AT_ONCE = 4  # that are measured together; one after the other takes longer


class Summary(NamedTuple):
  """What was found in a file."""

  file: str
  pages: int
  height: int
  width: int
  objects: int
  foreground: float  # share of the pixels
  doubts: str  # why not to trust it; often empty
  sha256: str  # of the file, its first digits


class _Part(NamedTuple):
  """A part of a page with its objects."""

  seen: Region
  labels: np.ndarray  # (h, w) int32 of what is seen
  grey: np.ndarray  # alike
  core: Region  # what no other part has for its core


class _Page(NamedTuple):
  """What was found on a page, besides its arrays."""

  rows: list[dict[str, Any]]  # of `measurements.columns`, one per object
  rois: list[roifile.ImagejRoi]
  foreground: int  # pixels
  doubts: list[str]


def segment_file(segmenter: Segmenter, path: Path, out: Path) -> Summary:
  """Segment all pages of a file and write everything about it, or nothing.

  Raises:
    InputError: the file cannot be read, holds pixels that are no numbers, or has too long a name.
    OSError: the results cannot be written.
  """
  outputs.require_short_name(out, path)
  with (
    files.open_image(path, segmenter.channel) as image,
    outputs.all_or_none(out, path.stem) as folder,
  ):
    probability = outputs.scratch(folder / 'probability', image.shape, np.float32)
    labels = outputs.scratch(folder / 'labels', image.shape, np.int32)
    pages = [
      _segment_page(segmenter, image, page, probability[page], labels[page])
      for page in range(image.shape[0])
    ]
    _write(folder, image, pages, probability, labels, segmenter.splitting.threshold)
  return Summary(
    path.name,
    *image.shape,
    sum(len(page.rows) for page in pages),
    sum(page.foreground for page in pages) / probability.size,
    _in_words([page.doubts for page in pages]),
    content_digest(path),
  )


def content_digest(path: Path) -> str:
  """16 hexadecimal digits that tell a file's content from that of others."""
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]


def _segment_page(
  segmenter: Segmenter, image: ImageFile, page: int, probability: np.ndarray, labels: np.ndarray
) -> _Page:
  """Fills in the page's (H, W) probability and labels."""
  rows, rois, foreground = [], [], 0
  step = thinning.step_for(labels.shape, outputs.OVERLAY_SIDE)
  thin = np.zeros(thinning.thinned_shape(labels.shape, step), image.dtype)
  for part in _parts(segmenter, functools.partial(_read, image, page), probability):
    offset = (part.seen[0].start, part.seen[1].start)
    target = labels[part.seen]
    new = (part.labels > 0) & (target == 0)
    target[new] = part.labels[new]
    rows += _measured(segmenter, image, page, part)
    rois += outputs.rois_of(part.labels, page, offset, image.place_of(page))
    foreground += np.count_nonzero(probability[part.core] > segmenter.splitting.threshold)
    thinning.put_thinned(thin, part.grey, offset, step)
    outputs.release(probability)
    outputs.release(labels)
  found = doubts(segmenter, thin, [row['equivalent_diameter'] for row in rows])
  return _Page(rows, rois, foreground, found)


def _measured(
  segmenter: Segmenter, image: ImageFile, page: int, part: _Part
) -> list[dict[str, Any]]:
  """The rows of a part's objects, with every channel, of which some are in memory at a time."""
  if not part.labels.any():
    return []
  offset = (part.seen[0].start, part.seen[1].start)
  weighted = isinstance(segmenter.channel, tuple)
  grey = image.read_stored(page, *part.seen) if weighted else part.grey
  rows = measurements.measure(image.path.name, page, part.labels, grey, offset)
  if image.channels > 1:
    for first in range(0, image.channels, CHANNELS_AT_ONCE):
      count = min(CHANNELS_AT_ONCE, image.channels - first)
      channels = image.read_channels(page, *part.seen, first, count)
      measurements.add_channels(rows, part.labels, channels, first)
  return rows


def _read(image: ImageFile, page: int, region: Region) -> np.ndarray:
  grey = image.read(page, *region)
  files.require_finite(grey, image.path)
  return grey


def _parts(segmenter: Segmenter, read: Read, probability: np.ndarray) -> Iterator[_Part]:
  """Predicts a page into `probability`, then finds its objects part by part."""
  height, width = probability.shape
  if height * width * max(1, segmenter.scale) ** 2 <= blocks.LARGEST_WHOLE:
    whole = (slice(0, height), slice(0, width))
    grey = read(whole)
    probability[:] = segmenter.predict(grey)
    yield _Part(whole, find_objects(probability, segmenter.splitting), grey, whole)
    return
  for region, predicted in blocks.predict_blocks(segmenter, read, probability.shape):
    probability[region] = predicted
    outputs.release(probability)
  largest = segmenter.support.diameters[2]
  found = blocks.label_blocks(
    lambda region: probability[region], probability.shape, segmenter.splitting, largest
  )
  for seen, labels, core in found:
    yield _Part(seen, labels, read(seen), core)


def _write(
  folder: Path,
  image: ImageFile,
  pages: list[_Page],
  probability: np.ndarray,
  labels: np.ndarray,
  threshold: float,
) -> None:
  rows = [row for page in pages for row in page.rows]
  kind = outputs.label_type(max((row['label'] for row in rows), default=0))
  for ending, pixels, dtype, convert in (
    ('probability.tif', probability, np.float32, lambda part: part),
    ('mask.tif', probability, np.uint8, lambda part: np.where(part > threshold, 255, 0)),
    ('labels.tif', labels, kind, lambda part: part),
  ):
    outputs.write_pages(folder / ending, pixels, dtype, convert, image.pixel_size)
  step = thinning.step_for(labels.shape[1:], outputs.OVERLAY_SIDE)
  picture = stretch(thinning.read_thinned(image, 0, outputs.OVERLAY_SIDE))
  outputs.write_overlay(folder / 'overlay.png', picture, labels[0, ::step, ::step])
  outputs.write_rois(folder / 'rois.zip', [roi for page in pages for roi in page.rois])
  if image.pixel_size:
    measurements.add_sizes(rows, image.pixel_size)
  columns = measurements.columns(image.channels, sized=image.pixel_size is not None)
  measurements.write(folder / 'objects.csv', rows, columns)


def _in_words(by_page: list[list[str]]) -> str:
  """The doubts of all pages."""
  several = len(by_page) > 1
  found = [
    f'page {page}: {doubt}' if several else doubt
    for page, doubts_of in enumerate(by_page, 1)
    for doubt in doubts_of
  ]
  more = [f'and {len(found) - MAX_DOUBTS} more'] if len(found) > MAX_DOUBTS else []
  return '; '.join(found[:MAX_DOUBTS] + more)
