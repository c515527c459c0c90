"""Reading grey values and pairing names: what is written with other libraries comes back."""

import os
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from fscs import io as images
from fscs.data.channels import LUMA
from fscs.errors import InputError
from fscs.io.files import MAX_DECODED_PIXELS
from fscs.io.rasters import Raster

WHOLE = slice(None)
INTEGERS = ('uint8', 'uint16', 'uint32', 'int8', 'int16', 'int32')
FLOATS = ('float16', 'float32', 'float64')


def random(shape, dtype):
  rng = np.random.default_rng(0)
  if np.dtype(dtype).kind == 'f':
    return rng.normal(size=shape).astype(dtype)
  if dtype == 'bool':
    return rng.random(shape) < 0.5
  limits = np.iinfo(dtype)
  return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def read(path, channel=None):
  """Every page whole, (N, H, W), and the note; checks shape and dtype on the way."""
  with images.open_image(path, channel) as image:
    pages = np.stack([image.read(page, WHOLE, WHOLE) for page in range(image.shape[0])])
    assert pages.shape == image.shape
    assert pages.dtype == image.dtype
    assert image.dtype.isnative
    return pages, image.note


def assert_reads(path, expected, note='', channel=None):
  pages, found = read(path, channel)
  assert found == note
  assert pages.dtype == expected.dtype.newbyteorder('=')
  np.testing.assert_array_equal(pages, expected)


# What round-trips


@pytest.mark.parametrize('options', [{}, {'bigtiff': True}, {'byteorder': '>'}])
@pytest.mark.parametrize('layout', [{}, {'rowsperstrip': 5}, {'tile': (16, 16)}])
@pytest.mark.parametrize('compression', [None, 'zlib', 'lzma'])
def test_tiff_of_any_layout(tmp_path, options, layout, compression):
  path = tmp_path / 'a.tif'
  pages = random((5, 37, 50), 'uint16')
  tifffile.imwrite(path, pages, compression=compression, **layout, **options)
  assert_reads(path, pages)


@pytest.mark.parametrize('compression', [None, 'packbits', 'tiff_adobe_deflate'])
def test_tiff_of_another_program(tmp_path, compression):
  path = tmp_path / 'a.tif'
  pages = random((3, 37, 50), 'uint8')
  first, *others = map(Image.fromarray, pages)
  first.save(path, compression=compression, save_all=True, append_images=others)
  assert_reads(path, pages)


@pytest.mark.parametrize('compression', [None, 'zlib'])
@pytest.mark.parametrize('dtype', [*INTEGERS, *FLOATS, 'bool'])
def test_tiff_of_any_type(tmp_path, dtype, compression):
  pages = random((2, 9, 14), dtype)
  tifffile.imwrite(tmp_path / 'a.tiff', pages, compression=compression)
  assert_reads(tmp_path / 'a.tiff', pages)


def test_tiff_compressed_by_lzw(tmp_path):
  page = random((30, 40), 'uint16')
  tifffile.imwrite(tmp_path / 'a.tif', page, compression='lzw', predictor=True, tile=(16, 16))
  assert_reads(tmp_path / 'a.tif', page[None])


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'uint16'])
def test_grey_png(tmp_path, dtype):
  page = random((9, 14), dtype)
  Image.fromarray(page).save(tmp_path / 'A.PNG')
  assert_reads(tmp_path / 'A.PNG', page[None])


def test_bmp_and_jpeg_as_pillow_decodes_them(tmp_path):
  page = random((16, 24), 'uint8')
  for name in ('a.bmp', 'a.jpg', 'a.jpeg'):
    Image.fromarray(page).save(tmp_path / name)
    assert_reads(tmp_path / name, np.asarray(Image.open(tmp_path / name))[None])
  assert_reads(tmp_path / 'a.bmp', page[None])


@pytest.mark.parametrize('dtype', [*INTEGERS, *FLOATS, 'bool', 'uint64', '>u2', '>f4'])
def test_npy(tmp_path, dtype):
  path = tmp_path / 'a.npy'
  for shape in ((9, 14), (2, 9, 14), (9, 14, 1), (2, 9, 14, 1)):
    array = random(shape, np.dtype(dtype).newbyteorder('=').name).astype(dtype)
    np.save(path, array)
    assert_reads(path, array.reshape(-1, 9, 14))
  np.save(path, np.asfortranarray(array[..., 0]))
  assert_reads(path, array[..., 0])


# Axes and channels


@pytest.mark.parametrize('compression', [None, 'zlib'])
def test_ome_axes_become_pages_and_channels(tmp_path, compression):
  data = random((2, 3, 4, 8, 10), 'uint16')
  path = tmp_path / 'a.ome.tif'
  tifffile.imwrite(path, data, metadata={'axes': 'TZCYX'}, compression=compression)
  for channel in range(4):
    assert_reads(path, data[:, :, channel].reshape(6, 8, 10), f'channel {channel} of 4', channel)
  assert_reads(path, data[:, :, 0].reshape(6, 8, 10), 'channel 0 of 4')


def test_ome_pyramid_is_read_at_full_resolution(tmp_path):
  page = random((64, 64), 'uint8')
  with tifffile.TiffWriter(tmp_path / 'a.ome.tif') as writer:
    writer.write(page, subifds=1, tile=(16, 16))
    writer.write(page[::2, ::2], subfiletype=1, tile=(16, 16))
  assert_reads(tmp_path / 'a.ome.tif', page[None])


def test_imagej_hyperstack(tmp_path):
  data = random((2, 3, 2, 8, 10), 'uint16')
  path = tmp_path / 'a.tif'
  tifffile.imwrite(path, data, imagej=True, metadata={'axes': 'TZCYX'})
  assert_reads(path, data[:, :, 1].reshape(6, 8, 10), 'channel 1 of 2', 1)


def of_ome(height=None, width=None, **units):
  sizes = {'PhysicalSizeY': height, 'PhysicalSizeX': width}
  return {'ome': True, 'metadata': {k: v for k, v in sizes.items() if v} | units}


def of_imagej(unit, resolution=(4, 2)):
  return {'imagej': True, 'resolution': resolution, 'metadata': {'unit': unit}}


def of_resolution(resolution, unit):
  return {'resolution': resolution, 'resolutionunit': unit}


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    (of_ome(0.5, 0.25), (0.5, 0.25)),
    (of_ome(500, 250, PhysicalSizeYUnit='nm', PhysicalSizeXUnit='nm'), (0.5, 0.25)),
    (of_ome(5e-4, 0.25, PhysicalSizeYUnit='mm'), (0.5, 0.25)),
    (of_ome(0.5, 0.25, PhysicalSizeXUnit='pixel'), None),
    (of_ome(width=0.25), None),
    (of_ome(), None),
    (of_ome(-0.5, 0.25), None),
    (of_imagej('um'), (0.5, 0.25)),
    (of_imagej('micron'), (0.5, 0.25)),
    (of_imagej('\\u00B5m'), (0.5, 0.25)),
    (of_imagej('inch', (50_800, 101_600)), (0.25, 0.5)),
    (of_imagej('mm', (4e3, 2e3)), (0.5, 0.25)),
    (of_imagej('mm', (10, 10)), (100, 100)),
    (of_imagej('pixel'), None),
    (of_imagej(''), None),
    (of_resolution((40_000, 20_000), 'CENTIMETER'), (0.5, 0.25)),
    (of_resolution((25_400, 25_400), 'INCH'), (1, 1)),
    (of_resolution((300, 300), 'INCH'), None),  # of a printer
    (of_resolution((40_000, 20_000), 'NONE'), None),
    (of_resolution((0, 0), 'CENTIMETER'), None),
    ({'description': '<OME xmlns="http://www.openmicroscopy.org/">'}, None),
    ({}, None),
  ],
)
def test_pixel_size_is_what_the_file_says(tmp_path, options, expected):
  tifffile.imwrite(tmp_path / 'a.tif', random((8, 10), 'uint16'), **options)
  with images.open_image(tmp_path / 'a.tif') as image:
    assert image.pixel_size == (expected and pytest.approx(expected))
    assert image.shape == (1, 8, 10)


@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('layout', [{}, {'tile': (16, 16), 'compression': 'zlib'}])
@pytest.mark.parametrize('samples', [3, 4])
def test_rgb_tiff_contiguous_and_planar(tmp_path, planar, layout, samples):
  colours = random((20, 30, samples), 'uint8')
  written = colours if planar == 'contig' else np.moveaxis(colours, -1, 0)
  path = tmp_path / 'a.tif'
  extra = {'extrasamples': ['unassalpha']} if samples == 4 else {}
  tifffile.imwrite(path, written, photometric='rgb', planarconfig=planar, **layout, **extra)
  for channel in range(samples):
    note = f'channel {channel} of {samples}'
    assert_reads(path, colours[None, ..., channel], note, channel)
  grey, note = read(path)
  assert note == 'luma of RGB'
  luma = colours[..., :3] @ np.array([0.299, 0.587, 0.114])
  assert np.abs(grey[0] - luma).max() < 0.5001


@pytest.mark.parametrize(
  ('dtype', 'scale', 'expected'),
  [
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    ('uint8', 1, 124),
    ('uint16', 300, 37_260),
    ('uint32', 20_000_000, 2_484_000_000),
    ('int16', -100, -12_420),
    ('float64', 1, 124.2),
  ],
)
def test_luma(tmp_path, dtype, scale, expected):
  colour = (np.array([200, 100, 50], 'int64') * scale).astype(dtype)
  np.save(tmp_path / 'a.npy', np.stack([colour, 0 * colour])[None])
  pages, note = read(tmp_path / 'a.npy')
  assert note == 'luma of RGB'
  np.testing.assert_allclose(pages[0, 0], [expected, 0], rtol=1e-12)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'uint32'])
def test_luma_of_the_largest_values_does_not_overflow(tmp_path, dtype):
  white = np.full((1, 2, 3), np.iinfo(dtype).max, dtype)
  np.save(tmp_path / 'a.npy', white)
  assert_reads(tmp_path / 'a.npy', white[None, ..., 0], 'luma of RGB')


def test_colour_png_palette_and_alpha(tmp_path):
  path = tmp_path / 'a.png'
  red = np.full((2, 3, 3), (255, 0, 0), 'uint8')
  for image in (
    Image.fromarray(red),
    Image.fromarray(red).convert('P'),
    Image.fromarray(np.dstack([red, [[0, 9, 255]] * 2]).astype('uint8')),
  ):
    image.save(path)
    assert_reads(path, np.full((1, 2, 3), 76, 'uint8'), 'luma of RGB')  # 0.299 * 255 = 76.2
  assert_reads(path, np.array([[[0, 9, 255]] * 2], 'uint8'), 'channel 3 of 4', 3)
  Image.fromarray(np.full((2, 3), 77, 'uint8')).convert('LA').save(path)
  assert_reads(path, np.full((1, 2, 3), 77, 'uint8'), 'luma of RGB')


@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('layout', [{}, {'tile': (16, 16), 'compression': 'zlib'}])
@pytest.mark.parametrize('kind', ['unassalpha', 'assocalpha', 'unspecified'])
def test_opacity_of_a_grey_tiff_is_no_channel(tmp_path, planar, layout, kind):
  samples = random((3, 20, 30, 2), 'uint8')
  written = samples if planar == 'contig' else np.moveaxis(samples, -1, 1)
  tifffile.imwrite(
    tmp_path / 'a.tif',
    written,
    photometric='minisblack',
    planarconfig=planar,
    extrasamples=[kind],
    **layout,
  )
  alpha = kind != 'unspecified'
  assert_reads(tmp_path / 'a.tif', samples[..., 0], '' if alpha else 'channel 0 of 2')
  with images.open_image(tmp_path / 'a.tif') as image:
    region = (2, slice(3, 17), slice(5, 6))
    expected = samples[region][..., : image.channels]
    np.testing.assert_array_equal(image.read_channels(*region), expected)
    assert image.channels == (1 if alpha else 2)
  if alpha:
    with pytest.raises(InputError, match=r'a\.tif has 1 channel, number 0;'):
      images.open_image(tmp_path / 'a.tif', 1)


def test_palette_tiff_gives_indices(tmp_path):
  page = random((5, 6), 'uint8')
  table = random((3, 256), 'uint16')
  tifffile.imwrite(tmp_path / 'a.tif', page, photometric='palette', colormap=table)
  assert_reads(tmp_path / 'a.tif', page[None], 'palette index')


# Regions and memory


@pytest.mark.parametrize('layout', [{}, {'tile': (16, 32), 'compression': 'zlib'}])
@pytest.mark.parametrize('shape', [(2, 70, 90), (2, 70, 90, 3)])
def test_region_equals_slice_of_the_whole(tmp_path, layout, shape):
  path = tmp_path / 'a.tif'
  photometric = 'rgb' if len(shape) == 4 else 'minisblack'
  tifffile.imwrite(path, random(shape, 'uint16'), photometric=photometric, **layout)
  whole, _ = read(path)
  with images.open_image(path) as image:
    for ends in ((3, 40, 50, 90), (69, 70, 0, 1), (60, 200, 0, 0)):
      rows, columns = slice(*ends[:2]), slice(*ends[2:])
      np.testing.assert_array_equal(image.read(1, rows, columns), whole[1, rows, columns])
    with pytest.raises(IndexError, match='page 2 of 2'):
      image.read(2, WHOLE, WHOLE)


@pytest.mark.parametrize('kind', ['tiled', 'plain', 'npy'])
def test_small_region_of_a_large_file_costs_little_memory(tmp_path, kind):
  row = random((1, 6000), 'uint16')
  large = np.broadcast_to(row, (6000, 6000))
  path = tmp_path / ('a.npy' if kind == 'npy' else 'a.tif')
  if kind == 'npy':
    np.save(path, large)
  else:
    layout = {'tile': (256, 256), 'compression': 'zlib'} if kind == 'tiled' else {}
    tifffile.imwrite(path, large, **layout)
  del large
  tracemalloc.start()
  try:
    with images.open_image(path) as image:
      region = image.read(0, slice(3000, 3256), slice(1000, 1256))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  np.testing.assert_array_equal(region, np.repeat(row[:, 1000:1256], 256, axis=0))
  assert peak < 20e6


def test_images_above_the_limit_of_pillow_are_read(tmp_path, monkeypatch):
  page = random((32, 32), 'uint8')
  Image.fromarray(page).save(tmp_path / 'a.png')
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
  assert_reads(tmp_path / 'a.png', page[None])
  assert Image.MAX_IMAGE_PIXELS == 100


# What cannot be read


def halve(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_cut_picture(path):
  Image.fromarray(random((50, 50), 'uint8')).save(path)
  halve(path)


def write_cut_stack(path, **options):
  tifffile.imwrite(path, random((5, 50, 50), 'uint8'), **options)
  halve(path)


def write_spoilt_tiff(path):
  """Right in structure, so only decoding can tell."""
  tifffile.imwrite(path, random((50, 50), 'uint8'), compression='zlib')
  with tifffile.TiffFile(path) as tiff:
    start = tiff.pages[0].dataoffsets[0]
  content = bytearray(path.read_bytes())
  content[start : start + 200] = bytes(200)
  path.write_bytes(content)


def write_sizes(path, *shapes):
  with tifffile.TiffWriter(path) as writer:
    for shape in shapes:
      writer.write(np.ones(shape, 'uint8'), metadata=None)


def write_missing_page(path):
  tifffile.imwrite(path, random((3, 5, 6), 'uint8'), metadata={'axes': 'ZYX'}, compression='zlib')
  text = tifffile.tiffcomment(path).replace('SizeZ="3"', 'SizeZ="4"')
  tifffile.tiffcomment(path, text.replace('PlaneCount="3"', 'PlaneCount="4"').encode())


def write_nothing(path):
  with pytest.warns(UserWarning, match='zero-size'):
    tifffile.imwrite(path, np.ones((0, 4), 'uint8'))


def write_png_with(path, place, header):
  """A colour PNG with some bytes of its header changed."""
  Image.new('RGB', (2, 2)).save(path)
  content = bytearray(path.read_bytes())
  content[place : place + len(header)] = header
  content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, 'big')
  path.write_bytes(content)


UNREADABLE = {
  'missing.tif': (lambda path: None, 'no such file'),
  'folder.tif': (lambda path: path.mkdir(), 'found a folder'),
  'empty.png': (lambda path: path.touch(), 'empty file of 0 bytes'),
  **{
    f'text.{kind}': (lambda path: path.write_text('hello'), f'cannot be decoded as .{kind}')
    for kind in ('png', 'tif', 'npy', 'jpg')
  },
  'a.czi': (lambda path: path.write_text('hello'), "unknown suffix '.czi'"),
  **{f'cut.{kind}': (write_cut_picture, 'cannot be decoded as') for kind in ('png', 'jpg', 'bmp')},
  'cut-imagej.tif': (lambda path: write_cut_stack(path, imagej=True), 'cannot be decoded as'),
  'cut-shaped.tif': (write_cut_stack, 'cannot be decoded as'),
  'cut-plain.tif': (lambda path: write_cut_stack(path, metadata=None), 'cannot be decoded as'),
  'cut-tiled.tif': (lambda path: write_cut_stack(path, tile=(16, 16)), 'cannot be decoded as'),
  'cut-zlib.tif': (lambda path: write_cut_stack(path, compression='zlib'), 'cannot be decoded as'),
  'cut.ome.tif': (lambda path: write_cut_stack(path, compression='zlib'), 'cannot be decoded as'),
  'spoilt.tif': (write_spoilt_tiff, 'cannot be decoded as'),
  'sizes.tif': (lambda path: write_sizes(path, (8, 9), (9, 8)), 'differ in size'),
  'halves.tif': (lambda path: write_sizes(path, (64, 64), (32, 32)), 'differ in size'),
  'complex.tif': (lambda path: tifffile.imwrite(path, np.ones((4, 4), 'c8')), 'complex64'),
  'missing-page.ome.tif': (write_missing_page, 'is missing'),
  'complex.npy': (lambda path: np.save(path, np.ones((4, 4), 'c8')), 'complex64'),
  'long.npy': (lambda path: np.save(path, np.ones((4, 4), 'longdouble')), 'up to 64 bits'),
  'a_seg.npy': (
    lambda path: np.save(path, {}, allow_pickle=True),
    'found Python objects',
  ),
  'none.npy': (lambda path: np.save(path, np.ones((0, 4))), 'found no pixels'),
  'none.tif': (write_nothing, 'found no pixels'),
  'axes.npy': (lambda path: np.save(path, np.ones((2, 2, 4, 5))), 'shape (2, 2, 4, 5)'),
  'huge.png': (
    lambda path: write_png_with(path, 16, (40_000).to_bytes(4, 'big') * 2),
    f'expected at most {MAX_DECODED_PIXELS:,}',
  ),
  'deep.png': (lambda path: write_png_with(path, 24, b'\x10'), 'found a PNG of 16 bits'),
}


@pytest.mark.parametrize('name', UNREADABLE)
def test_unreadable_files_are_named_in_one_line(tmp_path, name, capfd):
  write, message = UNREADABLE[name]
  write(tmp_path / name)
  with pytest.raises(InputError) as error:
    read(tmp_path / name)
  found, mend = str(error.value).rsplit('; ', 1)
  assert found.startswith(f'{tmp_path / name}: ')
  assert message in found
  assert '\n' not in found + mend
  assert capfd.readouterr() == ('', '')


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='this user may read anything')
def test_files_and_folders_that_may_not_be_read(tmp_path):
  path = tmp_path / 'a.png'
  Image.fromarray(random((4, 4), 'uint8')).save(path)
  path.chmod(0)
  with pytest.raises(InputError, match=r'a\.png: the file cannot be read \(Permission denied\)'):
    images.open_image(path)
  (tmp_path / 'folder').mkdir(0)
  with pytest.raises(InputError, match=r'the folder cannot be read \(Permission denied\)'):
    images.find_files(tmp_path / 'folder')


@pytest.mark.parametrize('channel', [-1, 3])
def test_channel_out_of_range(tmp_path, channel):
  np.save(tmp_path / 'a.npy', np.ones((4, 5, 3)))
  with pytest.raises(InputError, match=rf'^--channel {channel}: .*a\.npy has 3 .*expected 0 to 2;'):
    images.open_image(tmp_path / 'a.npy', channel)


def test_a_short_last_axis_of_an_array_is_of_channels(tmp_path):
  for shape, channels in (((40, 50, 2), 2), ((3, 40, 50, 5), 5), ((40, 50, 6), 1)):
    values = random(shape, 'uint16')
    np.save(tmp_path / 'a.npy', values)
    with images.open_image(tmp_path / 'a.npy') as image:
      assert (image.channels, image.colour) == (channels, False)
      first = values if channels == 1 else values[..., 0].reshape(-1, 40, 50)
      np.testing.assert_array_equal([image.read(i, WHOLE, WHOLE) for i in range(len(first))], first)


def test_a_folder_of_images_of_other_kinds_alone_says_what_to_do(tmp_path):
  (tmp_path / 'scans').mkdir()
  (tmp_path / 'scans' / 'a.czi').write_bytes(b'x')
  with pytest.raises(InputError, match=r'such as a\.czi; save them as TIFF'):
    images.find_files(tmp_path / 'scans')


def test_weighted_channels_of_any_layout_and_region(tmp_path):
  weights = (0.25, -0.5, 0.25)
  colours = random((2, 20, 30, 3), 'uint16')
  expected = colours.astype(np.float32) @ np.array(weights, np.float32)
  alpha = np.full((*colours.shape[:3], 1), 9, np.uint16)
  np.save(tmp_path / 'rgba.npy', np.concatenate([colours, alpha], -1))
  tifffile.imwrite(tmp_path / 'rgb.tif', colours, photometric='rgb', tile=(16, 16))
  planes = np.moveaxis(colours, -1, 1)
  tifffile.imwrite(tmp_path / 'planes.ome.tif', planes, metadata={'axes': 'TCYX'})
  for name, colour in (('rgba.npy', True), ('rgb.tif', True), ('planes.ome.tif', False)):
    pages, note = read(tmp_path / name, weights)
    assert note == 'weighted sum of 3 channels'
    assert pages.dtype == np.float32
    np.testing.assert_allclose(pages, expected, rtol=1e-5, atol=0.02)
    with images.open_image(tmp_path / name, weights) as image:
      assert image.colour == colour
      region = (1, slice(3, 17), slice(5, 6))
      np.testing.assert_array_equal(image.read(*region), pages[region])
      np.testing.assert_array_equal(image.read_channels(*region), colours[region])
      plain = np.rint(colours[region] @ np.array(LUMA)) if colour else colours[region][..., 0]
      np.testing.assert_array_equal(image.read_stored(*region), plain)


@pytest.mark.parametrize('axes', ['CYX', 'YXS', 'CYXS', 'CSYX'])
def test_any_range_of_channels_is_read(tmp_path, axes):
  channels = random((6, 20, 30), 'uint16')
  if axes in ('CYXS', 'CSYX'):  # two places on the axis C with three samples each
    stored = channels.reshape(2, 3, 20, 30)
    stored = np.moveaxis(stored, 1, -1) if axes == 'CYXS' else stored
  else:
    stored = channels if axes == 'CYX' else np.moveaxis(channels, 0, -1)
  raster = Raster(tmp_path / 'a.tif', stored, axes)
  assert raster.channels == 6
  region = (slice(2, 9), slice(0, 30, None))
  for first, count in ((0, 6), (0, 1), (2, 3), (3, 3), (5, 1), (1, 5)):
    expected = np.moveaxis(channels[first : first + count, *region], 0, -1)
    np.testing.assert_array_equal(raster.read(0, *region, first, count), expected)


@pytest.mark.parametrize('shape', [(4, 5), (4, 5, 3)])
def test_an_image_with_other_channels_than_were_learned_from_is_named(tmp_path, shape):
  np.save(tmp_path / 'a.npy', np.ones(shape))
  count = 3 if len(shape) == 3 else 1
  with pytest.raises(InputError, match=rf'a\.npy: found {count} channel.* expected the 2 .*=luma'):
    images.open_image(tmp_path / 'a.npy', (0.5, 0.5))


def test_require_finite_counts_the_pixels(tmp_path):
  pixels = np.array([[np.nan, np.inf], [-np.inf, 1]], 'float32')
  tifffile.imwrite(tmp_path / 'a.tif', pixels)
  assert_reads(tmp_path / 'a.tif', pixels[None])
  with pytest.raises(InputError, match=r'^a\.tif: found 3 pixels that are NaN or infinite'):
    images.require_finite(pixels, Path('a.tif'))
  images.require_finite(pixels[1:, 1:], Path('a.tif'))
  images.require_finite(np.ones((2, 2), 'uint8'), Path('a.tif'))


def test_find_files_sorts_and_leaves_out_hidden_files_folders_and_other_kinds(tmp_path):
  for name in ('b.TIF', 'a.png', '.hidden.png', 'notes.txt'):
    (tmp_path / name).touch()
  (tmp_path / 'folder.tif').mkdir()
  assert images.find_files(tmp_path) == [tmp_path / 'a.png', tmp_path / 'b.TIF']
  assert images.find_files(tmp_path, ('.txt',)) == [tmp_path / 'notes.txt']
  for folder, message in (
    (tmp_path / 'none', 'no such folder'),
    (tmp_path / 'a.png', 'found a file, expected a folder'),
    (tmp_path / 'folder.tif', r'found nothing, no file of the kinds \.tif, \.tiff, \.png'),
  ):
    with pytest.raises(InputError, match=rf'{folder}: {message}'):
      images.find_files(folder)
  with pytest.raises(InputError, match=r'found 4 entries, none of the kinds \.npy; put'):
    images.find_files(tmp_path, ('.npy',))


def test_images_that_cannot_be_read_are_not_passed_over_in_silence(tmp_path):
  for name in ('a.png', 'b.GIF', 'c.czi'):
    (tmp_path / name).touch()
  with pytest.warns(UserWarning, match=r'2 of the files cannot be read .* b\.GIF: save them'):
    assert images.find_files(tmp_path) == [tmp_path / 'a.png']


def test_a_link_to_nowhere_is_found_and_named(tmp_path):
  (tmp_path / 'a.tif').symlink_to(tmp_path / 'nowhere.tif')
  (tmp_path / 'b.tif').mkdir()
  (path,) = images.find_files(tmp_path)
  with pytest.raises(InputError, match=r'a\.tif: a link to a file that is not there'):
    images.open_image(path)
