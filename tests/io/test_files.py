"""Files that are found in a folder, and errors for those that cannot be read."""

import os
import shutil
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from fscs.errors import InputError
from fscs.io import find_files, open_image, separate

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 50, 50)).astype('uint8')


def cut(path, **options):
  """A picture, or a TIFF of several pages, without its second half."""
  if path.suffix == '.tif':
    tifffile.imwrite(path, PIXELS, **options)
  else:
    Image.fromarray(PIXELS[0]).save(path)
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_spoilt(path):
  """A TIFF with the right structure, so that only decoding fails."""
  tifffile.imwrite(path, PIXELS[0], compression='zlib')
  with tifffile.TiffFile(path) as tiff:
    start = tiff.pages[0].dataoffsets[0]
  content = bytearray(path.read_bytes())
  content[start : start + 200] = bytes(200)
  path.write_bytes(content)


def write_sizes(path):
  with tifffile.TiffWriter(path) as writer:
    for size in (64, 32):
      writer.write(np.ones((size, size), 'uint8'), metadata=None)


def write_missing_page(path):
  tifffile.imwrite(path, PIXELS[:3], metadata={'axes': 'ZYX'}, compression='zlib')
  text = tifffile.tiffcomment(path).replace('SizeZ="3"', 'SizeZ="4"')
  tifffile.tiffcomment(path, text.replace('PlaneCount="3"', 'PlaneCount="4"').encode())


def write_empty_tiff(path):
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
  'missing.tif': lambda path: None,
  'folder.tif': lambda path: path.mkdir(),
  'link.tif': lambda path: path.symlink_to('nowhere.tif'),
  'empty.png': lambda path: path.touch(),
  'text.png': lambda path: path.write_text('hello'),
  'text.tif': lambda path: path.write_text('hello'),
  'text.npy': lambda path: path.write_text('hello'),
  'a.czi': lambda path: path.write_text('hello'),
  'cut.png': cut,
  'cut.jpg': cut,
  'cut.bmp': cut,
  'cut-contiguous.tif': cut,
  'cut-imagej.tif': lambda path: cut(path, imagej=True),
  'cut-pages.tif': lambda path: cut(path, metadata=None),
  'cut-tiled.tif': lambda path: cut(path, tile=(16, 16)),
  'cut-zlib.tif': lambda path: cut(path, compression='zlib'),
  'spoilt.tif': write_spoilt,
  'sizes.tif': write_sizes,
  'missing-page.ome.tif': write_missing_page,
  'complex.tif': lambda path: tifffile.imwrite(path, np.ones((4, 4), 'c8')),
  'long.npy': lambda path: np.save(path, np.ones((4, 4), 'longdouble')),
  'objects.npy': lambda path: np.save(path, {}, allow_pickle=True),
  'none.npy': lambda path: np.save(path, np.ones((0, 4))),
  'none.tif': write_empty_tiff,
  'axes.npy': lambda path: np.save(path, np.ones((2, 2, 4, 5))),
  'huge.png': lambda path: write_png_with(path, 16, (40_000).to_bytes(4, 'big') * 2),
  'deep.png': lambda path: write_png_with(path, 24, b'\x10'),
}


@pytest.mark.parametrize('name', UNREADABLE)
def test_unreadable_files_are_named_in_one_line(tmp_path, name, capfd):
  UNREADABLE[name](tmp_path / name)
  with pytest.raises(InputError) as error, open_image(tmp_path / name) as image:
    for page in range(image.shape[0]):
      image.read(page, slice(None), slice(None))
  assert str(error.value).startswith(f'{tmp_path / name}: ')
  assert '\n' not in str(error.value)
  assert capfd.readouterr() == ('', '')


@pytest.mark.skipif(os.name == 'nt' or os.geteuid() == 0, reason='this user may read anything')
def test_files_and_folders_without_permission_are_named(tmp_path):
  Image.fromarray(PIXELS[0]).save(tmp_path / 'a.png')
  (tmp_path / 'a.png').chmod(0)
  with pytest.raises(InputError, match=r'a\.png'):
    open_image(tmp_path / 'a.png')
  (tmp_path / 'folder').mkdir(0)
  with pytest.raises(InputError, match='folder'):
    find_files(tmp_path / 'folder')


def test_files_are_sorted_without_hidden_files_folders_and_other_kinds(tmp_path):
  for name in ('b.TIF', 'a.png', '.hidden.png', 'notes.txt'):
    (tmp_path / name).touch()
  (tmp_path / 'folder.tif').mkdir()
  assert find_files(tmp_path) == [tmp_path / 'a.png', tmp_path / 'b.TIF']
  assert find_files(tmp_path, ('.txt',)) == [tmp_path / 'notes.txt']
  for folder in (tmp_path / 'none', tmp_path / 'a.png', tmp_path / 'folder.tif'):
    with pytest.raises(InputError, match=str(folder)):
      find_files(folder)
  with pytest.raises(InputError, match=str(tmp_path)):
    find_files(tmp_path, ('.npy',))


def test_images_in_unsupported_formats_do_not_go_unnoticed(tmp_path):
  (tmp_path / 'b.oib').touch()
  with pytest.raises(InputError, match=r'b\.oib'):
    find_files(tmp_path)
  (tmp_path / 'a.png').touch()
  with pytest.warns(UserWarning, match=r'b\.oib'):
    assert find_files(tmp_path) == [tmp_path / 'a.png']


def test_images_in_sub_folders_do_not_go_unnoticed(tmp_path):
  for path in ('a.png', 'masks/a.png', 'notes/b.txt', 'plate.mrxs/0.png'):
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).touch()
  with pytest.warns(UserWarning) as warned:
    assert find_files(tmp_path) == [tmp_path / 'a.png']
  messages = sorted(str(warning.message) for warning in warned)
  assert len(messages) == 2
  assert '1 images in unsupported formats' in messages[0]
  assert 'sub-folders are left out, such as masks' in messages[1]
  shutil.rmtree(tmp_path / 'plate.mrxs')
  assert find_files(tmp_path, besides=[tmp_path / 'masks']) == [tmp_path / 'a.png']
  (tmp_path / 'a.png').unlink()
  with pytest.raises(InputError, match='masks'):  # where there are some
    find_files(tmp_path)


def test_a_loop_of_links_is_an_input_error(tmp_path):
  (tmp_path / 'loop.tif').symlink_to(tmp_path / 'loop.tif')
  assert separate(find_files(tmp_path), find_files(tmp_path))[0] == [tmp_path / 'loop.tif']
  with pytest.raises(InputError, match=r'loop\.tif'):
    open_image(tmp_path / 'loop.tif')
