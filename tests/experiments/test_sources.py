"""Sources of training: published sets, folders of annotated images, sizes, held-out images."""

import dataclasses
import itertools

import numpy as np
import pytest
from helpers import disk_set
from skimage import io

from experiments import pretrain
from experiments.common import data, source_folders, sources
from fscs.data.preprocessing import prepare
from fscs.data.synthetic import simulate
from fscs.errors import InputError


@pytest.fixture(scope='module')
def config():
  return pretrain.Config(
    preset='smoke', data='simulated', simulated_images=4, target='TNBC', arch='fcrn'
  )


def write_folder(folder, shapes, parts=('images', 'masks')) -> str:
  """Annotated images of these sizes, cut from simulated ones."""
  simulated = simulate('B39', num_images=len(shapes), seed=5)
  images, masks = (folder / part for part in parts)
  for made in (images, masks):
    made.mkdir(parents=True, exist_ok=True)
  for i, (height, width) in enumerate(shapes):
    np.save(images / f'c{i}.npy', simulated.images[i][:height, :width])
    mask = simulated.masks[i][:height, :width].astype(np.uint8)
    io.imsave(masks / f'c{i}_mask.png', 255 * mask, check_contrast=False)
  return str(folder)


@pytest.mark.parametrize('target', ['B5', 'EM', 'none'])
def test_by_default_the_target_and_nothing_else_is_left_out(config, target):
  codes = sources.codes_of(dataclasses.replace(config, target=target))
  assert set(codes) == {'B5', 'B39', 'ssTEM', 'EM', 'TNBC'} - {target}


def test_sources_can_be_resized_to_a_range_of_diameters(config):
  codes = ('B39', 'ssTEM')
  plain = sources.load(config, codes)
  wanted = (2 * plain.diameter_range[0], 1000.0)
  resized = sources.load(dataclasses.replace(config, diameter_range=wanted), codes)
  assert resized.diameter_range == wanted
  assert resized.fingerprints == plain.fingerprints
  assert len(resized.training.pixels) > 2 * len(plain.training.pixels)


def test_held_out_images_are_not_trained_on():
  kept, held_out = data.hold_out(prepare(disk_set(num_images=12)), seed=3)
  assert (len(kept.names), len(held_out.names)) == (11, 1)
  assert not set(kept.names) & set(held_out.names)
  with pytest.raises(InputError, match='B5: found 1 image'):
    data.hold_out(prepare(disk_set(num_images=1)), seed=0)


@pytest.mark.parametrize(
  'parts', [('images', 'masks'), ('', ''), ('', 'masks'), ('images', ''), ('images', 'images')]
)
def test_a_folder_is_read_and_padded_by_reflection(tmp_path, parts):
  folder = write_folder(tmp_path / 'mine', [(200, 300), (220, 260)], parts)
  read = source_folders.read_folder(folder)
  assert (read.code, read.names) == ('mine', ('c0.npy', 'c1.npy'))
  assert {pixels.shape for pixels in (*read.images, *read.masks)} == {(220, 300)}
  assert read.images[0].dtype == np.uint8
  assert read.images[0].max() == 255  # grey values are stretched
  for pixels in (read.images, read.masks):
    np.testing.assert_array_equal(pixels[0][200:], pixels[0][180:200][::-1])
    np.testing.assert_array_equal(pixels[1][:, 260:], pixels[1][:, 220:260][:, ::-1])
  truth = simulate('B39', num_images=2, seed=5).masks[0][:200, :300]
  np.testing.assert_array_equal(read.masks[0][:200], truth)


def test_images_without_objects_are_no_source(tmp_path):
  folder = write_folder(tmp_path / 'mine', [(200, 300), (220, 260)], ('images', 'masks'))
  np.save(tmp_path / 'mine' / 'images' / 'empty.npy', np.eye(200, 300))
  io.imsave(
    tmp_path / 'mine' / 'masks' / 'empty.png', np.zeros((200, 300), np.uint8), check_contrast=False
  )
  assert source_folders.read_folder(folder).names == ('c0.npy', 'c1.npy')


def test_objects_that_touch_are_measured_by_their_labels(config, tmp_path):
  labels = np.zeros((128, 128), np.uint8)
  for i, (row, column) in enumerate(itertools.product((8, 20, 64, 76), repeat=2), 1):
    labels[row : row + 12, column : column + 12] = i
  for name in 'ab':
    np.save(tmp_path / f'{name}.npy', np.random.default_rng(0).integers(0, 255, labels.shape))
    io.imsave(tmp_path / f'{name}_mask.png', labels, check_contrast=False)
  small = dataclasses.replace(config, crop_size=64, downscale=2, sources=(str(tmp_path),))
  loaded = sources.load(small, small.sources)
  # Disks of the area of 12 x 12 pixels, at half the size.
  assert loaded.diameter_range[0] == pytest.approx(6 * (4 / np.pi) ** 0.5, rel=0.01)


def test_images_smaller_than_a_crop_are_padded_or_refused(config, tmp_path):
  folder = write_folder(tmp_path / 'mine', [(100, 90)] * 2)
  small = dataclasses.replace(config, crop_size=64, downscale=2)
  (loaded,) = data.load_prepared([folder], small)
  assert loaded.grey_set.images.shape == (2, 64, 64)
  assert not loaded.objects[0][50:].any()  # reflected objects are not measured
  with pytest.raises(InputError, match='images of 90 x 100 pixels are too small for crops'):
    data.load_prepared([folder], dataclasses.replace(small, crop_size=128))


def test_images_of_very_different_sizes_are_refused(tmp_path):
  folder = write_folder(tmp_path / 'mine', [(64, 64)] * 8 + [(500, 500)])
  with pytest.raises(InputError, match='images of 64 x 64 pixels and of 500 x 500 pixels'):
    source_folders.read_folder(folder)


def test_sources_that_cannot_be_used_are_refused(config, tmp_path):
  for name in ('mine', 'other/mine', 'B5'):
    (tmp_path / name).mkdir(parents=True)
  mine, other, like_b5 = (str(tmp_path / name) for name in ('mine', 'other/mine', 'B5'))
  for chosen, message in (
    (('B39', 'B5', 'TNBC'), 'have TNBC, which is the target'),
    (('B39', 'B6'), 'source B6: expected one of B5 B39 ssTEM EM TNBC, or a folder'),
    (('B39', 'B39'), 'B39 is given twice'),
    ((mine, other), 'mine and .*other/mine have the same name'),
    ((like_b5,), 'a published data set has that name'),
  ):
    with pytest.raises(InputError, match=message):
      sources.codes_of(dataclasses.replace(config, sources=chosen))
  with pytest.raises(InputError, match=r'^source .*/mine: .*found no'):
    source_folders.read_folder(mine)
