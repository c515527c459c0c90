"""Segmentation of one file: pages in memory, or block by block where a page is large."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import outputs
from fscs import images as files
from fscs.blocks import LABEL_BLOCK, LARGEST_WHOLE, label_blocks, predict_blocks
from fscs.errors import InputError
from fscs.images import ImageFile
from fscs.objects import find_objects
from fscs.own_images import stretch
from fscs.segmenter import Segmenter
from fscs.trust import doubts


class Summary(NamedTuple):
  """What was found in a file."""

  rows: list[dict[str, Any]]  # of `outputs.COLUMNS`, one per object
  doubts: list[str]  # why not to trust it; often none


def segment_file(segmenter: Segmenter, path: Path, out: Path) -> Summary:
  """Segment all pages of a file and write everything but the table of objects.

  Raises:
    InputError: the file cannot be read, or holds pixels that are no numbers.
  """
  with files.open_image(path, segmenter.channel) as image:
    pages, height, width = image.shape
    if height * width > LARGEST_WHOLE:
      if pages > 1:
        raise InputError(f'{path}: {pages} pages of {height} x {width} pixels: split the stack')
      return _segment_blocks(segmenter, image, path, out)
    return _segment_pages(segmenter, image, path, out)


def _segment_pages(segmenter: Segmenter, image: ImageFile, path: Path, out: Path) -> Summary:
  pages, height, width = image.shape
  probabilities, labels, rows, rois, found_doubts = [], [], [], [], []
  for page in range(pages):
    grey = image.read(page, slice(0, height), slice(0, width))
    files.require_finite(grey, path)
    probability = segmenter.predict(grey)
    objects = find_objects(probability, segmenter.splitting)
    found_doubts += [
      f'page {page}: {doubt}' if pages > 1 else doubt for doubt in doubts(segmenter, grey, objects)
    ]
    rows += outputs.measure(path.name, page, objects, grey)
    rois += outputs.rois_of(objects, page)
    probabilities.append(probability)
    labels.append(objects)
    if page == 0:
      outputs.write_overlay(out / f'{path.stem}_overlay.png', stretch(grey), objects)
  kind = outputs.label_type(max(int(page.max()) for page in labels))
  masks = [
    np.where(p > segmenter.splitting.threshold, 255, 0).astype(np.uint8) for p in probabilities
  ]
  outputs.write_pages(out / f'{path.stem}_probability.tif', probabilities)
  outputs.write_pages(out / f'{path.stem}_mask.tif', masks)
  outputs.write_pages(out / f'{path.stem}_labels.tif', [page.astype(kind) for page in labels])
  outputs.write_rois(out / f'{path.stem}_rois.zip', rois)
  return Summary(rows, found_doubts)


def _segment_blocks(segmenter: Segmenter, image: ImageFile, path: Path, out: Path) -> Summary:
  """As for pages, in memory of a few blocks; the overlay is of every so many-th pixel."""
  _, *shape = image.shape
  shape = tuple(shape)

  def read(region):
    grey = image.read(0, *region)
    files.require_finite(grey, path)
    return grey

  threshold = segmenter.splitting.threshold
  with tempfile.TemporaryDirectory(dir=out) as scratch:
    kept = np.lib.format.open_memmap(Path(scratch, 'p.npy'), 'w+', np.float16, shape)
    for region, probability in predict_blocks(segmenter, read, shape):
      kept[region] = probability
    labels = np.lib.format.open_memmap(Path(scratch, 'l.npy'), 'w+', np.int32, shape)
    rows, rois = [], []
    largest = segmenter.support.diameters[2]
    parts = label_blocks(lambda r: kept[r].astype(np.float32), shape, segmenter.splitting, largest)
    for seen, found, _ in parts:
      offset = (seen[0].start, seen[1].start)
      target = labels[seen]
      target[(found > 0) & (target == 0)] = found[(found > 0) & (target == 0)]
      rows += outputs.measure(path.name, 0, found, read(seen), offset)
      rois += outputs.rois_of(found, 0, offset)
    kind = outputs.label_type(len(rows))
    tiled = {
      'probability': (np.float32, lambda r: kept[r]),
      'mask': (np.uint8, lambda r: np.where(kept[r] > threshold, 255, 0)),
      'labels': (kind, lambda r: labels[r]),
    }
    for name, (dtype, part) in tiled.items():
      regions = [(r, c) for r in _spans(shape[0]) for c in _spans(shape[1])]
      target = out / f'{path.stem}_{name}.tif'
      outputs.write_blocks(target, (part(region) for region in regions), shape, LABEL_BLOCK, dtype)
    step = -(-max(shape) // outputs.OVERLAY_SIDE)
    thin = np.concatenate(
      [read((slice(r, r + 1), slice(0, shape[1])))[:, ::step] for r in range(0, shape[0], step)]
    )
    outputs.write_overlay(
      out / f'{path.stem}_overlay.png', stretch(thin), np.asarray(labels[::step, ::step])
    )
  outputs.write_rois(out / f'{path.stem}_rois.zip', rois)
  return Summary(rows, [])


def _spans(size: int) -> list[slice]:
  return [slice(b, min(b + LABEL_BLOCK, size)) for b in range(0, size, LABEL_BLOCK)]
