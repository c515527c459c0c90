"""Files of many and of large pages: in bounded memory, as if every page were alone and whole."""

import dataclasses
import functools

import numpy as np
import pytest
import roifile
import tifffile
from helpers import cells, noise, peak_memory, read_table, tiny_segmenter

from fscs.io import ImageRef, open_image
from fscs.segmentation import blockwise, image_files, measurements, outputs, thumbnails
from fscs.segmentation.image_files import segment_file
from fscs.segmentation.segmenter import Segmenter, SupportSummary


@pytest.fixture(scope='module')
def segmenter():
  return tiny_segmenter()


@pytest.fixture
def small_blocks(monkeypatch):
  """Pages of more than 10,000 pixels are large."""
  for module in (blockwise, image_files, outputs):
    monkeypatch.setattr(module, 'MAX_PIXELS_IN_MEMORY', 10_000)
  for module in (blockwise, thumbnails):
    monkeypatch.setattr(module, 'LABEL_BLOCK', 128)
  monkeypatch.setattr(blockwise, 'TILE', 256)
  monkeypatch.setattr(outputs, 'TIFF_TILE', 64)
  monkeypatch.setattr(outputs, 'OVERLAY_SIDE', 100)


def test_pages_of_a_stack_are_segmented_as_if_alone(segmenter, tmp_path):
  pages = [cells(seed)[0] for seed in (7, 8, 9)]
  tifffile.imwrite(tmp_path / 'stack.tif', np.stack(pages), photometric='minisblack')
  found = segment_file(segmenter, ImageRef(tmp_path / 'stack.tif'), tmp_path)
  labels = tifffile.imread(tmp_path / 'stack_labels.tif')
  probability = tifffile.imread(tmp_path / 'stack_probability.tif')
  for page, alone in enumerate(pages):
    np.testing.assert_array_equal(labels[page], segmenter.predict(alone))
    np.testing.assert_array_equal(probability[page], segmenter.predict_proba(alone))
  rows = read_table(tmp_path / 'stack_objects.csv')
  counts = [sum(row['page'] == str(page) for row in rows) for page in (1, 2, 3)]
  assert counts == list(labels.max(axis=(1, 2)))
  assert found[:5] == ('stack.tif', 3, 72, 96, len(rows))
  assert {roi.position for roi in roifile.roiread(tmp_path / 'stack_rois.zip')} == {1, 2, 3}


def test_large_pages_of_a_stack_are_segmented_as_if_alone(segmenter, tmp_path, small_blocks):
  pages = [cells(seed, (150, 230), count=20)[0] for seed in (1, 2)]
  tifffile.imwrite(tmp_path / 'stack.tif', np.stack(pages), photometric='minisblack')
  segment_file(segmenter, ImageRef(tmp_path / 'stack.tif'), tmp_path)
  rows = read_table(tmp_path / 'stack_objects.csv')
  for page, image in enumerate(pages):
    tifffile.imwrite(tmp_path / f'{page}.tif', image)
    segment_file(segmenter, ImageRef(tmp_path / f'{page}.tif'), tmp_path)
    for kind in ('probability', 'mask', 'labels'):
      alone = tifffile.imread(tmp_path / f'{page}_{kind}.tif')
      np.testing.assert_array_equal(tifffile.imread(tmp_path / f'stack_{kind}.tif')[page], alone)
    areas = [row['area'] for row in read_table(tmp_path / f'{page}_objects.csv')]
    assert [row['area'] for row in rows if row['page'] == str(page + 1)] == areas
  overlays = [(tmp_path / f'{name}_overlay.png').read_bytes() for name in ('stack', '0')]
  assert overlays[0] == overlays[1]


def test_a_large_page_is_segmented_as_a_small_one(trained, tmp_path, request):
  """Objects, measurements, summary and warnings."""
  unlike = SupportSummary((90.0, 95.0, 99.0), (5.0, 6.0, 7.0), (5.0, 6.0, 7.0))
  segmenter = dataclasses.replace(trained.result.segmenter, support=unlike)
  tifffile.imwrite(tmp_path / 'a.tif', cells(4, (160, 240), count=25)[0])
  whole = segment_file(segmenter, ImageRef(tmp_path / 'a.tif'), tmp_path)
  labels = tifffile.imread(tmp_path / 'a_labels.tif')
  request.getfixturevalue('small_blocks')
  parts = segment_file(segmenter, ImageRef(tmp_path / 'a.tif'), tmp_path)
  assert parts[:4] == whole[:4]
  assert parts.objects == pytest.approx(whole.objects, abs=2)  # at borders padding differs
  assert parts.foreground == pytest.approx(whole.foreground, abs=0.01)
  for found in (whole.warnings, parts.warnings):
    assert [warning.split()[0] for warning in found.split('; ')] == ['mean', 'contrast', 'objects']
  blocks = tifffile.imread(tmp_path / 'a_labels.tif')
  assert np.mean((blocks > 0) == (labels > 0)) > 0.98
  areas = [int(row['area']) for row in read_table(tmp_path / 'a_objects.csv')]
  assert areas == list(np.bincount(blocks.ravel())[1:])


def test_warnings_of_many_pages_are_counted(segmenter, tmp_path):
  tifffile.imwrite(tmp_path / 'a.tif', np.full((8, 16, 16), 7, np.uint8))
  found = segment_file(segmenter, ImageRef(tmp_path / 'a.tif'), tmp_path)
  *first, last = found.warnings.split('; ')
  assert [warning.split(':')[0] for warning in first] == [f'page {page}' for page in range(1, 6)]
  assert last == 'and 3 more'


def test_rois_of_a_hyperstack_say_where_they_are(segmenter, tmp_path):
  pages = np.stack([cells(seed)[0] for seed in range(6)]).reshape(2, 3, 1, 72, 96)
  hyperstack = np.repeat(pages, 2, axis=2)  # T, Z and two channels
  tifffile.imwrite(tmp_path / 'a.tif', hyperstack, imagej=True, metadata={'axes': 'TZCYX'})
  segment_file(segmenter, ImageRef(tmp_path / 'a.tif'), tmp_path)
  places = {
    (roi.position, roi.t_position, roi.z_position)
    for roi in roifile.roiread(tmp_path / 'a_rois.zip')
  }
  assert places == {(1 + 3 * t + z, 1 + t, 1 + z) for t in range(2) for z in range(3)}


def test_results_have_the_pixel_size_of_the_image(segmenter, tmp_path):
  pixels = cells(7)[0]
  tifffile.imwrite(tmp_path / 'plain.tif', pixels)
  tifffile.imwrite(
    tmp_path / 'sized.tif', pixels, imagej=True, resolution=(4, 2), metadata={'unit': 'um'}
  )
  for name in ('plain', 'sized'):
    segment_file(segmenter, ImageRef(tmp_path / f'{name}.tif'), tmp_path)
  plain, sized = (read_table(tmp_path / f'{name}_objects.csv') for name in ('plain', 'sized'))
  assert not set(measurements.SIZES) & set(plain[0])
  for row, same in zip(sized, plain, strict=True):
    assert {**row, 'file': 'plain.tif'}.items() >= same.items()
    assert (row['pixel_height_um'], row['pixel_width_um']) == ('0.5', '0.25')
    assert float(row['area_um2']) == float(row['area']) / 8
    diameter = float(row['equivalent_diameter_um'])
    assert np.pi / 4 * diameter**2 == pytest.approx(float(row['area']) / 8, rel=1e-4)
  for ending in ('probability', 'mask', 'labels'):
    with open_image(tmp_path / f'plain_{ending}.tif') as image:
      assert image.pixel_size is None
    with open_image(tmp_path / f'sized_{ending}.tif') as image:
      assert image.pixel_size == pytest.approx((0.5, 0.25))


def test_an_image_that_is_large_at_the_working_scale_goes_block_by_block(
  segmenter, tmp_path, small_blocks, monkeypatch
):
  tifffile.imwrite(tmp_path / 'a.tif', cells(4)[0])  # 72 x 96
  monkeypatch.setattr(Segmenter, 'predict_proba', None)
  segment_file(dataclasses.replace(segmenter, scale=2.0), ImageRef(tmp_path / 'a.tif'), tmp_path)
  with pytest.raises(TypeError):
    segment_file(segmenter, ImageRef(tmp_path / 'a.tif'), tmp_path)


def test_memory_does_not_grow_with_the_number_of_pages(segmenter, tmp_path, monkeypatch):
  for module in (image_files, outputs):
    monkeypatch.setattr(module, 'MAX_PIXELS_IN_MEMORY', 130 * 130)
  monkeypatch.setattr(outputs, 'rois_of', lambda *_: [])  # objects do take memory
  monkeypatch.setattr(measurements, 'measure', lambda *_: [])
  peaks = []
  for pages in (2, 2, 20):  # the first one compiles
    path = tmp_path / f'{pages}.tif'
    tifffile.imwrite(path, noise((pages, 128, 128)), photometric='minisblack')
    segment = functools.partial(segment_file, segmenter, ImageRef(path), tmp_path)
    peaks.append(peak_memory(segment)[1])
  assert peaks[2] < 1.2 * peaks[1]


@pytest.mark.parametrize('large', [False, True])
@pytest.mark.parametrize(('value', 'dtype'), [('nan', 'float32'), ('65535', 'uint16')])
def test_pixels_without_data_are_segmented_as_the_darkest(
  segmenter, tmp_path, request, large, value, dtype
):
  if large:
    request.getfixturevalue('small_blocks')
  image = cells(5, (150, 230), count=20)[0].astype(dtype)
  expected = image.copy()
  image[:40, 60:] = float(value)
  expected[:40, 60:] = np.nanmin(image)
  tag = (42113, 's', 0, value, True)
  tifffile.imwrite(tmp_path / 'a.tif', image, photometric='minisblack', extratags=[tag])
  tifffile.imwrite(tmp_path / 'b.tif', expected, photometric='minisblack')
  found, plain = (
    segment_file(segmenter, ImageRef(tmp_path / f'{name}.tif'), tmp_path) for name in 'ab'
  )
  assert 'no data' in found.warnings
  assert found[1:6] == plain[1:6]
  for ending in ('probability.tif', 'labels.tif', 'overlay.png'):
    one, other = ((tmp_path / f'{name}_{ending}').read_bytes() for name in 'ab')
    assert one == other


def test_what_stands_for_the_grey_value_is_said_unless_it_is_plain(segmenter, tmp_path):
  image = cells(0)[0].astype(np.uint8)
  table = np.tile(np.arange(256)[::-1] * 257, (3, 1)).astype(np.uint16)
  tifffile.imwrite(tmp_path / 'table.tif', image, photometric='palette', colormap=table)
  tifffile.imwrite(tmp_path / 'two.tif', np.stack([image] * 2), metadata={'axes': 'CYX'})
  tifffile.imwrite(tmp_path / 'rgb.tif', np.dstack([image] * 3), photometric='rgb')
  tifffile.imwrite(tmp_path / 'plain.tif', image)
  for name, said in (
    ('table', 'palette index'),
    ('two', 'channel 0 of 2'),
    ('rgb', ''),
    ('plain', ''),
  ):
    found = segment_file(segmenter, ImageRef(tmp_path / f'{name}.tif'), tmp_path)
    assert (f'{said} is segmented' in found.warnings) == bool(said)
