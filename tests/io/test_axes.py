"""Axes: those that a file names, the rule for others, and what the user says."""

import numpy as np
import pytest
import tifffile
from helpers import write_ome_set

from fscs.errors import InputError
from fscs.io import open_image, require_pages

WHOLE = slice(None)
ONE = np.arange(2400, dtype='uint16').reshape(40, 60)
CHANNELS = np.stack([ONE, ONE // 2])


def write(path, array):
  if path.suffix == '.npy':
    np.save(path, array)
  elif path.stem.startswith('tiled'):
    tifffile.imwrite(path, array, photometric='minisblack', tile=(16, 16), compression='zlib')
  else:
    tifffile.imwrite(path, array)


@pytest.mark.parametrize('name', ['a.tif', 'a.npy', 'a.btf'])
def test_a_short_last_axis_holds_channels(tmp_path, name):
  write(tmp_path / name, np.moveaxis(CHANNELS, 0, -1))
  with open_image(tmp_path / name, channel=1) as image:
    assert (image.shape, image.channels) == ((1, 40, 60), 2)
    np.testing.assert_array_equal(image.read(0, WHOLE, WHOLE), ONE // 2)


@pytest.mark.parametrize('name', ['a.tif', 'tiled.tif', 'a.npy'])
def test_a_short_first_axis_holds_pages_unless_the_user_says_channels(tmp_path, name):
  write(tmp_path / name, CHANNELS)
  with open_image(tmp_path / name) as image:
    assert (image.shape, image.channels) == ((2, 40, 60), 1)
  for channel in (0, 1):
    with open_image(tmp_path / name, channel, axes='CYX') as image:
      assert (image.shape, image.channels) == ((1, 40, 60), 2)
      np.testing.assert_array_equal(image.read(0, WHOLE, WHOLE), CHANNELS[channel])
  with open_image(tmp_path / name, axes='ZXY') as image:  # columns before rows
    assert image.shape == (2, 60, 40)


@pytest.mark.parametrize(
  ('shape', 'axes', 'expected', 'channels'),
  [
    ((5, 2, 40, 60), 'TCYX', (5, 40, 60), 2),
    ((40, 60, 5), 'YXC', (1, 40, 60), 5),
    ((1, 2, 1, 40, 60), 'CYX', (1, 40, 60), 2),
    ((40, 60), 'CYX', (1, 40, 60), 1),
  ],
)
@pytest.mark.parametrize('name', ['a.tif', 'a.npy'])
def test_axes_that_the_user_names(tmp_path, name, shape, axes, expected, channels):
  write(tmp_path / name, np.zeros(shape, 'uint16'))
  with open_image(tmp_path / name, axes=axes) as image:
    assert (image.shape, image.channels) == (expected, channels)


def test_wrong_axes_are_named(tmp_path):
  write(tmp_path / 'a.tif', CHANNELS)
  for axes, message in (('TCYX', 'a.tif: found an array of shape'), ('CY', "axes is 'CY'")):
    with pytest.raises(InputError, match=message) as error:
      open_image(tmp_path / 'a.tif', axes=axes)
    assert 'axes' in error.value.arguments
  write(tmp_path / 'mask.tif', ONE)
  with pytest.raises(InputError, match='axes') as error:
    require_pages(tmp_path / 'mask.tif', 2, 'a.tif')
  assert error.value.arguments == ('axes',)


@pytest.mark.parametrize('options', [{}, {'compression': 'zlib'}, {'photometric': 'rgb'}])
def test_equal_pages_written_one_by_one_are_a_stack(tmp_path, options):
  shape = (40, 60, 3) if options.get('photometric') == 'rgb' else (40, 60)
  pages = np.random.default_rng(0).integers(0, 255, (3, *shape), dtype='uint8')
  with tifffile.TiffWriter(tmp_path / 'a.tif') as writer:
    for page in pages:
      writer.write(page, **options)
  with open_image(tmp_path / 'a.tif') as image:
    assert image.shape == (3, 40, 60)
    for number, page in enumerate(pages):
      channels = image.read_channels(number, WHOLE, WHOLE)
      np.testing.assert_array_equal(channels, page.reshape(40, 60, -1))


def test_the_files_of_a_set_are_one_image(tmp_path):
  planes = np.stack([ONE + i for i in range(4)])
  write_ome_set(tmp_path, planes, parts=2)
  for part in range(2):
    with open_image(tmp_path / f's{part}.ome.tif') as image:
      found = [image.read(page, WHOLE, WHOLE) for page in range(image.shape[0])]
      np.testing.assert_array_equal(found, planes)
      assert image.part_of == (tmp_path / 's0.ome.tif' if part else None)


def test_metadata_of_a_set_may_be_in_another_of_its_files(tmp_path):
  planes = np.stack([ONE + i for i in range(4)])
  write_ome_set(tmp_path, planes, parts=2)
  elsewhere = (
    '<?xml version="1.0" encoding="UTF-8"?><OME UUID="urn:uuid:{}"'
    ' xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><BinaryOnly MetadataFile="{}"'
    ' UUID="urn:uuid:00000000-0000-0000-0000-000000000000"/></OME>'
  )
  options = {'metadata': None, 'photometric': 'minisblack'}
  text = elsewhere.format('00000000-0000-0000-0000-000000000001', 's0.ome.tif')
  tifffile.imwrite(tmp_path / 's1.ome.tif', planes[2:], description=text, **options)
  with open_image(tmp_path / 's1.ome.tif') as image:
    assert image.part_of == tmp_path / 's0.ome.tif'
  for one, other in (('a', 'b'), ('b', 'a')):  # each says that the other knows
    text = elsewhere.format('00000000-0000-0000-0000-000000000002', f'{other}.ome.tif')
    tifffile.imwrite(tmp_path / f'{one}.ome.tif', planes[:2], description=text, **options)
  with open_image(tmp_path / 'a.ome.tif') as image:
    assert image.shape == (2, 40, 60)
