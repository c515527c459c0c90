"""What training on sources is given: their sizes, and batches of one source each."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest
from skimage import io

from experiments import finetune_eval, pretrain
from experiments.common import data, evaluation_options, own_sources, results, sources
from experiments.common.bounds import check_bounds
from experiments.common.options import from_preset
from fscs.cli import finetune
from fscs.data.synthetic import simulate
from fscs.errors import InputError


@pytest.fixture(scope='module')
def config():
  simulated = {'data': 'simulated', 'simulated_images': 4, 'target': 'TNBC'}
  return dataclasses.replace(from_preset(pretrain.Config, 'smoke'), **simulated)


@pytest.fixture(scope='module')
def as_they_are(config):
  return sources.load(config, ('B39', 'ssTEM'))


def test_sources_of_small_objects_can_be_enlarged(config, as_they_are):
  wanted = (2 * as_they_are.diameter_range[0], 1000.0)
  resized = sources.load(dataclasses.replace(config, diameter_range=wanted), ('B39', 'ssTEM'))
  assert resized.diameter_range == wanted
  assert resized.fingerprints == as_they_are.fingerprints
  assert len(resized.training.pixels) != len(as_they_are.training.pixels)
  foreground = [float(bank.training.masks.mean()) for bank in (as_they_are, resized)]
  assert 0.3 < foreground[1] / foreground[0] < 3


def test_batches_of_one_source_hold_no_crop_of_another(config, as_they_are):
  chosen = dataclasses.replace(config, batches='source', pretrain_batch_size=3)
  bank = as_they_are.training
  stream = pretrain._training_stream(bank, chosen, 8)
  of_source = np.searchsorted(np.asarray(bank.first), stream, side='right') - 1
  assert stream.shape == (8, 3)
  assert (of_source == of_source[:, :1]).all()
  assert sorted(of_source[:2, 0]) == [0, 1]
  mixed = pretrain._training_stream(bank, config, 8)
  assert mixed.shape == (8, config.pretrain_batch_size)


def write_folder(folder, shapes, parts=('images', 'masks')):
  """Annotated images of those sizes, cut from simulated ones."""
  simulated = simulate('B39', num_images=len(shapes), seed=5)
  images, masks = (folder / part for part in parts)
  for made in (images, masks):
    made.mkdir(parents=True, exist_ok=True)
  for i, (height, width) in enumerate(shapes):
    np.save(images / f'c{i}.npy', simulated.images[i][:height, :width])
    mask = simulated.masks[i][:height, :width].astype(np.uint8)
    io.imsave(masks / f'c{i}_mask.png', 255 * mask, check_contrast=False)
  return str(folder)


@pytest.mark.parametrize('parts', [('images', 'masks'), ('', ''), ('', 'masks'), ('images', '')])
def test_a_folder_of_own_images_is_a_source(tmp_path, parts):
  read = own_sources.read(write_folder(tmp_path / 'mine', [(200, 300), (220, 260)], parts))
  assert (read.code, read.names) == ('mine', ('c0.npy', 'c1.npy'))
  assert {pixels.shape for pixels in (*read.images, *read.masks)} == {(220, 300)}
  assert {image.dtype for image in read.images} == {np.dtype(np.uint8)}
  assert read.images[0].max() == 255  # grey values are stretched
  # What is missing is the mirror image of what is there, of image and mask alike.
  for pixels in (read.images, read.masks):
    np.testing.assert_array_equal(pixels[0][200:], pixels[0][180:200][::-1])
    np.testing.assert_array_equal(pixels[1][:, 260:], pixels[1][:, 220:260][:, ::-1])
  np.testing.assert_array_equal(
    read.masks[0][:200], simulate('B39', num_images=1, seed=5).masks[0][:200, :300]
  )


def test_masks_beside_images_are_found_in_their_folder(tmp_path):
  write_folder(tmp_path / 'mine', [(64, 64)] * 2, ('images', 'images'))
  (tmp_path / 'mine' / '.DS_Store').write_text('')
  assert own_sources.read(str(tmp_path / 'mine')).names == ('c0.npy', 'c1.npy')


def test_own_objects_are_as_wide_as_their_masks_say_where_they_touch(config, tmp_path):
  labels = np.zeros((128, 128), np.uint8)
  for i, (row, column) in enumerate(itertools.product((8, 20, 64, 76), repeat=2), 1):
    labels[row : row + 12, column : column + 12] = i
  for name in 'ab':
    np.save(tmp_path / f'{name}.npy', np.random.default_rng(0).integers(0, 255, labels.shape))
    io.imsave(tmp_path / f'{name}_mask.png', labels, check_contrast=False)
  small = {'crop_size': 64, 'downscale': 2, 'sources': (str(tmp_path),)}
  loaded = sources.load(dataclasses.replace(config, **small), small['sources'])
  assert loaded.diameter_range[0] == pytest.approx(6 * (4 / np.pi) ** 0.5, rel=0.01)


def test_own_images_are_as_large_as_a_crop_at_least(config, tmp_path):
  folder = write_folder(tmp_path / 'mine', [(100, 90)] * 2)
  chosen = dataclasses.replace(config, crop_size=64, downscale=2)
  (loaded,) = data.load_prepared([folder], chosen)
  assert loaded.grey_set.images.shape == (2, 64, 64)
  assert not loaded.objects[0][50:].any()  # what mirrors others is not measured
  with pytest.raises(InputError, match='mine: images of 90 x 100 pixels are too small for crops'):
    data.load_prepared([folder], dataclasses.replace(chosen, crop_size=128))


def test_own_images_of_very_different_sizes_are_not_one_source(tmp_path):
  folder = write_folder(tmp_path / 'mine', [(64, 64)] * 8 + [(500, 500)])
  with pytest.raises(InputError, match='mine: images of 64 x 64 pixels and of 500 x 500 pixels'):
    own_sources.read(folder)


def test_sources_that_are_neither_published_nor_a_folder_are_refused(config, tmp_path):
  def codes_of(*chosen, target='none'):
    return sources.codes_of(dataclasses.replace(config, sources=chosen, target=target))

  for name in ('mine', 'other/mine', 'B5'):
    (tmp_path / name).mkdir(parents=True)
  mine, other, like_b5 = (str(tmp_path / name) for name in ('mine', 'other/mine', 'B5'))
  assert codes_of() == sources.CODES
  assert codes_of('B39', mine) == ('B39', mine)
  for chosen, message in (
    (('B5', 'B6'), 'has B6: one of B5 B39 ssTEM EM TNBC, or a folder of annotated images'),
    ((mine, other), 'mine and .*other/mine, which are of one name, mine: rename one'),
    ((like_b5,), 'a published data set has that name; rename it'),
  ):
    with pytest.raises(InputError, match=message):
      codes_of(*chosen)
  with pytest.raises(InputError, match='which is the --target'):
    codes_of('B5', mine, target='B5')
  with pytest.raises(InputError, match=r'^--sources has .*/mine: .*/mine: found nothing, no file'):
    own_sources.read(mine)


def test_a_run_says_how_wide_its_objects_were(config, tmp_path, capsys):
  from fscs.io.checkpoints import load_init

  own = write_folder(tmp_path / 'mine', [(300, 300)] * 3)
  chosen = dataclasses.replace(
    config, sources=(own, 'ssTEM'), diameter_range=(14.0, 20.0), workdir=str(tmp_path / 'run')
  )
  chosen = dataclasses.replace(
    chosen, loss='bce_dice', augmentation='strong', pretrain_schedule='cosine', batches='source'
  )
  pretrain.pretrain(chosen)
  elsewhere = dataclasses.replace(chosen, sources=(f'{tmp_path}/./mine/', 'ssTEM'))
  workdir = pretrain.pretrain(elsewhere)  # the same one goes on
  params, metadata = load_init(workdir / 'init')
  assert metadata['diameter_range'] == [14, 20]
  assert metadata['sources'] == ['mine', 'ssTEM']
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
  evaluation = evaluation_options.defaults([f'--init={workdir}'])
  assert evaluation.diameter_range == (14, 20)
  evaluation = dataclasses.replace(
    evaluation, shots=(1,), selections=(1,), widths=None, workdir=str(tmp_path / 'evaluation')
  )
  (row,) = results.read_all(finetune_eval.finetune_eval(evaluation))
  assert 0 <= row.iou <= 1
  assert '--diameter-range' not in capsys.readouterr().err
  evaluation_options.note_other_sizes(dataclasses.replace(evaluation, diameter_range=None))
  expected = 'learned from objects resized to 14 to 20 pixels, and is tried on objects as they are'
  assert expected in capsys.readouterr().err
  for images, told in ((f'{own}/images', True), (str(tmp_path), False), ('ssTEM', False)):
    finetune._note_known_images(finetune.Config(images=images, init=str(workdir)))
    assert ('are not new to it' in capsys.readouterr().err) == told


def test_a_range_of_diameters_begins_above_zero_and_rises(config):
  for wrong in ((0, 10), (20, 10)):
    with pytest.raises(InputError, match=r'--diameter-range is \(.*: two numbers above 0'):
      check_bounds(dataclasses.replace(config, diameter_range=wrong))
