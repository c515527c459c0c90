"""Minibatch training, prediction and scoring on a tiny network."""

import functools

import jax
import numpy as np
import pytest
from toys import WIDTHS, disk_set

from experiments.common.data import hold_out
from experiments.common.finetuning import (
  Adapted,
  FineTuning,
  make_finetune,
  make_score,
  predict_adapted,
)
from fscs import devices
from fscs import training as supervised
from fscs.augmentation import augment
from fscs.data.bank import make_bank
from fscs.data.crops import crop_corners
from fscs.data.preprocessing import prepare
from experiments.study.targets import split
from fscs.data.scaling import resize_set, typical_thickness
from fscs.data.intensity import stretch
from fscs.errors import InputError
from fscs.losses import bce_dice
from fscs.models import init_params, make_model, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.segmentation.prediction import averaged, batch_statistics, predict_resized
from experiments.common.finetuning import make_predict
from fscs.training import (
  STEPS_PER_CALL,
  Recipe,
  crop_stream,
  make_train,
  num_training_steps,
  source_stream,
)

MODEL = make_model('fcrn', widths=WIDTHS['fcrn'], affine=True, norm_scale=1.0, lowering='xla')


@pytest.fixture(scope='module')
def params():
  return with_affine_norms(MODEL, init_params(MODEL, jax.random.key(0)))


@pytest.fixture(scope='module')
def grey_set():
  return prepare(disk_set(num_images=6))


def fine_tuning(**options):
  return FineTuning(crop_size=32, stride=(8, 8), min_foreground=20, **options)


def test_a_stream_shows_every_crop_equally_often_and_is_a_prefix_of_a_longer_one():
  crops = np.arange(10, 17)
  stream = crop_stream(3, crops, 4, 14)  # 56 = 8 times 7 crops
  assert stream.shape == (14, 4)
  assert (np.bincount(stream.ravel())[10:] == 8).all()
  np.testing.assert_array_equal(crop_stream(3, crops, 4, 5), stream[:5])
  assert (crop_stream(4, crops, 4, 5) != stream[:5]).any()


@pytest.mark.parametrize(
  ('num_crops', 'max_steps', 'expected'),
  [(128, None, 40), (129, None, 60), (10, None, 20), (129, 7, 7)],
)
def test_epochs_are_rounded_up_to_whole_batches(num_crops, max_steps, expected):
  assert num_training_steps(num_crops, 64, 20, max_steps) == expected


def test_training_in_parts_equals_training_at_once(params, grey_set):
  optimizer = inner_optimizer()
  apply = lambda params, images: MODEL.apply({'params': params}, images)  # noqa: E731
  train = make_train(apply, Recipe(optimizer, 32, augment=augment))
  bank = make_bank([grey_set], crop_size=32, strides=[(8, 8)], min_foreground=20)
  stream = crop_stream(0, np.arange(len(bank.corner)), 4, STEPS_PER_CALL + 3)
  whole, _, losses = train(params, optimizer.init(params), bank, stream)
  assert losses.shape == (len(stream),)
  part, opt_state, first = train(params, optimizer.init(params), bank, stream[:5])
  part, _, second = train(part, opt_state, bank, stream[5:], 5)
  np.testing.assert_array_equal(losses, np.concatenate([first, second]))
  jax.tree.map(np.testing.assert_array_equal, whole, part)
  _, _, other = train(params, optimizer.init(params), bank, stream[:2], seed=2**32 - 1)
  assert (other != losses[:2]).all()  # the same crops, but flipped and turned otherwise


def test_fine_tuning_learns_bright_disks_from_two_images(params, grey_set):
  finetuning = fine_tuning(optimizer=inner_optimizer(1e-2), batch_size=8, max_steps=40)
  (tuned,) = make_finetune(MODEL, finetuning)(params, [split(grey_set, [0, 1])])
  score = make_score(MODEL)
  before, _ = score(Adapted(params), grey_set, [2, 3, 4, 5])
  after, predictions = score(tuned, grey_set, [2, 3, 4, 5])
  assert tuned.scale == 1
  assert tuned.losses[-5:].mean() < tuned.losses[0] / 2
  assert after.iou.mean() > 3 * before.iou.mean()
  assert predictions.shape == (4, 64, 64)


def test_images_of_large_objects_are_fine_tuned_and_scored_on_at_a_smaller_size(params):
  grey_set = resize_set(prepare(disk_set(num_images=6)), 3.0)
  thickness = typical_thickness(list(grey_set.masks[:2]))
  finetuning = fine_tuning(
    optimizer=inner_optimizer(1e-2), batch_size=8, max_steps=40, diameter_range=(1.0, thickness / 3)
  )
  (tuned,) = make_finetune(MODEL, finetuning)(params, [split(grey_set, [0, 1])])
  assert tuned.scale == pytest.approx(1 / 3)
  score = make_score(MODEL)
  sized, predictions = score(tuned, grey_set, [2, 3, 4, 5])
  assert predictions.shape == (4, 192, 192)
  assert tuned.losses[-5:].mean() < tuned.losses[0] / 2
  own_size, _ = score(tuned._replace(scale=1.0), resize_set(grey_set, 1 / 3), [2, 3, 4, 5])
  assert sized.iou.mean() == pytest.approx(own_size.iou.mean(), abs=0.05)


def test_images_are_predicted_resized_and_their_probabilities_have_their_own_size():
  seen = []

  def predict(images):
    seen.append(images.shape)
    return images / np.float32(255)

  images = np.zeros((2, 20, 30), np.uint8)
  images[:, 5:15, 5:15] = 255
  found = predict_resized(predict, images, 2.0)
  assert seen == [(2, 40, 60)]
  assert found.shape == images.shape
  np.testing.assert_array_equal(found > 0.5, images > 0)
  np.testing.assert_array_equal(predict_resized(predict, images, 1.0), predict(images))


@pytest.mark.parametrize('axis', ['map', 'vmap'])
def test_fine_tuning_on_several_supports_at_once_equals_one_after_the_other(
  params, grey_set, axis, monkeypatch
):
  over_tasks = devices.over_tasks
  monkeypatch.setattr(supervised, 'over_tasks', lambda f, _, *a: over_tasks(f, axis, *a))
  finetuning = fine_tuning(optimizer=inner_optimizer(1e-2), batch_size=16, num_epochs=4)
  finetune = make_finetune(MODEL, finetuning)
  blank = grey_set._replace(masks=np.zeros_like(grey_set.masks))
  supports = [
    split(grey_set, [0]),
    split(blank, [2]),
    resize_set(split(grey_set, [1, 2, 3]), 1.25),
    split(grey_set, [4]),
  ]
  together = finetune(params, supports)
  assert len({len(tuned.losses) for tuned in together}) > 2
  for support, tuned in zip(supports, together, strict=True):
    (alone,) = finetune(params, [support])
    np.testing.assert_allclose(tuned.losses, alone.losses, rtol=1e-4)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
      tuned.params,
      alone.params,
    )


def test_a_support_with_other_crops_needs_no_other_program(params, grey_set):
  traced = []

  def counting(*arguments):
    traced.append(1)
    return bce_dice(*arguments)

  finetuning = fine_tuning(optimizer=inner_optimizer(), max_steps=3, pixel_loss=counting)
  finetune = make_finetune(MODEL, finetuning)
  finetune(params, [split(grey_set, [0, 1, 2])])
  before = len(traced)
  assert before
  finetune(params, [split(grey_set, [0, 1, 2, 3])])  # sizes that those of three are filled up to
  assert len(traced) == before


def test_support_without_crops_leaves_the_parameters(params, grey_set):
  options = {'diameter_range': (24.0, 60.0), 'keep_statistics': True}
  finetune = make_finetune(MODEL, fine_tuning(optimizer=inner_optimizer(), **options))
  (tuned,) = finetune(params, [grey_set._replace(masks=np.zeros_like(grey_set.masks))])
  assert tuned.params is params
  assert len(tuned.losses) == 0
  assert tuned.statistics is None  # there is nothing to take them from


def test_own_statistics_make_a_prediction_independent_of_the_other_images(params, grey_set):
  predict = make_predict(MODEL)
  images = grey_set.images
  together = predict(params, images)
  among_others = predict(params, np.concatenate([255 - images[:3], images[3:]]))
  np.testing.assert_array_equal(together[3], among_others[3])
  np.testing.assert_allclose(together[3], predict(params, images[3:4])[0], atol=1e-5)
  batched = make_predict(MODEL, statistics='batch', batch_size=4)(params, images)
  assert np.abs(batched[3] - together[3]).max() > 1e-4


@pytest.mark.parametrize('orientations', [4, 8])
def test_the_mean_over_orientations_turns_every_prediction_back(orientations):
  images = np.random.default_rng(0).random((2, 4, 6))
  np.testing.assert_allclose(averaged(lambda x: x, orientations)(images), images)
  by_column = averaged(lambda x: x * np.arange(x.shape[-1]), orientations)(images)
  expected = 2.5 if orientations == 4 else (2.5 + 1.5) / 2  # the mean column, and the mean row
  np.testing.assert_allclose(by_column, images * expected)


def test_with_all_orientations_a_turned_image_has_a_turned_prediction(params, grey_set):
  images = grey_set.images[:2, :48]
  one = functools.partial(make_predict(MODEL), params)
  all_of_them = averaged(one, 8)
  turn = lambda x: np.rot90(x, axes=(1, 2))  # noqa: E731
  assert np.abs(one(turn(images)) - turn(one(images))).max() > 1e-3
  np.testing.assert_allclose(all_of_them(turn(images)), turn(all_of_them(images)), atol=1e-5)


def test_stretched_grey_values_make_dim_images_like_bright_ones(params, grey_set):
  whole = [stretch(image) for image in grey_set.images]
  bright = grey_set._replace(images=np.stack(whole))
  dim = grey_set._replace(images=(60 + grey_set.images // 4 * 2).astype(np.uint8))
  again = [stretch(image) for image in dim.images]
  assert np.abs(np.subtract(again, whole, dtype=float)).max() < 12  # steps of grey values are lost
  options = {'optimizer': inner_optimizer(), 'max_steps': 2, 'keep_statistics': True}
  predictions = []
  for of, told in ((dim, True), (bright._replace(images=np.stack(again)), False)):
    (adapted,) = make_finetune(MODEL, fine_tuning(stretch=told, **options))(
      params, [split(of, [0, 1])]
    )
    predictions.append(predict_adapted(make_predict(MODEL), adapted, of.images[2:]))
  np.testing.assert_array_equal(*predictions)


def test_with_the_supports_statistics_the_other_images_brightness_stays_what_it_is(
  params, grey_set
):
  """Half as bright, an image looks the same to batch norms with its own statistics, nearly."""
  finetuning = fine_tuning(optimizer=inner_optimizer(), max_steps=0, keep_statistics=True)
  (adapted,) = make_finetune(MODEL, finetuning)(params, [split(grey_set, [0, 1])])
  predict = make_predict(MODEL)
  table = crop_corners(grey_set.masks[:2], 32, (8, 8), 20)
  crops = np.stack([grey_set.images[i, r : r + 32, c : c + 32] for i, r, c in table])
  of_crops = batch_statistics(MODEL, params, crops)
  leaves = zip(jax.tree.leaves(adapted.statistics), jax.tree.leaves(of_crops), strict=True)
  for found, expected in leaves:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
  bright, dim = grey_set.images[2:3], 128 + (grey_set.images[2:3] - 128.0) / 2
  own, kept = (
    np.abs(predict_adapted(predict, a, dim.astype(np.uint8)) - predict_adapted(predict, a, bright))
    for a in (adapted._replace(statistics=None), adapted)
  )
  assert kept.mean() > 3 * own.mean()


@pytest.mark.parametrize('count', [1, 3, 4, 6])
def test_any_number_of_images_is_predicted_in_order(params, grey_set, count):
  predict = make_predict(MODEL)
  images = np.resize(grey_set.images, (count, 64, 64))
  predicted = predict(params, images)
  assert predicted.shape == images.shape
  np.testing.assert_allclose(predicted[-1], predict(params, images[-1:])[0], atol=1e-5)


def test_any_size_of_image_is_predicted(params):
  predict = make_predict(MODEL)
  image = np.random.default_rng(0).integers(0, 255, (1, 37, 51)).astype(np.uint8)
  assert predict(params, image).shape == (1, 37, 51)


def test_held_out_images_are_none_of_those_trained_on():
  kept, held_out = hold_out(prepare(disk_set(num_images=12)), seed=3)
  assert (len(kept.names), len(held_out.names)) == (11, 1)
  assert not set(kept.names) & set(held_out.names)


def test_one_image_cannot_be_split():
  with pytest.raises(InputError, match='B5: 1 image is there'):
    hold_out(prepare(disk_set(num_images=1)), seed=0)


def test_every_batch_is_of_one_source_and_all_take_their_turn():
  sources = [np.arange(10), np.arange(10, 17), np.arange(17, 40)]
  stream = source_stream(3, sources, 4, 20)
  assert stream.shape == (20, 4)
  turns = np.searchsorted([10, 17], stream, side='right')
  assert (turns == turns[:, :1]).all()
  for begin in range(0, 18, 3):
    assert sorted(turns[begin : begin + 3, 0]) == [0, 1, 2]
  assert len({tuple(turns[begin : begin + 3, 0]) for begin in range(0, 18, 3)}) > 1
  np.testing.assert_array_equal(source_stream(3, sources, 4, 7), stream[:7])
