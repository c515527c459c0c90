"""Grey values: what is written with other libraries comes back, region by region."""

import numpy as np
import pytest
import tifffile
from helpers import peak_memory, read_region
from PIL import Image

from fscs.data.channels import LUMA
from fscs.errors import InputError
from fscs.io import open_image, rasters, require_finite
from fscs.io.rasters import Raster

WHOLE = slice(None)
TILED = {'tile': (16, 16), 'compression': 'zlib'}
WEIGHTS = (0.25, -0.5, 0.25)


def random(shape, dtype):
  rng = np.random.default_rng(0)
  if np.dtype(dtype).kind == 'f':
    return rng.normal(size=shape).astype(dtype)
  if np.dtype(dtype) == bool:
    return rng.random(shape) < 0.5
  limits = np.iinfo(dtype)
  return rng.integers(limits.min, limits.max, shape, np.dtype(dtype).newbyteorder('='), True)


def read(path, channel=None):
  """Every page whole, (N, H, W), and the note."""
  with open_image(path, channel) as image:
    pages = np.stack([image.read(page, WHOLE, WHOLE) for page in range(image.shape[0])])
    assert (pages.shape, pages.dtype) == (image.shape, image.dtype)
    assert image.dtype.isnative
    return pages, image.source


def assert_reads(path, expected, note='', channel=None):
  pages, found = read(path, channel)
  assert found == note
  assert pages.dtype == expected.dtype.newbyteorder('=')
  np.testing.assert_array_equal(pages, expected)


# Round trips


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'uint16', 'int32', 'float16', 'float64'])
@pytest.mark.parametrize('bytes_', [{}, {'byteorder': '>'}, {'bigtiff': True}])
@pytest.mark.parametrize(
  'layout',
  [{}, {'rowsperstrip': 5, 'compression': 'zlib'}, {'tile': (16, 16), 'compression': 'lzw'}],
)
def test_tiff_of_any_layout_and_type(tmp_path, bytes_, layout, dtype):
  pages = random((2, 37, 50), dtype)
  tifffile.imwrite(tmp_path / 'a.tif', pages, **bytes_, **layout)
  assert_reads(tmp_path / 'a.tif', pages)


@pytest.mark.parametrize('dtype', ['uint8', 'int32', 'float16', 'bool', 'uint64', '>u2', '>f4'])
def test_npy(tmp_path, dtype):
  path = tmp_path / 'a.npy'
  for shape in ((9, 14), (2, 9, 14), (9, 14, 1), (2, 9, 14, 1)):
    array = random(shape, dtype).astype(dtype)
    np.save(path, array)
    assert_reads(path, array.reshape(-1, 9, 14))
  np.save(path, np.asfortranarray(array[..., 0]))
  assert_reads(path, array[..., 0])


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'uint16'])
def test_grey_png_above_the_limit_of_pillow(tmp_path, monkeypatch, dtype):
  page = random((9, 14), dtype)
  Image.fromarray(page).save(tmp_path / 'A.PNG')
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 50)
  assert_reads(tmp_path / 'A.PNG', page[None])
  assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize('name', ['a.bmp', 'a.jpg', 'a.jpeg'])
def test_bmp_and_jpeg_are_as_pillow_decodes_them(tmp_path, name):
  Image.fromarray(random((9, 14), 'uint8')).save(tmp_path / name)
  assert_reads(tmp_path / name, np.asarray(Image.open(tmp_path / name))[None])


# Axes and channels


@pytest.mark.parametrize(
  ('name', 'options'),
  [('a.ome.tif', {}), ('a.ome.tif', {'compression': 'zlib'}), ('a.tif', {'imagej': True})],
)
def test_other_axes_than_channels_become_pages(tmp_path, name, options):
  data = random((2, 3, 4, 8, 10), 'uint16')
  tifffile.imwrite(tmp_path / name, data, metadata={'axes': 'TZCYX'}, **options)
  for channel in (0, 3):
    expected = data[:, :, channel].reshape(6, 8, 10)
    assert_reads(tmp_path / name, expected, f'channel {channel} of 4', channel)
  assert_reads(tmp_path / name, data[:, :, 0].reshape(6, 8, 10), 'channel 0 of 4')
  with open_image(tmp_path / name) as image:
    assert image.place_of(5) == {'T': 1, 'Z': 2}


def test_a_pyramid_is_read_at_full_resolution(tmp_path):
  page = random((64, 64), 'uint8')
  with tifffile.TiffWriter(tmp_path / 'a.ome.tif') as writer:
    writer.write(page, subifds=1, tile=(16, 16))
    writer.write(page[::2, ::2], subfiletype=1, tile=(16, 16))
  assert_reads(tmp_path / 'a.ome.tif', page[None])


@pytest.mark.parametrize('planar', ['contig', 'separate'])
@pytest.mark.parametrize('layout', [{}, TILED])
@pytest.mark.parametrize('samples', [3, 4])
def test_rgb_tiff(tmp_path, planar, layout, samples):
  colours = random((20, 30, samples), 'uint8')
  written = colours if planar == 'contig' else np.moveaxis(colours, -1, 0)
  extra = {'extrasamples': ['unassalpha']} if samples == 4 else {}
  path = tmp_path / 'a.tif'
  tifffile.imwrite(path, written, photometric='rgb', planarconfig=planar, **layout, **extra)
  for channel in range(samples):
    note = f'channel {channel} of {samples}'
    assert_reads(path, colours[None, ..., channel], note, channel)
  luma = np.rint(colours[..., :3] @ np.array(LUMA)).astype('uint8')
  assert_reads(path, luma[None], 'luma of RGB')


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
  largest = np.full(3, 1 if dtype == 'float64' else np.iinfo(dtype).max, dtype)
  np.save(tmp_path / 'a.npy', np.stack([colour, largest])[None])
  pages, note = read(tmp_path / 'a.npy')
  assert note == 'luma of RGB'
  np.testing.assert_allclose(pages[0, 0], [expected, largest[0]], rtol=1e-12)


def test_colour_png_with_palette_and_alpha(tmp_path):
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


@pytest.mark.parametrize(
  ('planar', 'layout', 'kind', 'channels'),
  [
    ('contig', {}, 'unassalpha', 1),
    ('separate', TILED, 'unassalpha', 1),
    ('separate', {}, 'assocalpha', 1),
    ('contig', TILED, 'unspecified', 2),
  ],
)
def test_opacity_of_a_grey_tiff_is_no_channel(tmp_path, planar, layout, kind, channels):
  samples = random((3, 20, 30, 2), 'uint8')
  written = samples if planar == 'contig' else np.moveaxis(samples, -1, 1)
  path = tmp_path / 'a.tif'
  options = {'photometric': 'minisblack', 'planarconfig': planar, 'extrasamples': [kind]}
  tifffile.imwrite(path, written, **options, **layout)
  assert_reads(path, samples[..., 0], '' if channels == 1 else 'channel 0 of 2')
  with open_image(path) as image:
    region = (2, slice(3, 17), slice(5, 6))
    np.testing.assert_array_equal(image.read_channels(*region), samples[region][..., :channels])


def test_palette_tiff_gives_indices(tmp_path):
  page, table = random((5, 6), 'uint8'), random((3, 256), 'uint16')
  tifffile.imwrite(tmp_path / 'a.tif', page, photometric='palette', colormap=table)
  assert_reads(tmp_path / 'a.tif', page[None], 'palette index')


def test_a_short_last_axis_of_an_array_holds_channels(tmp_path):
  for shape, channels in (((40, 50, 2), 2), ((3, 40, 50, 5), 5), ((40, 50, 6), 1)):
    values = random(shape, 'uint16')
    np.save(tmp_path / 'a.npy', values)
    first = values if channels == 1 else values[..., 0].reshape(-1, 40, 50)
    assert_reads(tmp_path / 'a.npy', first, '' if channels == 1 else f'channel 0 of {channels}')


@pytest.mark.parametrize('axes', ['CYX', 'YXS', 'CYXS', 'CSYX'])
def test_any_range_of_channels_is_read(tmp_path, axes):
  channels = random((6, 20, 30), 'uint16')
  if len(axes) == 4:  # two indices on the axis C with three samples each
    stored = channels.reshape(2, 3, 20, 30)
    stored = np.moveaxis(stored, 1, -1) if axes == 'CYXS' else stored
  else:
    stored = channels if axes == 'CYX' else np.moveaxis(channels, 0, -1)
  raster = Raster(tmp_path / 'a.tif', stored, axes)
  assert raster.channels == 6
  region = (slice(2, 9), slice(0, 30))
  for first, count in ((0, 6), (0, 1), (2, 3), (3, 3), (5, 1), (1, 5)):
    expected = np.moveaxis(channels[first : first + count, *region], 0, -1)
    np.testing.assert_array_equal(raster.read(0, *region, first, count), expected)


@pytest.mark.parametrize('name', ['rgba.npy', 'rgb.tif', 'planes.ome.tif'])
def test_weighted_channels(tmp_path, name):
  channels = random((2, 20, 30, 3), 'uint16')
  if name == 'rgba.npy':
    np.save(tmp_path / name, np.pad(channels, [(0, 0), (0, 0), (0, 0), (0, 1)]))
  elif name == 'rgb.tif':
    tifffile.imwrite(tmp_path / name, channels, photometric='rgb', tile=(16, 16))
  else:
    planes = np.moveaxis(channels, -1, 1)
    tifffile.imwrite(tmp_path / name, planes, metadata={'axes': 'TCYX'})
  pages, note = read(tmp_path / name, WEIGHTS)
  assert (note, pages.dtype) == ('weighted sum of 3 channels', np.float32)
  expected = channels.astype(np.float32) @ np.array(WEIGHTS, np.float32)
  np.testing.assert_allclose(pages, expected, rtol=1e-5, atol=0.02)
  region = (1, slice(3, 17), slice(5, 6))
  with open_image(tmp_path / name, WEIGHTS) as image:
    np.testing.assert_array_equal(image.read(*region), pages[region])
    np.testing.assert_array_equal(image.read_channels(*region), channels[region])
    if image.colour:
      stored, shown = np.rint(channels[region] @ np.array(LUMA)), channels[region]
    else:
      stored, shown = channels[region][..., 0], pages[region]
    np.testing.assert_array_equal(image.read_stored(*region), stored)
    np.testing.assert_array_equal(image.read_shown(*region), shown)


@pytest.mark.parametrize(
  ('shape', 'channel'),
  [((4, 5, 3), -1), ((4, 5, 3), 3), ((4, 5), WEIGHTS), ((4, 5, 3), (0.5, 0.5))],
)
def test_channels_that_a_file_does_not_have(tmp_path, shape, channel):
  np.save(tmp_path / 'a.npy', np.ones(shape))
  with pytest.raises(InputError, match=r'a\.npy') as error:
    open_image(tmp_path / 'a.npy', channel)
  assert error.value.arguments == ('channel',)


# Regions and memory


@pytest.mark.parametrize('layout', [{}, TILED])
@pytest.mark.parametrize('shape', [(2, 70, 90), (2, 70, 90, 3)])
def test_a_region_equals_the_slice_of_the_whole(tmp_path, layout, shape):
  path = tmp_path / 'a.tif'
  photometric = 'rgb' if len(shape) == 4 else 'minisblack'
  tifffile.imwrite(path, random(shape, 'uint16'), photometric=photometric, **layout)
  whole, _ = read(path)
  with open_image(path) as image:
    for ends in ((3, 40, 50, 90), (69, 70, 0, 1), (60, 200, 0, 0)):
      rows, columns = slice(*ends[:2]), slice(*ends[2:])
      np.testing.assert_array_equal(image.read(1, rows, columns), whole[1, rows, columns])
    with pytest.raises(IndexError):
      image.read(2, WHOLE, WHOLE)


@pytest.mark.parametrize('name', ['tiled.tif', 'plain.tif', 'a.npy'])
def test_a_small_region_of_a_large_file_costs_little_memory(tmp_path, name):
  row = random((1, 3000), 'uint16')
  large = np.broadcast_to(row, (3000, 3000))
  if name == 'a.npy':
    np.save(tmp_path / name, large)
  else:
    layout = {'tile': (256, 256), 'compression': 'zlib'} if name == 'tiled.tif' else {}
    tifffile.imwrite(tmp_path / name, large, **layout)
  region, peak = peak_memory(
    lambda: read_region(tmp_path / name, slice(2000, 2256), slice(1000, 1256))
  )
  np.testing.assert_array_equal(region, np.repeat(row[:, 1000:1256], 256, axis=0))
  assert peak < large.nbytes / 4


# Pixel size and values


def ome(height=None, width=None, **units):
  sizes = {'PhysicalSizeY': height, 'PhysicalSizeX': width}
  return {'ome': True, 'metadata': {k: v for k, v in sizes.items() if v} | units}


def imagej(unit, resolution=(4, 2)):
  return {'imagej': True, 'resolution': resolution, 'metadata': {'unit': unit}}


def tags(resolution, unit):
  return {'resolution': resolution, 'resolutionunit': unit}


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    (ome(0.5, 0.25), (0.5, 0.25)),
    (ome(500, 2.5e-4, PhysicalSizeYUnit='nm', PhysicalSizeXUnit='mm'), (0.5, 0.25)),
    (ome(0.5, 0.25, PhysicalSizeXUnit='pixel'), None),
    (ome(width=0.25), None),
    (ome(-0.5, 0.25), None),
    (imagej('micron'), (0.5, 0.25)),
    (imagej('\\u00B5m'), (0.5, 0.25)),
    (imagej('inch', (50_800, 101_600)), (0.25, 0.5)),
    (imagej('mm', (10, 10)), (100, 100)),
    (imagej('micrometers'), (0.5, 0.25)),
    (imagej('Nanometres', (0.004, 0.002)), (0.5, 0.25)),
    (imagej('inch', (96, 96)), None),  # of a screen
    (imagej('pixel'), None),
    (imagej('px'), None),
    (imagej('second'), None),
    (tags((40_000, 20_000), 'CENTIMETER'), (0.5, 0.25)),
    (tags((300, 300), 'INCH'), None),  # of a printer
    (tags((40_000, 20_000), 'NONE'), None),
    (tags((0, 0), 'CENTIMETER'), None),
    ({'description': '<OME xmlns="http://www.openmicroscopy.org/">'}, None),
    ({}, None),
  ],
)
def test_pixel_size_is_what_the_file_states(tmp_path, options, expected):
  tifffile.imwrite(tmp_path / 'a.tif', random((8, 10), 'uint16'), **options)
  with open_image(tmp_path / 'a.tif') as image:
    assert image.pixel_size == (expected and pytest.approx(expected))


def test_require_finite_counts_the_pixels(tmp_path):
  pixels = np.array([[np.nan, np.inf], [-np.inf, 1]], 'float32')
  with pytest.raises(InputError, match=r'a\.tif: found 3 pixels'):
    require_finite(pixels, tmp_path / 'a.tif')
  require_finite(pixels[1:, 1:], tmp_path / 'a.tif')
  require_finite(np.ones((2, 2), 'uint8'), tmp_path / 'a.tif')


def test_slides_are_read_without_their_label_and_overview(tmp_path):
  pixels = random((160, 200, 3), 'uint8')
  with tifffile.TiffWriter(tmp_path / 'a.svs') as writer:
    options = {'photometric': 'rgb', 'metadata': None}
    text = 'Aperio Image Library v1'
    writer.write(pixels, tile=(64, 64), description=f'{text}|AppMag = 20|MPP = 0.5', **options)
    writer.write(pixels[::4, ::4], description=text, **options)  # thumbnail
    writer.write(pixels[::2, ::2], tile=(64, 64), description=text, **options)  # pyramid
  with open_image(tmp_path / 'a.svs') as image:
    assert image.shape == (1, 160, 200)
    np.testing.assert_array_equal(image.read_channels(0, WHOLE, WHOLE), pixels)


def test_a_film_is_refused_rather_than_its_first_picture_taken(tmp_path):
  frames = [Image.fromarray(random((9, 14), 'uint8')) for _ in range(3)]
  frames[1] = frames[1].rotate(180)
  frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
  with pytest.raises(InputError, match='frames'):
    open_image(tmp_path / 'a.gif')
  frames[0].save(tmp_path / 'b.gif')
  assert_reads(tmp_path / 'b.gif', np.asarray(frames[0])[None], 'luma of RGB')


# Names of channels


def write_named(path, names):
  data = random((2, len(names), 8, 10), 'uint16')
  if path.name.endswith('.ome.tif'):
    metadata = {'axes': 'ZCYX', 'Channel': {'Name': names}}
    tifffile.imwrite(path, data, metadata=metadata)
  else:
    metadata = {'axes': 'ZCYX', 'Labels': [*names, *names]}
    tifffile.imwrite(path, data, imagej=True, metadata=metadata)
  return data


@pytest.mark.parametrize('name', ['a.ome.tif', 'a.tif'])
def test_a_channel_is_chosen_by_its_name(tmp_path, name):
  data = write_named(tmp_path / name, ['DAPI', 'GFP', 'gfp'])
  assert_reads(tmp_path / name, data[:, 0], 'channel 0 of 3 (DAPI)', 'dapi')
  assert_reads(tmp_path / name, data[:, 2], 'channel 2 of 3 (gfp)', 'gfp')
  with pytest.raises(InputError, match='DAPI, GFP, gfp') as error:
    open_image(tmp_path / name, 'Gfp')  # one of two
  assert error.value.arguments == ('channel',)


def test_channels_without_names_are_chosen_by_number_only(tmp_path):
  data = random((3, 8, 10), 'uint16')
  tifffile.imwrite(tmp_path / 'a.ome.tif', data, metadata={'axes': 'CYX'})
  tifffile.imwrite(tmp_path / 'a.tif', data, imagej=True, metadata={'axes': 'CYX'})
  for name in ('a.tif', 'a.ome.tif'):
    with pytest.raises(InputError, match='3 channels'):
      open_image(tmp_path / name, 'DAPI')


# Pixels without data


def write_nodata(path, image, text, **options):
  tifffile.imwrite(path, image, extratags=[(42113, 's', 0, text, True)], **options)


@pytest.mark.parametrize(
  ('dtype', 'text', 'value'),
  [
    ('float32', '-9999', -9999),
    ('float32', '-3.40282346638529e+38', np.finfo('float32').min),
    ('float32', 'nan', np.nan),
    ('float64', '-1.7976931348623157e+308', np.finfo('float64').min),
    ('float32', '-1.7976931348623157e+308', -np.inf),
    ('float16', 'inf', np.inf),
    ('uint16', '65535', 65535),
    ('uint8', '0', 0),
    ('int16', '-32768.0', -32768),
    ('int64', '-9223372036854775808', -(2**63)),
    ('uint64', '18446744073709551615', 2**64 - 1),
  ],
)
@pytest.mark.parametrize('layout', [{}, TILED])
def test_pixels_without_data_become_the_lowest_other_value(tmp_path, dtype, text, value, layout):
  pages = np.stack([np.arange(3, 2003).reshape(40, 50) % 200 + 3] * 2).astype(dtype)
  pages[1] += 2
  expected = pages.copy()
  pages[:, :10] = value
  expected[0, :10], expected[1, :10] = 3, 5
  write_nodata(tmp_path / 'a.tif', pages, text, photometric='minisblack', **layout)
  assert_reads(tmp_path / 'a.tif', expected)
  with open_image(tmp_path / 'a.tif') as image:
    (note,) = image.notes
    assert 'no data' in note
    np.testing.assert_array_equal(  # the lowest value of the page, not of the region
      image.read(1, slice(5, 12), slice(7, 9)), expected[1, 5:12, 7:9]
    )


@pytest.mark.parametrize(
  ('dtype', 'text', 'noted'),
  [
    ('float32', 'none', True),
    ('uint8', '12 or 13', True),
    ('uint8', '-9999', False),
    ('uint8', '3.5', False),
    ('uint16', 'nan', False),
    ('int16', '-inf', False),
    ('float32', '', False),
    ('bool', '0', False),
  ],
)
def test_a_tag_that_no_pixel_can_have_changes_nothing(tmp_path, dtype, text, noted):
  image = random((1, 20, 30), dtype)
  write_nodata(tmp_path / 'a.tif', image, text, photometric='minisblack')
  assert_reads(tmp_path / 'a.tif', image)
  with open_image(tmp_path / 'a.tif') as file:
    assert any('GDAL' in note for note in file.notes) == noted


def test_every_channel_has_its_own_lowest_value_and_blocks_and_turns_change_nothing(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(rasters, '_BLOCK', 16)
  image = random((37, 50, 3), 'uint8') | 1  # odd values
  expected = image.copy()
  image[:20, :20], image[30, 40, 1] = 0, 0
  missing = image == 0
  for channel in range(3):
    lowest = image[..., channel][~missing[..., channel]].min()
    expected[..., channel][missing[..., channel]] = lowest
  turned = (274, 'H', 1, 6, True)
  for config in ('contig', 'separate'):
    stored = np.moveaxis(image, -1, 0) if config == 'separate' else image
    tifffile.imwrite(
      tmp_path / 'a.tif',
      stored,
      photometric='rgb',
      planarconfig=config,
      extratags=[(42113, 's', 0, '0', True), turned],
    )
    with open_image(tmp_path / 'a.tif') as file:
      np.testing.assert_array_equal(file.read_channels(0, WHOLE, WHOLE), np.rot90(expected, -1))
      np.testing.assert_array_equal(
        file.read_channels(0, slice(3, 9), WHOLE, 1, 1), np.rot90(expected, -1)[3:9, :, 1:2]
      )


def test_a_page_without_any_data_is_black_and_the_lowest_value_is_that_shown(tmp_path):
  image = np.stack([np.full((8, 9), 255), np.arange(72).reshape(8, 9)]).astype(np.uint8)
  write_nodata(tmp_path / 'a.tif', image, '255', photometric='miniswhite')
  assert_reads(tmp_path / 'a.tif', np.stack([0 * image[0], 255 - image[1]]))
  image[1, 0] = 255  # would be 0 if inverted
  write_nodata(tmp_path / 'a.tif', image, '255', photometric='miniswhite')
  expected = 255 - image[1]
  expected[0] = 255 - 71
  assert_reads(tmp_path / 'a.tif', np.stack([0 * image[0], expected]))
