"""Damaged files of every format are read, or refused in one line; nothing else happens."""

import json
import warnings

import numpy as np
import pytest
import roifile
import tifffile
from image_writers import LifImage, write_lif, write_nd2, write_ome_zarr
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi

from fscs.errors import InputError
from fscs.io import IMAGE_SUFFIXES, MASK_SUFFIXES, images_of, open_image, read_mask
from fscs.io.files import suffix_of

SHAPE = (40, 60)
GREY = np.random.default_rng(0).integers(0, 255, SHAPE).astype('uint8')
LABELS = np.zeros(SHAPE, 'uint8')
LABELS[5:15, 5:15], LABELS[20:30, 40:50] = 1, 2
DAMAGES = 60  # of each kind
PLANES = np.stack([GREY] * 2).astype('uint16')


def write_rois(path):
  rois = [ImagejRoi(roitype=ROI_TYPE.RECT, left=5, top=5, right=15, bottom=15)]
  rois.append(ImagejRoi.frompoints([(20, 10), (35, 12), (30, 30)]))
  roifile.roiwrite(path, rois, name=['a.roi', 'b.roi'])


def write_geojson(path):
  ring = [[5, 5], [15, 5], [15, 15], [5, 15], [5, 5]]
  path.write_text(json.dumps({'type': 'Polygon', 'coordinates': [ring]}))


def write_czi(path, compression='uncompressed:'):
  czi = pytest.importorskip('pylibCZIrw.czi')
  with czi.create_czi(str(path), compression_options=compression) as writer:
    for scene, plane in enumerate(PLANES):
      writer.write(plane, plane={'C': 0}, scene=scene, location=(100 * scene, 0))
    writer.write_metadata(channel_names={0: 'DAPI'}, scale_x=1e-6, scale_y=1e-6)


def write_a_lif(path):
  pytest.importorskip('liffile')
  write_lif(path, [LifImage('a', PLANES, 'TYX'), LifImage('b', PLANES, 'CYX', ('x', 'y'))])


def write_an_nd2(path, **options):
  pytest.importorskip('nd2')
  write_nd2(path, PLANES.reshape(2, 1, 1, 1, *SHAPE), **options)


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
  'a.czi': write_czi,
  'zstd.czi': lambda path: write_czi(path, 'zstd1:ExplicitLevel=1'),
  'a.nd2': write_an_nd2,
  'zlib.nd2': lambda path: write_an_nd2(path, compressed=True),
  'a.lif': write_a_lif,
  'a.zarr.zip': lambda path: write_ome_zarr(path, PLANES, 'cyx', names=('x', 'y')),
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
  for ref in images_of([path])[:3]:
    read_scene(ref)


def read_scene(ref):
  with open_image(ref.path, scene=ref.scene) as image:
    for page in range(min(image.shape[0], 5)):
      rows, columns = slice(0, min(image.shape[1], 500)), slice(0, min(image.shape[2], 500))
      image.read(page, rows, columns)


def is_a(path, suffixes):
  return suffix_of(path) in suffixes


@pytest.mark.slow
@pytest.mark.parametrize('name', WRITERS)
def test_damaged_files_are_read_or_refused_in_one_line(tmp_path, name):
  path = tmp_path / name
  WRITERS[name](path)
  random = np.random.default_rng(sum(name.encode()))
  content = path.read_bytes()
  reads = [lambda: read_mask(path, SHAPE, allow_empty=True)] if is_a(path, MASK_SUFFIXES) else []
  if is_a(path, IMAGE_SUFFIXES):
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


@pytest.mark.slow
@pytest.mark.parametrize('zarr_format', [2, 3])
def test_damaged_folders_of_zarr_are_read_or_refused_in_one_line(tmp_path, zarr_format):
  path = tmp_path / 'a.zarr'
  write_ome_zarr(path, PLANES, 'cyx', zarr_format=zarr_format, names=('x', 'y'))
  random = np.random.default_rng(zarr_format)
  refused = 0
  metadata = [file for file in path.rglob('*') if file.name in ('zarr.json', '.zattrs', '.zarray')]
  for file in (*metadata, path / ('0/1.2.1' if zarr_format == 2 else '0/c/1/2/1')):
    content = file.read_bytes()
    for broken in damaged(content, random):
      file.write_bytes(broken)
      with warnings.catch_warnings(action='ignore'):
        try:
          read_image(path)
        except InputError as error:
          refused += 1
          assert path.name in str(error)
          assert '\n' not in str(error)
    file.write_bytes(content)
  assert refused
