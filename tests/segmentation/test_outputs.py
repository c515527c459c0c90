"""Files of results and what is measured: read back as written, whole or in parts."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import disk_labels, noise

from fscs.io import open_image, read_mask
from fscs.segmentation import measurements, outputs, thumbnails


@pytest.mark.parametrize('shape', [(1, 5, 3), (4, 5, 3), (3, 4, 130), (2, 130, 70)])
@pytest.mark.parametrize('largest', [1, 10_000])
def test_pages_are_read_back_as_written(tmp_path, shape, largest, monkeypatch):
  monkeypatch.setattr(outputs, 'MAX_PIXELS_IN_MEMORY', largest)
  monkeypatch.setattr(outputs, 'TIFF_TILE', 64)
  values = np.random.default_rng(0).integers(0, 1000, shape)
  outputs.write_pages(tmp_path / 'a.tif', values, np.uint16, lambda part: part + 1)
  with open_image(tmp_path / 'a.tif') as image:
    assert image.shape == shape
    read = [image.read(page, slice(None), slice(None)) for page in range(shape[0])]
  np.testing.assert_array_equal(read, values + 1)


def test_rois_are_read_back_as_the_objects(tmp_path):
  labels = disk_labels((30, 30, 20), (70, 75, 15), (10, 90, 4), (99, 0, 9))
  outputs.write_rois(tmp_path / 'rois.zip', list(outputs.rois_of(labels, 0)))
  np.testing.assert_array_equal(read_mask(tmp_path / 'rois.zip', labels.shape).labels, labels)


def test_measurements_of_a_disk():
  labels, grey = disk_labels((40, 60, 20)), noise((100, 100))
  (row,) = measurements.measure('a.tif', 2, labels, grey, offset=(1000, 2000))
  inside = grey[labels > 0]
  assert (row['file'], row['page'], row['label'], row['area']) == ('a.tif', 3, 1, inside.size)
  assert (row['centroid_row'], row['centroid_column']) == pytest.approx((1040, 2060))
  assert (row['top'], row['left'], row['bottom'], row['right']) == (1021, 2041, 1060, 2080)
  assert row['equivalent_diameter'] == pytest.approx(40, rel=0.02)
  assert row['intensity_mean'] == pytest.approx(inside.mean())
  assert row['intensity_std'] == pytest.approx(inside.std())


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='Linux tells resident memory')
def test_scratch_files_keep_their_values_when_memory_is_released(tmp_path, monkeypatch):
  monkeypatch.setattr(outputs, 'MAX_PIXELS_IN_MEMORY', 10_000)
  array = outputs.scratch_array(tmp_path / 'scratch', (2, 4096, 2048), np.float32)  # 64 MiB
  array[:] = 3
  before = resident_bytes()
  outputs.release_memory(array[1])
  assert before - resident_bytes() > array.nbytes / 2
  assert (array[:, ::512, ::512] == 3).all()
  small = np.ones(3)
  outputs.release_memory(small)
  assert small.sum() == 3


def resident_bytes():
  return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.parametrize(('side', 'step'), [(61, 1), (60, 2), (9, 7), (2, 31)])
def test_subsampled_images_are_the_same_from_blocks(tmp_path, side, step, monkeypatch):
  monkeypatch.setattr(thumbnails, 'LABEL_BLOCK', 16)
  image = np.arange(45 * 61).reshape(45, 61).astype(np.uint16)
  np.save(tmp_path / 'a.npy', image)
  with open_image(tmp_path / 'a.npy') as file:
    found = thumbnails.read_subsampled(file, 0, side)
  np.testing.assert_array_equal(found, image[::step, ::step])


def test_thumbnails_are_in_colour_unless_a_channel_was_chosen(tmp_path):
  colours = noise((45, 61, 3))
  np.save(tmp_path / 'a.npy', colours)
  for channel, expected in ((None, colours), ((0.5, 0.5, 0.0), colours), (1, colours[..., 1])):
    with open_image(tmp_path / 'a.npy', channel) as file:
      found = thumbnails.read_subsampled(file, 0, 31)
    np.testing.assert_array_equal(found, expected[::2, ::2])
