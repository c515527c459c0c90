"""ND2 and LIF files, written by hand as far as their readers need."""

import importlib.util

import numpy as np
import pytest
from helpers import peak_memory, read_pages, read_region
from image_writers import LifImage, write_lif, write_nd2

from fscs.errors import InputError
from fscs.io import find_files, images_of, open_image

pytest.importorskip('nd2')
pytest.importorskip('liffile')

WHOLE = slice(None)


def random(shape, dtype='uint16'):
  return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


@pytest.mark.parametrize('compressed', [False, True])
def test_nd2(tmp_path, compressed):
  path = tmp_path / 'a.nd2'
  pixels = random((2, 3, 2, 2, 40, 60))  # position, time, section, channel
  write_nd2(path, pixels, ('left', ''), ('DAPI', 'FITC'), compressed=compressed)
  assert [ref.stem for ref in images_of([path])] == ['a_left', 'a_scene1']
  for number, scene in enumerate(('left', 'scene1')):
    with open_image(path, 'fitc', scene=scene) as image:
      assert image.shape == (6, 40, 60)
      assert image.place_of(5) == {'T': 2, 'Z': 1}
      assert image.source == 'channel 1 of 2 (FITC)'
      assert image.pixel_size == (0.25, 0.25)
      assert image.notes == ()
      for page in range(6):
        expected = pixels[number, page // 2, page % 2]
        region = (slice(3, 38), slice(7, 60))
        np.testing.assert_array_equal(image.read(page, *region), expected[1][region])
        channels = np.moveaxis(expected, 0, -1)[region]
        np.testing.assert_array_equal(image.read_channels(page, *region), channels)


def test_nd2_of_one_plane(tmp_path):
  pixels = random((1, 1, 1, 1, 40, 60))
  write_nd2(tmp_path / 'a.nd2', pixels)
  np.testing.assert_array_equal(read_pages(tmp_path / 'a.nd2'), pixels[0, 0, 0])
  assert [ref.name for ref in images_of([tmp_path / 'a.nd2'])] == ['a.nd2']


def test_lif(tmp_path):
  path = tmp_path / 'a.lif'
  first, second = random((2, 3, 2, 40, 60)), random((20, 30), 'uint8')
  images = [LifImage('stack', first, 'TZCYX', ('DAPI', 'GFP')), LifImage('still', second, 'YX')]
  write_lif(path, images, folder='Project')
  assert [ref.scene for ref in images_of([path])] == ['Project/stack', 'Project/still']
  assert images_of([path])[0].stem == 'a_Project-stack'
  with open_image(path, 'GFP', scene='0') as image:
    assert image.shape == (6, 40, 60)
    assert image.place_of(5) == {'T': 1, 'Z': 2}
    assert image.pixel_size == pytest.approx((0.5, 0.25))
    region = (slice(3, 38), slice(7, 60))
    np.testing.assert_array_equal(image.read(5, *region), first[1, 2, 1][region])
    channels = np.moveaxis(first[1, 2], 0, -1)[region]
    np.testing.assert_array_equal(image.read_channels(5, *region), channels)
  np.testing.assert_array_equal(read_pages(path, 'Project/still')[0], second)


def test_lif_with_colours(tmp_path):
  colours = random((40, 60, 3), 'uint8')
  write_lif(tmp_path / 'a.lif', [LifImage('a', colours, 'YXS')])
  with open_image(tmp_path / 'a.lif') as image:
    assert image.colour
    np.testing.assert_array_equal(image.read_channels(0, WHOLE, WHOLE), colours[..., ::-1])


@pytest.mark.parametrize('name', ['a.nd2', 'a.lif'])
def test_a_small_region_costs_little_memory(tmp_path, name):
  large = np.ascontiguousarray(np.broadcast_to(random((1, 3000)), (1, 1, 1, 1, 3000, 3000)))
  if name == 'a.nd2':
    write_nd2(tmp_path / name, large)
  else:
    write_lif(tmp_path / name, [LifImage('a', large[0, 0, 0, 0], 'YX')])
  open_image(tmp_path / name).close()  # imports the library
  _, peak = peak_memory(lambda: read_region(tmp_path / name, slice(2000, 2256), slice(1000, 1256)))
  assert peak < large.nbytes / 4


@pytest.mark.parametrize('share', [0, 0.01, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize('name', ['a.nd2', 'a.lif'])
def test_a_file_that_was_cut_is_refused(tmp_path, name, share, capfd):
  path = tmp_path / name
  if name == 'a.nd2':
    write_nd2(path, random((1, 2, 1, 1, 40, 60)))
  else:
    write_lif(path, [LifImage('a', random((40, 60)), 'YX')])
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(InputError, match=name) as error:
    read_pages(path)
  assert '\n' not in str(error.value)
  assert capfd.readouterr() == ('', '')
  assert [ref.name for ref in images_of([path])] == [name]


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(
    importlib.util, 'find_spec', lambda name: None if name == 'nd2' else find_spec(name)
  )
  (tmp_path / 'a.nd2').write_text('a')
  with pytest.raises(InputError, match=r'fscs\[formats\]'):
    open_image(tmp_path / 'a.nd2')
  with pytest.raises(InputError, match=r'fscs\[formats\]'):
    find_files(tmp_path)
  np.save(tmp_path / 'b.npy', np.ones((4, 4)))
  with pytest.warns(UserWarning, match=r'fscs\[formats\]'):
    assert find_files(tmp_path) == [tmp_path / 'b.npy']
