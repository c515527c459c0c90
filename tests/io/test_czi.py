"""CZI files as the library of ZEISS writes them: scenes, mosaics, pages, channels, compression."""

import struct

import imagecodecs
import numpy as np
import pytest
from helpers import peak_memory, read_pages, read_region

from fscs.errors import InputError
from fscs.io import images_of, open_image

pyczi = pytest.importorskip('pylibCZIrw.czi')

WHOLE = slice(None)


def random(shape, dtype='uint16'):
  return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


def write(path, planes, compression='uncompressed:', **metadata):
  """Write planes (values, plane, scene, location) each."""
  with pyczi.create_czi(str(path), compression_options=compression) as writer:
    for values, plane, scene, location in planes:
      writer.write(values, plane=plane, scene=scene, location=location)
    if metadata:
      writer.write_metadata(**metadata)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'float32'])
@pytest.mark.parametrize(
  'compression',
  ['uncompressed:', 'zstd0:ExplicitLevel=3', 'zstd1:ExplicitLevel=2;PreProcess=HiLoByteUnpack'],
)
@pytest.mark.parametrize('colours', [False, True])
def test_pixels_of_every_type(tmp_path, dtype, compression, colours):
  if colours and dtype == 'float32':
    pytest.skip('not written by the library')
  values = random((40, 60, 3) if colours else (40, 60), dtype)
  write(tmp_path / 'a.czi', [(values, {'C': 0}, 0, (0, 0))], compression)
  with open_image(tmp_path / 'a.czi') as image:
    assert (image.shape, image.dtype, image.colour) == ((1, 40, 60), np.dtype(dtype), colours)
    region = (slice(3, 17), slice(5, 60))
    expected = values[..., ::-1] if colours else values[..., None]  # written blue first
    np.testing.assert_array_equal(image.read_channels(0, *region), expected[region])


def test_pages_and_channels(tmp_path):
  data = random((2, 3, 2, 40, 60))  # T, Z, C
  planes = [
    (data[t, z, c], {'T': t, 'Z': z, 'C': c}, 0, (-7, 30))
    for t in range(2)
    for z in range(3)
    for c in range(2)
  ]
  names = {0: 'DAPI', 1: 'EGFP'}
  write(tmp_path / 'a.czi', planes, channel_names=names, scale_x=0.25e-6, scale_y=0.5e-6)
  with open_image(tmp_path / 'a.czi', 'EGFP') as image:
    assert image.shape == (6, 40, 60)
    assert image.place_of(4) == {'T': 1, 'Z': 1}
    assert image.pixel_size == pytest.approx((0.5, 0.25))
    assert image.source == 'channel 1 of 2 (EGFP)'
    assert image.notes == ()
  np.testing.assert_array_equal(
    read_pages(tmp_path / 'a.czi', None, 1), data[:, :, 1].reshape(6, 40, 60)
  )
  with pytest.raises(InputError, match='DAPI, EGFP'):
    open_image(tmp_path / 'a.czi', 'Cy5')


def test_scenes_are_images_of_different_sizes(tmp_path):
  path = tmp_path / 'a.czi'
  first, second = random((40, 60)), random((30, 20))
  write(path, [(first, {'C': 0}, 0, (0, 0)), (second, {'C': 0}, 1, (500, 200))])
  assert [ref.name for ref in images_of([path])] == ['a_scene0.czi', 'a_scene1.czi']
  np.testing.assert_array_equal(read_pages(path, '0')[0], first)
  np.testing.assert_array_equal(read_pages(path, 'scene1')[0], second)
  with pytest.raises(InputError, match='scene0, scene1'):
    open_image(path)


def test_the_names_of_scenes(tmp_path):
  path = tmp_path / 'a.czi'
  planes = [(random((40, 60)), {'C': 0}, scene, (100 * scene, 0)) for scene in range(2)]
  write(path, planes, document_name=200 * '-')
  content = path.read_bytes()
  scenes = b'<S><Scenes><Scene Index="0" Name="A1"/><Scene Index="1" Name="B2"/></Scenes></S>'
  longer = content.replace(b'<Dimensions>', b'<Dimensions>' + scenes)
  assert longer != content
  shorter = longer.replace(200 * b'-', (200 - len(scenes)) * b'-')
  path.write_bytes(shorter)
  assert [ref.stem for ref in images_of([path])] == ['a_A1', 'a_B2']


def test_tiles_of_a_mosaic_are_joined(tmp_path):
  path = tmp_path / 'a.czi'
  whole = random((90, 100))
  places = [(0, 0), (60, 0), (0, 50), (60, 50)]  # x, y
  tiles = [(whole[y : y + 40, x : x + 40].copy(), {'C': 0}, 0, (x, y)) for x, y in places]
  write(path, tiles)
  shown = np.zeros_like(whole)
  for x, y in places:
    shown[y : y + 40, x : x + 40] = whole[y : y + 40, x : x + 40]
  np.testing.assert_array_equal(read_pages(path)[0], shown)
  with open_image(path) as image:
    region = (slice(35, 60), slice(30, 70))
    np.testing.assert_array_equal(image.read(0, *region), shown[region])


def test_of_overlapping_tiles_the_later_one_is_shown(tmp_path):
  tiles = [(random((40, 40)), {'C': 0}, 0, (0, 0)), (random((40, 40)) + 300, {'C': 0}, 0, (20, 10))]
  write(tmp_path / 'a.czi', tiles)
  with pyczi.open_czi(str(tmp_path / 'a.czi')) as reader:
    expected = reader.read()[..., 0]
  np.testing.assert_array_equal(read_pages(tmp_path / 'a.czi')[0], expected)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_jpeg_xr(tmp_path, dtype):
  path = tmp_path / 'a.czi'
  values = random((40, 60), dtype)
  values[:] = values[0, 0]
  write(path, [(values, {'C': 0}, 0, (0, 0))])
  encoded = imagecodecs.jpegxr_encode(values)
  content = bytearray(path.read_bytes())
  for begin in range(len(content) - 32):  # both copies of the entry of the directory
    if content[begin : begin + 2] == b'DV' and content[begin + 32 : begin + 33] in b'XYC':
      content[begin + 18 : begin + 22] = struct.pack('<i', 4)
  pixels = content.index(values.tobytes())
  content[pixels : pixels + len(encoded)] = encoded
  path.write_bytes(content)
  with pyczi.open_czi(str(path)) as reader:
    np.testing.assert_array_equal(reader.read()[..., 0], values)
  np.testing.assert_array_equal(read_pages(path)[0], values)


def test_planes_that_are_not_stored_are_noted(tmp_path):
  planes = [
    (random((40, 60)), {'Z': z, 'C': c}, 0, (0, 0)) for z in range(2) for c in range(2) if z <= c
  ]
  write(tmp_path / 'a.czi', planes)
  with open_image(tmp_path / 'a.czi') as image:
    (note,) = image.notes
    assert note.startswith('1 of 4 planes')


def test_channels_of_different_types_are_refused(tmp_path):
  planes = [(random((40, 60), dtype), {'C': c}, 0, (0, 0)) for c, dtype in enumerate(('u1', 'u2'))]
  write(tmp_path / 'a.czi', planes)
  with pytest.raises(InputError, match='differ in type'):
    open_image(tmp_path / 'a.czi')


def test_a_small_region_costs_little_memory(tmp_path):
  path = tmp_path / 'a.czi'
  large = np.ascontiguousarray(np.broadcast_to(random((1, 3000)), (3000, 3000)))
  write(path, [(large, {'C': 0}, 0, (0, 0))])
  _, peak = peak_memory(lambda: read_region(path, slice(2000, 2256), slice(1000, 1256)))
  assert peak < large.nbytes / 4


@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.9, 0.99])
def test_a_file_that_was_cut_is_refused(tmp_path, share):
  path = tmp_path / 'a.czi'
  write(path, [(random((40, 60)), {'C': c}, 0, (0, 0)) for c in range(2)])
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(InputError, match=r'a\.czi') as error:
    read_pages(path)
  assert '\n' not in str(error.value)
  assert [ref.name for ref in images_of([path])] == ['a.czi']
