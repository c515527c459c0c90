"""What `fscs.cli.finetune` reads: stacks, channels, options out of bounds; a tiny network."""

import jax
import numpy as np
import pytest
import tifffile
from test_finetuning import cells

import fscs
from fscs.cli import finetune
from fscs.data.channels import weighted
from fscs.errors import InputError
from fscs.io.checkpoints import save_init
from fscs.io.starting import load_start
from fscs.models import init_params, make_model
from fscs.segmentation.finetuning import Settings
from fscs.segmentation.segmenter import Segmenter


@pytest.fixture
def folder(tmp_path):
  model = make_model('fcrn', widths=(8, 8, 16, 16), kernel_init='he')
  params = init_params(model, jax.random.key(0))
  save_init(tmp_path / 'init', params, {'architecture': 'fcrn', 'diameter_range': (16.0, 16.0)})
  (tmp_path / 'images').mkdir()
  return tmp_path


def config(folder, **options):
  paths = {'images': 'images', 'init': 'init', 'workdir': 'run'}
  paths = {name: str(folder / path) for name, path in paths.items()}
  return finetune.Config(**{**paths, 'steps': 2, 'crop_size': 32, 'report': False, **options})


def write_stack(folder, pages, masks):
  tifffile.imwrite(folder / 'images' / 'a.tif', np.stack(pages), photometric='minisblack')
  tifffile.imwrite(folder / 'images' / 'a_mask.tif', np.stack(masks), photometric='minisblack')


def test_what_failed_or_was_stopped_makes_room_for_another_try(folder, monkeypatch):
  image, labels = cells(0)
  write_stack(folder, [image], [labels.astype(np.uint8)])
  with pytest.raises(InputError, match='no object left'):
    finetune.finetune(config(folder, scale=0.01))
  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(finetune, 'finetune_with_trials', None)
    patched.setattr(finetune, 'num_steps', lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    finetune.finetune(config(folder, seed=3))
  finetune.finetune(config(folder))
  finetune.finetune(config(folder, report=True))  # is only shown otherwise
  with pytest.raises(InputError, match='belongs to another run: --seed is 0 there and 3 now'):
    finetune.finetune(config(folder, seed=3))


def test_masks_that_look_as_if_something_else_was_meant_are_named(folder, capsys):
  image, labels = cells(0)
  classes = np.where(labels == 0, 0, 1 + labels % 2).astype(np.uint8)
  inverted = np.where(labels == 0, 255, 0).astype(np.uint8)
  for name, mask in (('classes', classes), ('inverted', inverted), ('labels', labels)):
    tifffile.imwrite(folder / 'images' / f'{name}.tif', image)
    tifffile.imwrite(folder / 'images' / f'{name}_mask.tif', mask.astype(np.uint8))
  tifffile.imwrite(folder / 'images' / 'other.tif', image)
  (folder / 'masks').mkdir()
  for path in (folder / 'images').glob('*_mask.tif'):
    path.rename(folder / 'masks' / path.name)
  tifffile.imwrite(folder / 'masks' / 'more_mask.tif', classes)
  finetune.finetune(config(folder, masks=str(folder / 'masks')))
  error = capsys.readouterr().err
  assert 'note: images without a mask, left out: 1 (other.tif)' in error
  assert 'note: masks without an image, left out: 1 (more_mask.tif)' in error
  assert 'objects and background exchanged?: 1 (inverted.tif)' in error
  assert 'are their values classes, rather than numbers?: 1 (classes.tif)' in error


def test_pages_of_a_stack_without_marks_or_contrast_are_named_and_left_out(folder, capsys):
  pages, labels = zip(*(cells(seed) for seed in range(4)), strict=True)
  pages, labels = list(pages), [page.astype(np.uint8) for page in labels]
  labels[1][:] = 0
  pages[3][:] = 7
  write_stack(folder, pages, labels)
  finetune.finetune(config(folder))
  printed = capsys.readouterr()
  assert 'left out: a.tif, page 2: nothing is marked' in printed.err
  assert 'left out: a.tif, page 4: all pixels have the same grey value' in printed.err
  assert 'held out: a.tif, page 1' in printed.out
  assert 'page 2' not in printed.out


def test_a_bad_page_leaves_the_others_of_its_stack(folder, capsys):
  pages, labels = zip(*(cells(seed) for seed in range(4)), strict=True)
  pages = [page.astype(np.float32) for page in pages]
  pages[1][3, 4] = pages[2][0, 0] = np.nan
  write_stack(folder, pages, [page.astype(np.uint8) for page in labels])
  finetune.finetune(config(folder))
  printed = capsys.readouterr()
  assert 'left out: a.tif, pages 2, 3: ' in printed.err
  assert 'found 1 pixels that are NaN' in printed.err
  for page in (1, 4):
    assert f'held out: a.tif, page {page}' in printed.out


def test_an_image_whose_channel_is_blank_is_left_out(folder, capsys):
  for name, seed in (('a', 0), ('b', 1)):
    image, labels = cells(seed)
    first = image if name == 'a' else np.full_like(image, 7)
    noise = np.random.default_rng(seed).integers(0, 9, image.shape).astype(image.dtype)
    planes = np.stack([first, noise])
    tifffile.imwrite(folder / 'images' / f'{name}.tif', planes, metadata={'axes': 'CYX'}, ome=True)
    tifffile.imwrite(folder / 'images' / f'{name}_mask.tif', labels.astype(np.uint8))
  finetune.finetune(config(folder, channel=0))
  assert 'left out: b.tif: all pixels have the same grey value' in capsys.readouterr().err
  with pytest.raises(
    InputError, match=r'no image with its mask can be used; see above\. Another channel'
  ):
    (folder / 'images' / 'a.tif').unlink()
    finetune.finetune(config(folder, channel=0, workdir=str(folder / 'other')))


def test_the_chosen_channel_stays_with_the_model(folder):
  image, labels = cells(0)
  noise = np.random.default_rng(0).integers(0, 999, image.shape).astype(np.uint16)
  colours = np.stack([noise, image, noise], axis=-1)
  tifffile.imwrite(folder / 'images' / 'a.tif', colours, photometric='rgb')
  tifffile.imwrite(folder / 'images' / 'a_mask.tif', labels.astype(np.uint8))
  finetune.finetune(config(folder, channel=1))
  segmenter = Segmenter.load(folder / 'run' / 'model')
  np.testing.assert_array_equal(segmenter.predict(colours), segmenter.predict(image))


@pytest.mark.parametrize('choice', ['learned', 'luma'])
def test_what_tells_the_annotated_objects_best_is_learned_and_stays_with_the_model(
  folder, choice, capsys
):
  image, labels = cells(0)
  noise = np.random.default_rng(0).integers(0, 999, image.shape).astype(np.uint16)
  colours = np.stack([noise, image, noise[::-1]], axis=-1)
  tifffile.imwrite(folder / 'images' / 'a.tif', colours, photometric='rgb')
  tifffile.imwrite(folder / 'images' / 'a_mask.tif', labels.astype(np.uint8))
  finetune.finetune(config(folder, channel=choice))
  segmenter = Segmenter.load(folder / 'run' / 'model')
  printed = capsys.readouterr().out
  if choice == 'luma':
    assert segmenter.channel is None
    assert 'a.tif: luma of RGB' in printed
    return
  assert np.argmax(segmenter.channel) == 1
  assert 'grey values: weighted sum of the channels, ' in printed
  predicted = segmenter.predict(colours)
  np.testing.assert_array_equal(segmenter.predict(weighted(colours, segmenter.channel)), predicted)
  settings = Settings(num_steps=2, crop_size=32)
  again = fscs.finetune(load_start(str(folder / 'init')), [colours], [labels], settings=settings)
  assert again.channel == segmenter.channel


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'seed': -1}, '--seed is -1: 0 to'),
    ({'seed': 2**32}, '--seed is 4294967296: 0 to'),
    ({'scale': 0.001}, r'a.tif: resized by 0.001, .* \(--scale\)'),
    ({'channel': 4}, 'no image with its mask can be used; see above'),
  ],
)
def test_options_out_of_bounds(folder, options, message):
  image, labels = cells(0)
  tifffile.imwrite(folder / 'images' / 'a.tif', image)
  tifffile.imwrite(folder / 'images' / 'a_mask.tif', labels.astype(np.uint8))
  with pytest.raises(InputError, match=message):
    finetune.finetune(config(folder, **options))
