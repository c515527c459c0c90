"""Fine-tuning on a few arrays, and the segmenter that comes of it, with a tiny network."""

import dataclasses
import functools
import json

import jax
import numpy as np
import optax
import pytest
from skimage.draw import disk

from fscs import metrics
from fscs.data.intensity import stretch
from fscs.errors import InputError
from fscs.io.initialisations import Initialisation
from fscs.models import init_params, make_model
from fscs.data import crops as annotated_crops
from fscs.segmentation import finetuning
from fscs.segmentation.tiling import tiles
from fscs.segmentation.annotations import annotate, annotate_all
from fscs.segmentation.cross_validation import try_folds, with_statistics
from fscs.segmentation.finetuning import Settings, finetune_with_trials, num_steps
from fscs.segmentation.folds import Piece
from fscs.segmentation.segmenter import Segmenter, statistics_of
from fscs.segmentation.prediction import predict_grey

SETTINGS = Settings(60, 8, learning_rate=2e-2, crop_size=32, optimizer='adam', orientations=1)


def cells(seed, shape=(72, 96), count=6, radius=8):
  """Bright disks on a noisy ramp: (H, W) uint16, and a label for each."""
  random = np.random.default_rng(seed)
  labels = np.zeros(shape, np.int32)
  for number in range(1, count + 1):
    centre = random.uniform(radius, np.array(shape) - radius)
    labels[disk(centre, radius, shape=shape)] = number
  image = 300 + 3 * np.arange(shape[1]) + random.normal(0, 40, shape) + 500 * (labels > 0)
  return image.astype(np.uint16), labels


@pytest.fixture(scope='module')
def initialisation():
  model = make_model('fcrn', widths=(8, 8, 16, 16), kernel_init='he')
  return Initialisation('fcrn', model.widths, init_params(model, jax.random.key(0)), (16.0, 16.0))


@pytest.fixture(scope='module')
def support():
  return tuple(zip(*(cells(seed) for seed in range(3)), strict=True))


@pytest.fixture(scope='module')
def result(initialisation, support):
  done = []
  found = finetune_with_trials(initialisation, *support, settings=SETTINGS, advance=done.append)
  assert sum(done) == num_steps(3, SETTINGS) == 240
  return found


def test_it_learns_and_its_estimate_is_what_new_images_give(result):
  assert len(result.losses) == 60
  assert result.losses[-5:].mean() < result.losses[:5].mean() / 2
  new = [cells(seed) for seed in range(100, 106)]
  ious = [metrics.iou(result.segmenter.predict(x) > 0.5, y > 0) for x, y in new]
  assert np.mean(ious) > 0.8
  assert result.segmenter.estimate == pytest.approx(np.mean(ious), abs=0.1)
  assert [trial.name for trial in result.trials] == ['image 0', 'image 1', 'image 2']


def test_labels_are_objects_of_the_annotated_size(result):
  image, truth = cells(200)
  labels = result.segmenter.labels(image)
  assert labels.dtype == np.int32
  assert labels.shape == image.shape
  assert 0 < labels.max() <= truth.max() + 1


def test_the_unit_of_grey_values_does_not_matter(result):
  image, _ = cells(200)
  expected = result.segmenter.predict(image)
  for other in (image / 65535, image.astype(np.float64) * 3 + 7, image[..., None]):
    np.testing.assert_allclose(result.segmenter.predict(other), expected, atol=0.02)


def test_saved_and_loaded_it_predicts_the_same(result, tmp_path):
  result.segmenter.save(tmp_path / 'model')
  loaded = Segmenter.load(tmp_path / 'model')
  image, _ = cells(200)
  np.testing.assert_array_equal(loaded.predict(image), result.segmenter.predict(image))
  assert loaded.splitting == result.segmenter.splitting
  assert loaded.support == result.segmenter.support
  assert loaded.estimate == result.segmenter.estimate


@pytest.mark.parametrize('shape', [(1, 1), (3, 400), (200, 130)])
def test_images_of_any_size_are_predicted(result, shape):
  probability = result.segmenter.predict(np.random.default_rng(0).random(shape))
  assert probability.shape == shape
  assert probability.dtype == np.float32
  assert ((probability >= 0) & (probability <= 1)).all()


def test_tiles_agree_with_the_whole_under_kept_statistics(result, monkeypatch):
  segmenter = result.segmenter
  image, _ = cells(5, shape=(256, 384), count=30)
  if segmenter.statistics is None:
    pieces = tiles.sample(tiles.pad_to_crops(stretch(image)), 4, 128)
    statistics = statistics_of(segmenter, pieces)
    segmenter = dataclasses.replace(segmenter, statistics=statistics)
  whole = segmenter.predict(image)
  original = tiles.spans
  monkeypatch.setattr(tiles, 'spans', lambda size, reach: original(size, reach, 128))
  np.testing.assert_allclose(segmenter.predict(image), whole, atol=1e-5)


def test_large_images_are_predicted_with_the_statistics_of_a_sample(result, monkeypatch):
  segmenter = dataclasses.replace(result.segmenter, statistics=None)
  image, _ = cells(5, shape=(256, 384), count=30)
  whole = segmenter.predict(image)
  original = tiles.spans
  monkeypatch.setattr(tiles, 'TILE', 128)
  monkeypatch.setattr(tiles, 'sample', functools.partial(tiles.sample, side=64))
  monkeypatch.setattr(tiles, 'spans', lambda size, reach: original(size, reach, 128))
  assert metrics.iou(segmenter.predict(image) > 0.5, whole > 0.5) > 0.85


@pytest.mark.parametrize('count', [1, 2])
def test_one_or_two_images_are_tried_by_halves(initialisation, support, count):
  images, masks = (side[:count] for side in support)
  settings = SETTINGS._replace(num_steps=4, crop_size=16)
  found = finetune_with_trials(initialisation, images, masks, settings=settings)
  assert [trial.grey.shape for trial in found.trials] == [(72, 48)] * 2 * count
  assert found.segmenter.estimate is not None


def test_halves_of_an_image_with_objects_on_one_side_both_have_some(initialisation):
  parts = zip(cells(0), cells(1, count=0), strict=True)
  image, labels = (np.concatenate(pair) for pair in parts)  # the lower half is empty
  settings = SETTINGS._replace(num_steps=4, crop_size=16)
  found = finetune_with_trials(initialisation, [image], [labels], settings=settings)
  assert len(found.trials) == 2
  assert all(trial.labels.any() for trial in found.trials)


def test_a_mask_of_one_object_does_not_keep_others_from_telling_objects_apart(support):
  images, labels = support
  one = np.where(labels[2] == 1, 1, 0)
  tell_apart = lambda *masks: annotate_all(images, masks, None, 'learned')[1]  # noqa: E731
  assert tell_apart(*labels)
  assert tell_apart(*labels[:2], one)
  assert tell_apart(*labels[:2], one > 0)
  assert not tell_apart(*labels[:2], labels[2] > 0)
  assert not tell_apart(one, one, one)


def test_arrays_may_be_lists_and_channels_numbers_of_numpy(support):
  (image, *_), (labels, *_) = support
  colours = np.stack([image, image[::-1], image], -1)
  for choice in ('learned', np.int64(2)):
    expected = annotate_all([colours], [labels], None, choice)
    listed = annotate_all([colours.tolist()], [labels.tolist()], None, choice)
    np.testing.assert_array_equal(listed[0][0].labels, expected[0][0].labels)
    assert listed[1:] == expected[1:]
  assert type(listed[2]) is int


def test_an_image_too_small_for_halves_gives_no_estimate(initialisation):
  image, labels = cells(0, shape=(40, 40), count=1)
  settings = SETTINGS._replace(num_steps=2, crop_size=64)
  found = finetune_with_trials(initialisation, [image], [labels > 0], settings=settings)
  assert found.trials == ()
  assert found.segmenter.estimate is None
  assert found.segmenter.splitting.distance is None


def test_images_too_small_for_halves_are_split_as_usual_or_tried_one_by_one(initialisation):
  pairs = [cells(seed, shape=(80, 80), count=4) for seed in (0, 1)]
  settings = SETTINGS._replace(num_steps=2, crop_size=64)
  found = finetune_with_trials(initialisation, *zip(*pairs[:1], strict=True), settings=settings)
  assert found.trials == ()
  assert found.segmenter.splitting.distance == pytest.approx(8, abs=1)  # half of 16 pixels
  found = finetune_with_trials(initialisation, *zip(*pairs, strict=True), settings=settings)
  assert [trial.grey.shape for trial in found.trials] == [(80, 80)] * 2
  assert [trial.name for trial in found.trials] == ['image 0', 'image 1']


def test_some_crops_without_foreground_are_learned_from():
  mask = np.zeros((64, 256), np.uint8)
  mask[10:20, 10:20] = 1
  crops = annotated_crops.crops_of(mask, 32, 8)
  filled = [mask[r : r + 32, c : c + 32].any() for _, r, c in crops]
  assert sum(filled) == 9
  assert len(crops) == 12
  assert len({tuple(crop) for crop in crops}) == 12


def test_crops_reach_the_last_pixels_of_an_image(initialisation):
  image, labels = cells(0, shape=(45, 61))
  annotated, _ = annotate(image, labels, 'image')
  _, corners, (filled,) = annotated_crops.crop_bank([annotated], 32)
  np.testing.assert_array_equal(filled[:45, :61], annotated.grey)
  assert corners[:, 1].max() + 32 >= 45
  assert corners[:, 2].max() + 32 >= 61


def test_statistics_of_a_fold_come_from_outside_it(initialisation, support):
  """Every image has grey values of its own, so that crops tell which they are of."""
  annotated = [annotate(x, y, str(i))[0] for i, (x, y) in enumerate(zip(*support, strict=True))]
  annotated = [a._replace(grey=np.full_like(a.grey, 10 * i)) for i, a in enumerate(annotated)]
  start = finetuning._start(initialisation, annotated, 1.0, None, 1, split=True)
  folds, networks = finetuning._train(start, annotated, SETTINGS._replace(num_steps=1), None)
  for fold, network in zip(folds, networks[:-1], strict=True):
    (held_out,) = fold
    assert {10 * i for i in range(3)} - set(np.unique(network.crops)) == {10 * held_out.image}
  assert set(np.unique(networks[-1].crops)) == {0, 10, 20}


def test_held_out_images_are_predicted_in_all_orientations(result, support):
  image, labels = (side[0] for side in support)
  annotated, _ = annotate(image, labels, 'image')
  start = dataclasses.replace(result.segmenter, statistics=None, orientations=4)
  whole = (Piece(0, slice(0, 72), slice(0, 96)),)
  crops = annotated.grey[None, :64, :96]
  (trial,), keep = try_folds(start, [annotated], [whole], [start.params], [crops])
  segmenter = with_statistics(start, crops) if keep else start
  np.testing.assert_array_equal(trial.probability, predict_grey(segmenter, annotated.grey))
  of_one = predict_grey(dataclasses.replace(segmenter, orientations=1), annotated.grey)
  assert np.abs(trial.probability - of_one).max() > 1e-3


def test_steps_are_those_of_the_optimiser_that_is_asked_for(initialisation, support, monkeypatch):
  image, labels = (side[0] for side in support)
  asked = []
  sgd = lambda rate, weight_decay, name: (asked.append((name, weight_decay)), optax.sgd(rate))[1]  # noqa: E731
  monkeypatch.setattr(finetuning, 'inner_optimizer', sgd)
  annotated = [annotate(image, labels, 'image')[0]]
  start = finetuning._start(initialisation, annotated, 1.0, None, 8, split=True)
  finetuning._train(start, annotated, Settings(1, crop_size=16), None)
  assert asked == [('muon', 0.0)]


def test_scores_are_those_of_the_threshold_that_the_segmenter_uses(result):
  threshold = result.segmenter.splitting.threshold
  ious = [metrics.iou(t.probability > threshold, t.labels > 0) for t in result.trials]
  np.testing.assert_allclose([trial.iou for trial in result.trials], ious)
  assert result.segmenter.estimate == pytest.approx(np.mean(ious))


def test_the_channel_that_was_learned_from_is_the_one_that_is_predicted(initialisation, support):
  images, masks = support
  noise = np.random.default_rng(0).integers(0, 999, images[0].shape)
  colours = [np.stack([noise, noise, image], axis=-1) for image in images]
  settings = SETTINGS._replace(num_steps=2)
  found = finetune_with_trials(initialisation, colours, masks, settings=settings, channel=2)
  segmenter = found.segmenter
  assert segmenter.channel == 2
  expected = segmenter.predict(images[0])
  np.testing.assert_array_equal(segmenter.predict(colours[0]), expected)


def test_an_object_that_vanishes_when_resized_is_named(initialisation, support):
  mask = np.zeros(support[1][0].shape, int)
  mask[5, 7] = 1
  with pytest.raises(InputError, match=r'image 0: resized by 0.1, .* raise the scale \(--scale\)'):
    finetune_with_trials(initialisation, [support[0][0]], [mask], scale=0.1)


def test_small_objects_are_enlarged_to_what_is_known(initialisation):
  image, labels = cells(0, radius=4)
  settings = SETTINGS._replace(num_steps=2)
  found = finetune_with_trials(initialisation, [image], [labels], settings=settings).segmenter
  assert found.scale == pytest.approx(2, rel=0.15)
  assert found.predict(image).shape == image.shape
  fixed = finetune_with_trials(initialisation, [image], [labels], settings=settings, scale=1.0)
  assert fixed.segmenter.scale == 1.0


def test_images_and_masks_that_are_not_pairs(initialisation, support):
  with pytest.raises(InputError, match='3 images and 2 masks'):
    finetune_with_trials(initialisation, support[0], support[1][:2])
  with pytest.raises(InputError, match='0 images and 0 masks'):
    finetune_with_trials(initialisation, [], [])


def test_a_number_of_orientations_that_there_is_not_is_refused_before_training(
  initialisation, support
):
  settings = SETTINGS._replace(orientations=2)
  with pytest.raises(InputError, match='orientations are 2: 1, 4 or 8 are possible'):
    finetune_with_trials(initialisation, *support, settings=settings, advance=pytest.fail)


def test_folders_that_hold_no_segmenter(result, initialisation, tmp_path):
  with pytest.raises(InputError, match='there is no such folder'):
    Segmenter.load(tmp_path / 'none')
  from fscs.io.checkpoints import save_init

  save_init(tmp_path / 'init', initialisation.params, {'architecture': 'fcrn'})
  with pytest.raises(InputError, match='holds no fine-tuned model: run'):
    Segmenter.load(tmp_path / 'init')
  for facts, message in (
    ({'format': 99}, 'format 99, and this version reads 1'),
    ({'format': 1}, 'is damaged'),
  ):
    save_init(tmp_path / 'other', initialisation.params, {'kind': 'segmenter', **facts})
    with pytest.raises(InputError, match=message):
      Segmenter.load(tmp_path / 'other')
  assert json.dumps(result.segmenter.support)  # plain numbers
