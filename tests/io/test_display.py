"""Files that say how they are shown are read as viewers show them, in every format."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from fscs.io import open_image, read_mask

WHOLE = slice(None)
GREY = np.arange(2400, dtype='uint8').reshape(40, 60)
SHOWN = {  # by the value of the tag Orientation, as the EXIF standard defines it
  1: GREY,
  2: np.fliplr(GREY),
  3: GREY[::-1, ::-1],
  4: np.flipud(GREY),
  5: GREY.T,
  6: np.rot90(GREY, -1),
  7: GREY[::-1, ::-1].T,
  8: np.rot90(GREY),
}


def write_oriented(path, pixels, orientation):
  if path.suffix == '.tif':
    layout = {'tile': (16, 16), 'compression': 'zlib'} if path.stem == 'tiled' else {}
    tifffile.imwrite(path, pixels, extratags=[(274, 3, 1, orientation, True)], **layout)
    return
  exif = Image.Exif()
  exif[274] = orientation
  Image.fromarray(pixels).save(path, exif=exif)


def read(path, **options):
  with open_image(path, **options) as image:
    pages = [image.read(page, WHOLE, WHOLE) for page in range(image.shape[0])]
    assert np.shape(pages) == image.shape
    return np.stack(pages), image.notes


@pytest.mark.parametrize('orientation', SHOWN)
@pytest.mark.parametrize('name', ['a.png', 'plain.tif', 'tiled.tif'])
def test_images_are_turned_as_shown_and_it_is_said(tmp_path, name, orientation):
  write_oriented(tmp_path / name, GREY, orientation)
  shown = SHOWN[orientation]
  pages, notes = read(tmp_path / name)
  np.testing.assert_array_equal(pages, shown[None])
  assert any('turned' in note for note in notes) == (orientation != 1)
  with open_image(tmp_path / name) as image:
    np.testing.assert_array_equal(image.read(0, slice(3, 17), slice(5, 31)), shown[3:17, 5:31])


@pytest.mark.parametrize('name', ['a.jpg', 'a.webp'])
def test_photographs_are_turned(tmp_path, name):
  half = np.zeros((40, 60), 'uint8')
  half[:20] = 200
  write_oriented(tmp_path / name, half, 3)
  (page,), _ = read(tmp_path / name)
  assert page[:15].max() < 50 < 150 < page[25:].min()


def test_masks_and_pixel_sizes_are_turned_with_the_image(tmp_path):
  labels = np.zeros((40, 60), 'uint8')
  labels[5:15, 5:20], labels[25:30, 40:50] = 1, 2
  write_oriented(tmp_path / 'a_mask.png', labels, 6)
  found = read_mask(tmp_path / 'a_mask.png', (60, 40))
  np.testing.assert_array_equal(found.labels > 0, np.rot90(labels, -1) > 0)
  assert any('turned' in note for note in found.notes)
  size = {'resolution': (20_000, 10_000), 'resolutionunit': 'CENTIMETER'}
  tifffile.imwrite(tmp_path / 'a.tif', GREY, extratags=[(274, 3, 1, 6, True)], **size)
  with open_image(tmp_path / 'a.tif') as image:
    assert image.pixel_size == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
  ('mode', 'shown'), [('1', (False, True)), ('L', (0, 200))], ids=['1 bit', '8 bits']
)
def test_white_is_zero(tmp_path, mode, shown):
  pixels = np.full((40, 60), shown[0])
  pixels[5:15, 5:35] = shown[1]
  picture = Image.fromarray(pixels.astype(bool if mode == '1' else 'uint8'))
  assert picture.mode == mode
  picture.save(tmp_path / 'a_mask.tif', tiffinfo={262: 0})  # Pillow stores inverted values
  pages, notes = read(tmp_path / 'a_mask.tif')
  np.testing.assert_array_equal(pages[0], pixels)
  assert 'inverted' in notes[0]
  assert np.count_nonzero(read_mask(tmp_path / 'a_mask.tif', (40, 60)).labels) == 300


def test_inverting_tables_of_imagej_and_bool_arrays_of_tifffile_are_read_as_stored(tmp_path):
  mask = np.zeros((40, 60), bool)
  mask[5:15, 5:35] = True
  tifffile.imwrite(tmp_path / 'bool.tif', mask)
  options = {'imagej': True, 'photometric': 'miniswhite'}
  tifffile.imwrite(tmp_path / 'imagej.tif', mask * np.uint8(255), **options)
  for name in ('bool.tif', 'imagej.tif'):
    pages, notes = read(tmp_path / name)
    np.testing.assert_array_equal(pages[0] > 0, mask)
    assert not notes


def test_calibrated_intensities_of_imagej(tmp_path):
  path = tmp_path / 'a.tif'
  signed = GREY.astype('int32') - 100
  calibration = {'cf': 0, 'c0': -32768.0, 'c1': 1.0}
  tifffile.imwrite(path, (signed + 32768).astype('uint16'), imagej=True, metadata=calibration)
  pages, _ = read(path)
  np.testing.assert_array_equal(pages[0], signed)
  assert pages.dtype == np.int32
  calibration = {'cf': 0, 'c0': 1.5, 'c1': 0.25}
  tifffile.imwrite(path, GREY, imagej=True, metadata=calibration)
  np.testing.assert_allclose(read(path)[0][0], 1.5 + 0.25 * GREY)
  tifffile.imwrite(path, GREY, imagej=True, metadata={'cf': 4, 'c0': 1.0, 'c1': 1.0})
  pages, notes = read(path)
  np.testing.assert_array_equal(pages[0], GREY)
  assert 'not a straight line' in notes[0]
