"""Files of many and of large pages: block by block, in bounded memory, as if they were whole."""

import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from test_finetuning import cells
from test_predict_command import rows_of
from tiny_segmenter import tiny_segmenter

from fscs.io import open_image
from fscs.segmentation import measurements, outputs
from fscs.segmentation import thumbnails as thinning
from fscs.segmentation import tiling as blocks
from fscs.segmentation.image_files import MAX_DOUBTS, _in_words, segment_file
from fscs.segmentation.segmenter import Segmenter, Support


@pytest.fixture(scope='module')
def segmenter():
  return tiny_segmenter()


@pytest.fixture
def small_blocks(monkeypatch):
  """Pages of more than 10,000 pixels count as large."""
  monkeypatch.setattr(blocks, 'LARGEST_WHOLE', 10_000)
  monkeypatch.setattr(blocks, 'LABEL_BLOCK', 128)
  monkeypatch.setattr(thinning, 'LABEL_BLOCK', 128)
  monkeypatch.setattr(outputs, 'TILE_SIDE', 64)
  monkeypatch.setattr(outputs, 'OVERLAY_SIDE', 100)
  monkeypatch.setattr(blocks.tiles, 'TILE', 256)


def test_every_page_of_a_stack_is_segmented_as_if_it_were_alone(segmenter, tmp_path):
  pages = [cells(seed)[0] for seed in (7, 8, 9)]
  tifffile.imwrite(tmp_path / 'stack.tif', np.stack(pages), photometric='minisblack')
  found = segment_file(segmenter, tmp_path / 'stack.tif', tmp_path)
  labels = tifffile.imread(tmp_path / 'stack_labels.tif')
  probability = tifffile.imread(tmp_path / 'stack_probability.tif')
  for page, alone in enumerate(pages):
    np.testing.assert_array_equal(labels[page], segmenter.labels(alone))
    np.testing.assert_array_equal(probability[page], segmenter.predict(alone))
  rows = rows_of(tmp_path / 'stack_objects.csv')
  assert [sum(row['page'] == str(page) for row in rows) for page in (1, 2, 3)] == list(
    labels.max(axis=(1, 2))
  )
  assert found[:5] == ('stack.tif', 3, 72, 96, len(rows))
  assert {roi.position for roi in roifile.roiread(tmp_path / 'stack_rois.zip')} == {1, 2, 3}


def test_rois_of_a_hyperstack_say_where_they_are(segmenter, tmp_path):
  pages = np.stack([cells(seed)[0] for seed in range(6)]).reshape(2, 3, 1, 72, 96)
  hyperstack = np.repeat(pages, 2, axis=2)  # T, Z and two channels
  tifffile.imwrite(tmp_path / 'a.tif', hyperstack, imagej=True, metadata={'axes': 'TZCYX'})
  segment_file(segmenter, tmp_path / 'a.tif', tmp_path)
  places = {
    (roi.position, roi.t_position, roi.z_position)
    for roi in roifile.roiread(tmp_path / 'a_rois.zip')
  }
  assert places == {(1 + 3 * t + z, 1 + t, 1 + z) for t in range(2) for z in range(3)}


def test_results_know_how_large_pixels_are(segmenter, tmp_path):
  pixels = cells(7)[0]
  tifffile.imwrite(tmp_path / 'plain.tif', pixels)
  tifffile.imwrite(
    tmp_path / 'sized.tif', pixels, imagej=True, resolution=(4, 2), metadata={'unit': 'um'}
  )
  for name in ('plain', 'sized'):
    segment_file(segmenter, tmp_path / f'{name}.tif', tmp_path)
  plain, sized = (rows_of(tmp_path / f'{name}_objects.csv') for name in ('plain', 'sized'))
  assert not set(measurements.SIZES) & set(plain[0])
  for row, same in zip(sized, plain, strict=True):
    assert {**row, 'file': 'plain.tif'}.items() >= same.items()
    assert (row['pixel_height_um'], row['pixel_width_um']) == ('0.5', '0.25')
    assert float(row['area_um2']) == float(row['area']) / 8
    assert np.pi / 4 * float(row['equivalent_diameter_um']) ** 2 == pytest.approx(
      float(row['area']) / 8, rel=1e-4
    )
  for ending in ('probability', 'mask', 'labels'):
    with open_image(tmp_path / f'plain_{ending}.tif') as image:
      assert image.pixel_size is None
    with open_image(tmp_path / f'sized_{ending}.tif') as image:
      assert image.pixel_size == pytest.approx((0.5, 0.25))


def test_a_stack_of_large_pages_is_its_pages_one_by_one(segmenter, tmp_path, small_blocks):
  pages = [cells(seed, (150, 230), count=20)[0] for seed in (1, 2)]
  tifffile.imwrite(tmp_path / 'stack.tif', np.stack(pages), photometric='minisblack')
  found = segment_file(segmenter, tmp_path / 'stack.tif', tmp_path)
  assert (found.pages, found.height, found.width) == (2, 150, 230)
  for page, image in enumerate(pages):
    tifffile.imwrite(tmp_path / f'{page}.tif', image)
    segment_file(segmenter, tmp_path / f'{page}.tif', tmp_path)
    for kind in ('probability', 'mask', 'labels'):
      alone = tifffile.imread(tmp_path / f'{page}_{kind}.tif')
      np.testing.assert_array_equal(tifffile.imread(tmp_path / f'stack_{kind}.tif')[page], alone)
    of_page = [
      row for row in rows_of(tmp_path / 'stack_objects.csv') if row['page'] == str(page + 1)
    ]
    alone = rows_of(tmp_path / f'{page}_objects.csv')
    assert [row['area'] for row in of_page] == [row['area'] for row in alone]
  overlays = [(tmp_path / f'{name}_overlay.png').read_bytes() for name in ('stack', '0')]
  assert overlays[0] == overlays[1]


def test_doubts_and_summary_of_blocks_are_those_of_the_whole(segmenter, tmp_path, request):
  unlike = Support((90.0, 95.0, 99.0), (5.0, 6.0, 7.0), (5.0, 6.0, 7.0))
  segmenter = dataclasses.replace(segmenter, support=unlike)
  tifffile.imwrite(tmp_path / 'a.tif', cells(4, (160, 240), count=25)[0])
  whole = segment_file(segmenter, tmp_path / 'a.tif', tmp_path)
  request.getfixturevalue('small_blocks')
  parts = segment_file(segmenter, tmp_path / 'a.tif', tmp_path)
  assert parts[:4] == whole[:4]
  assert parts.foreground == pytest.approx(whole.foreground, abs=0.02)
  for found in (whole.doubts, parts.doubts):
    assert [doubt.split()[0] for doubt in found.split('; ')] == ['mean', 'contrast', 'objects']
  assert '99' in parts.doubts


@pytest.mark.parametrize('bright', [1, 7])
def test_grey_values_of_large_sparse_images_are_not_lost(bright):
  image = np.zeros((3000, 2000), np.uint16)
  image[::500, ::bright] = 900  # fewer than a thousandth where bright is 7, and yet seen
  assert blocks._limits(lambda region: image[region], image.shape) == (0, 900)
  image[:] = 5
  image[1300, 700] = 80  # where no sample is taken
  assert blocks._limits(lambda region: image[region], image.shape) == (5, 80)


@pytest.mark.parametrize('scale', [0.25, 1, 4])
def test_statistics_of_large_images_come_from_few_pieces_at_every_scale(
  segmenter, scale, small_blocks, monkeypatch
):
  taken = []

  def statistics(segmenter, images):
    taken.append(images.shape)

  monkeypatch.setattr(blocks, 'statistics_of', statistics)
  monkeypatch.setattr(blocks, 'predict_grey', lambda _, grey: np.zeros(grey.shape, np.float32))
  image = np.random.default_rng(0).random((1500, 1400), np.float32)
  segmenter = dataclasses.replace(segmenter, statistics=None, scale=scale)
  for _ in blocks.predict_blocks(segmenter, lambda region: image[region], image.shape):
    pass
  assert taken == [(16, 256, 256)]


def test_an_image_that_is_large_once_it_is_enlarged_goes_block_by_block(
  segmenter, tmp_path, small_blocks, monkeypatch
):
  tifffile.imwrite(tmp_path / 'a.tif', cells(4)[0])  # 72 x 96
  monkeypatch.setattr(Segmenter, 'predict', None)
  segment_file(dataclasses.replace(segmenter, scale=2.0), tmp_path / 'a.tif', tmp_path)
  with pytest.raises(TypeError):
    segment_file(segmenter, tmp_path / 'a.tif', tmp_path)


def test_memory_does_not_grow_with_the_number_of_pages(segmenter, tmp_path, monkeypatch):
  monkeypatch.setattr(blocks, 'LARGEST_WHOLE', 130 * 130)
  monkeypatch.setattr(outputs, 'rois_of', lambda *_: [])  # objects do take memory
  monkeypatch.setattr(measurements, 'measure', lambda *_: [])
  peaks = []
  for pages in (4, 4, 40):  # the first one compiles
    path = tmp_path / f'{pages}.tif'
    stack = np.random.default_rng(0).integers(0, 255, (pages, 128, 128)).astype(np.uint8)
    tifffile.imwrite(path, stack, photometric='minisblack')
    tracemalloc.start()
    segment_file(segmenter, path, tmp_path)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  assert peaks[2] < 1.2 * peaks[1]


@pytest.mark.parametrize('shape', [(1, 5, 3), (4, 5, 3), (3, 70, 4), (3, 4, 130), (2, 130, 70)])
@pytest.mark.parametrize('largest', [1, 10_000])
def test_pages_come_back_as_written(tmp_path, shape, largest, monkeypatch):
  monkeypatch.setattr(blocks, 'LARGEST_WHOLE', largest)
  monkeypatch.setattr(outputs, 'TILE_SIDE', 64)
  values = np.random.default_rng(0).integers(0, 1000, shape)
  outputs.write_pages(tmp_path / 'a.tif', values, np.uint16, lambda part: part + 1)
  with open_image(tmp_path / 'a.tif') as image:
    assert image.shape == shape
    read = [image.read(page, slice(None), slice(None)) for page in range(shape[0])]
  np.testing.assert_array_equal(read, values + 1)


@pytest.mark.parametrize(('side', 'step'), [(61, 1), (60, 2), (21, 3), (9, 7), (2, 31)])
def test_a_thinned_image_is_the_same_from_parts(tmp_path, side, step, monkeypatch):
  monkeypatch.setattr(thinning, 'LABEL_BLOCK', 16)
  image = np.arange(45 * 61).reshape(45, 61).astype(np.uint16)
  np.save(tmp_path / 'a.npy', image)
  with open_image(tmp_path / 'a.npy') as file:
    np.testing.assert_array_equal(thinning.read_thinned(file, 0, side), image[::step, ::step])


def test_colours_are_thinned_as_colours_and_a_chosen_channel_as_grey(tmp_path):
  colours = np.random.default_rng(0).integers(0, 256, (45, 61, 3)).astype(np.uint8)
  np.save(tmp_path / 'a.npy', colours)
  for channel, expected in ((None, colours), ((0.5, 0.5, 0.0), colours), (1, colours[..., 1])):
    with open_image(tmp_path / 'a.npy', channel) as file:
      np.testing.assert_array_equal(thinning.read_thinned(file, 0, 31), expected[::2, ::2])


def test_the_doubts_of_many_pages_are_counted():
  assert _in_words([['dark', 'flat']]) == 'dark; flat'
  assert _in_words([[], ['dark']]) == 'page 2: dark'
  words = _in_words([['dark']] * (MAX_DOUBTS + 3))
  assert words.endswith('page 5: dark; and 3 more')


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='Linux tells resident memory')
def test_a_scratch_file_keeps_its_values_when_memory_is_let_go(tmp_path, small_blocks):
  array = outputs.scratch(tmp_path / 'scratch', (2, 4096, 2048), np.float32)  # 64 MiB
  array[:] = 3
  before = resident_bytes()
  outputs.release(array[1])
  assert before - resident_bytes() > array.nbytes / 2
  assert (array[:, ::512, ::512] == 3).all()
  small = np.ones(3)
  outputs.release(small)
  assert small.sum() == 3


def resident_bytes():
  return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')
