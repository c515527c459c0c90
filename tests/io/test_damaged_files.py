"""Damaged files of every format are read, or refused in one line; nothing else happens."""

import json
import warnings

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from fscs.errors import InputError
from fscs.io import MASK_SUFFIXES, open_image, read_mask

SHAPE = (40, 60)
GREY = np.random.default_rng(0).integers(0, 255, SHAPE).astype('uint8')
LABELS = np.zeros(SHAPE, 'uint8')
LABELS[5:15, 5:15], LABELS[20:30, 40:50] = 1, 2
DAMAGES = 60  # of each kind


def write_rois(path):
  rois = [ImagejRoi(roitype=ROI_TYPE.RECT, left=5, top=5, right=15, bottom=15)]
  rois.append(ImagejRoi.frompoints([(20, 10), (35, 12), (30, 30)]))
  roifile.roiwrite(path, rois, name=['a.roi', 'b.roi'])


def write_geojson(path):
  ring = [[5, 5], [15, 5], [15, 15], [5, 15], [5, 5]]
  path.write_text(json.dumps({'type': 'Polygon', 'coordinates': [ring]}))


WRITERS = {
  'plain.tif': lambda path: tifffile.imwrite(path, GREY),
  'tiled.tif': lambda path: tifffile.imwrite(path, GREY, tile=(16, 16), compression='zlib'),
  'lzw.tif': lambda path: tifffile.imwrite(path, GREY, compression='lzw', rowsperstrip=5),
  'imagej.tif': lambda path: tifffile.imwrite(path, np.stack([GREY] * 3), imagej=True),
  'set.ome.tif': lambda path: tifffile.imwrite(path, np.stack([GREY] * 3)),
  'big.btf': lambda path: tifffile.imwrite(path, GREY, bigtiff=True),
  'rgb.tif': lambda path: tifffile.imwrite(path, np.stack([GREY] * 3, -1), photometric='rgb'),
  'a.png': lambda path: Image.fromarray(GREY).save(path),
  'palette.png': lambda path: Image.fromarray(GREY).convert('P').save(path),
  'a.jpg': lambda path: Image.fromarray(GREY).save(path),
  'a.bmp': lambda path: Image.fromarray(GREY).save(path),
  'a.gif': lambda path: Image.fromarray(GREY).save(path),
  'a.webp': lambda path: Image.fromarray(GREY).save(path),
  'a.jp2': lambda path: Image.fromarray(GREY).save(path),
  'a.npy': lambda path: np.save(path, GREY),
  'a_seg.npy': lambda path: np.save(path, {'masks': LABELS.astype('uint16')}),
  'labels.tif': lambda path: tifffile.imwrite(path, LABELS),
  'a.roi': lambda path: ImagejRoi.frompoints([(20, 10), (35, 12), (30, 30)]).tofile(path),
  'a.zip': write_rois,
  'a.geojson': write_geojson,
}


def damaged(content, random):
  """The content truncated, with some bytes changed, and with a part moved elsewhere."""
  size = len(content)
  for _ in range(DAMAGES):
    yield content[: random.integers(1, size)]
    flipped = bytearray(content)
    for place in random.integers(0, size, random.integers(1, 9)):
      flipped[place] = random.integers(0, 256)
    yield bytes(flipped)
    begin, end, target = np.sort(random.integers(0, size, 3))[[0, 1, 2]]
    yield content[:begin] + content[end:target] + content[begin:end] + content[target:]


def read_image(path):
  with open_image(path) as image:
    for page in range(min(image.shape[0], 5)):
      rows, columns = slice(0, min(image.shape[1], 500)), slice(0, min(image.shape[2], 500))
      image.read(page, rows, columns)


@pytest.mark.slow
@pytest.mark.parametrize('name', WRITERS)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, name):
  path = tmp_path / name
  WRITERS[name](path)
  random = np.random.default_rng(sum(name.encode()))
  content = path.read_bytes()
  reads = [lambda: read_mask(path, SHAPE, allow_empty=True)]
  if path.suffix not in MASK_SUFFIXES[-3:]:  # outlines are no images
    reads.append(lambda: read_image(path))
  refused = 0
  for broken in damaged(content, random):
    path.write_bytes(broken)
    for read in reads:
      with warnings.catch_warnings(action='ignore'):
        try:
          read()
        except InputError as error:
          refused += 1
          assert path.name in str(error)
          assert '\n' not in str(error)
  assert refused
