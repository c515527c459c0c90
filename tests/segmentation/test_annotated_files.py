"""Folders of annotated images: which pages are learned from, and which are named and left out."""

import numpy as np
import pytest
import tifffile
from helpers import cells, noise

from fscs.errors import InputError
from fscs.segmentation.annotated_files import ReadOptions, read_annotated_folder
from fscs.segmentation.annotations import read_annotations


def read(folder, choice='luma', masks=None):
  """Names of the pages, and the lines that were logged."""
  lines: list[str] = []
  found = read_annotated_folder(folder, masks or folder, ReadOptions(choice), lines.append)
  return [page.name for page in found.pages], lines


def write_stack(folder, pages, labels):
  tifffile.imwrite(folder / 'a.tif', np.stack(pages), photometric='minisblack')
  masks = np.stack(labels).astype(np.uint8)
  tifffile.imwrite(folder / 'a_mask.tif', masks, photometric='minisblack')


def left_out(lines):
  return [line for line in lines if line.startswith('left out: ')]


def test_pages_that_cannot_be_used_leave_the_others(tmp_path):
  pages, labels = zip(*(cells(seed) for seed in range(5)), strict=True)
  pages, labels = [page.astype(np.float32) for page in pages], list(labels)
  labels[1] = np.zeros_like(labels[1])
  pages[2][3, 4] = np.nan
  pages[3][:] = 7
  write_stack(tmp_path, pages, labels)
  names, lines = read(tmp_path)
  assert names == ['a.tif, page 1', 'a.tif, page 5']
  named = left_out(lines)
  assert len(named) == 3
  for page in (2, 3, 4):
    assert any(f'a.tif, page {page}: ' in line for line in named)


def test_a_bad_mask_leaves_the_other_images(tmp_path):
  for name, seed in (('bad', 0), ('good', 1)):
    image, labels = cells(seed)
    tifffile.imwrite(tmp_path / f'{name}.tif', image)
    cut = slice(None) if name == 'good' else slice(50)
    tifffile.imwrite(tmp_path / f'{name}_mask.tif', labels[cut].astype(np.uint8))
  names, lines = read(tmp_path)
  assert names == ['good.tif']
  (line,) = left_out(lines)
  assert 'bad_mask.tif' in line


def test_masks_that_look_wrong_and_files_without_counterpart_are_named(tmp_path):
  for name in ('images', 'masks'):
    (tmp_path / name).mkdir()
  image, labels = cells(0)
  masks = {
    'classes': np.where(labels == 0, 0, 1 + labels % 2),
    'inverted': np.where(labels == 0, 255, 0),
    'labels': labels,
    'unused': labels,
  }
  for name, mask in masks.items():
    tifffile.imwrite(tmp_path / 'masks' / f'{name}_mask.tif', mask.astype(np.uint8))
  for name in ('classes', 'inverted', 'labels', 'other'):
    tifffile.imwrite(tmp_path / 'images' / f'{name}.tif', image)
  names, lines = read(tmp_path / 'images', masks=tmp_path / 'masks')
  assert names == ['classes.tif', 'inverted.tif', 'labels.tif']
  notes = [line for line in lines if line.startswith('note: ')]
  for name in ('other.tif', 'unused_mask.tif', 'inverted.tif', 'classes.tif'):
    assert sum(f': 1 ({name})' in line for line in notes) == 1


def test_images_whose_channel_is_blank_are_left_out(tmp_path):
  for name, seed in (('a', 0), ('b', 1)):
    image, labels = cells(seed)
    first = image if name == 'a' else np.full_like(image, 7)
    planes = np.stack([first, noise(image.shape, seed).astype(image.dtype)])
    tifffile.imwrite(tmp_path / f'{name}.tif', planes, metadata={'axes': 'CYX'}, ome=True)
    tifffile.imwrite(tmp_path / f'{name}_mask.tif', labels.astype(np.uint8))
  names, lines = read(tmp_path, 0)
  assert names == ['a.tif']
  assert ['b.tif' in line for line in left_out(lines)] == [True]
  (tmp_path / 'a.tif').unlink()
  with pytest.raises(InputError, match='no image with its mask can be used') as caught:
    read(tmp_path, 0)
  assert caught.value.arguments == ('channel',)


def test_the_first_channel_is_taken_as_of_arrays_if_none_separates_the_objects(tmp_path):
  image, labels = cells(0)
  planes = np.stack([image, image])
  tifffile.imwrite(tmp_path / 'a.tif', planes, metadata={'axes': 'CYX'}, ome=True)
  tifffile.imwrite(tmp_path / 'a_mask.tif', labels.astype(np.uint8))
  found = read_annotated_folder(tmp_path, tmp_path, log=lambda _: None)
  expected = read_annotations([np.moveaxis(planes, 0, -1)], [labels])
  assert found.channel == expected.channel == 0


def test_pixels_without_data_are_learned_from_as_the_darkest(tmp_path):
  image, labels = cells(0)
  image, labels = image.astype(np.float32), labels.copy()
  expected = image.copy()
  image[:10], labels[:10] = np.nan, 0
  expected[:10] = image[10:].min()
  tag = (42113, 's', 0, 'nan', True)
  tifffile.imwrite(tmp_path / 'a.tif', image, photometric='minisblack', extratags=[tag])
  tifffile.imwrite(tmp_path / 'a_mask.tif', labels.astype(np.uint8))
  lines: list[str] = []
  (page,) = read_annotated_folder(tmp_path, tmp_path, ReadOptions(), lines.append).pages
  np.testing.assert_array_equal(page.grey, expected)
  assert any('no data' in line and 'a.tif' in line for line in lines)
