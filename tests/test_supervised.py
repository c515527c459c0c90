"""Minibatch training, prediction and scoring on a tiny network."""

import jax
import numpy as np
import pytest
from toys import WIDTHS, disk_set

from experiments.data import hold_out
from fscs import devices, supervised
from fscs.adapt import inner_optimizer
from fscs.augmentation import augment
from fscs.errors import InputError
from fscs.evaluate import FineTuning, make_finetune, make_score, make_target
from fscs.models import init_params, make_model, with_affine_norms
from fscs.predict import make_predict
from fscs.preprocessing import prepare
from fscs.supervised import (
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
def target():
  grey_set = prepare(disk_set(num_images=6))
  return make_target(grey_set, crop_size=32, stride=(8, 8), min_foreground=20)


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


def test_training_in_parts_equals_training_at_once(params, target):
  optimizer = inner_optimizer()
  apply = lambda params, images: MODEL.apply({'params': params}, images)  # noqa: E731
  train = make_train(apply, Recipe(optimizer, 32, augment=augment))
  stream = crop_stream(0, np.arange(len(target.bank.corner)), 4, STEPS_PER_CALL + 3)
  whole, _, losses = train(params, optimizer.init(params), target.bank, stream)
  assert losses.shape == (len(stream),)
  part, opt_state, first = train(params, optimizer.init(params), target.bank, stream[:5])
  part, _, second = train(part, opt_state, target.bank, stream[5:], 5)
  np.testing.assert_array_equal(losses, np.concatenate([first, second]))
  jax.tree.map(np.testing.assert_array_equal, whole, part)


def test_fine_tuning_learns_bright_disks_from_two_images(params, target):
  finetuning = FineTuning(inner_optimizer(1e-2), crop_size=32, batch_size=8, max_steps=40)
  ((tuned, losses),) = make_finetune(MODEL, finetuning)(params, target, [[0, 1]])
  score = make_score(MODEL)
  before, _ = score(params, target.grey_set, [2, 3, 4, 5])
  after, predictions = score(tuned, target.grey_set, [2, 3, 4, 5])
  assert losses[-5:].mean() < losses[0] / 2
  assert after.iou.mean() > 3 * before.iou.mean()
  assert predictions.shape == (4, 64, 64)


def test_fine_tuning_sees_only_crops_of_its_support(params, target):
  finetuning = FineTuning(inner_optimizer(1e-2), crop_size=32, batch_size=8, max_steps=3)
  finetune = make_finetune(MODEL, finetuning)
  images = target.grey_set.images.copy()
  images[2:] = 0
  blank = make_target(
    target.grey_set._replace(images=images), crop_size=32, stride=(8, 8), min_foreground=20
  )
  one, other = (finetune(params, t, [[0, 1]])[0][0] for t in (target, blank))
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize('axis', ['map', 'vmap'])
def test_fine_tuning_on_several_supports_at_once_equals_one_after_the_other(
  params, target, axis, monkeypatch
):
  over_tasks = devices.over_tasks
  monkeypatch.setattr(supervised, 'over_tasks', lambda f, _, *a: over_tasks(f, axis, *a))
  finetuning = FineTuning(inner_optimizer(1e-2), crop_size=32, batch_size=16, num_epochs=4)
  finetune = make_finetune(MODEL, finetuning)
  supports = [[0], [1, 2, 3], [99], [4]]
  together = finetune(params, target, supports)
  assert len({len(losses) for _, losses in together}) > 2
  for support, (tuned, losses) in zip(supports, together, strict=True):
    ((alone, losses_alone),) = finetune(params, target, [support])
    np.testing.assert_allclose(losses, losses_alone, rtol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), tuned, alone)


def test_support_without_crops_leaves_the_parameters(params, target):
  finetune = make_finetune(MODEL, FineTuning(inner_optimizer(), crop_size=32))
  elsewhere = target._replace(image_of_crop=target.image_of_crop + 9)
  ((tuned, losses),) = finetune(params, elsewhere, [[0]])
  assert tuned is params
  assert len(losses) == 0


def test_own_statistics_make_a_prediction_independent_of_the_other_images(params, target):
  predict = make_predict(MODEL)
  images = target.grey_set.images
  together = predict(params, images)
  among_others = predict(params, np.concatenate([255 - images[:3], images[3:]]))
  np.testing.assert_array_equal(together[3], among_others[3])
  np.testing.assert_allclose(together[3], predict(params, images[3:4])[0], atol=1e-5)
  batched = make_predict(MODEL, statistics='batch', batch_size=4)(params, images)
  assert np.abs(batched[3] - together[3]).max() > 1e-4


@pytest.mark.parametrize('count', [1, 3, 4, 6])
def test_any_number_of_images_is_predicted_in_order(params, target, count):
  predict = make_predict(MODEL)
  images = np.resize(target.grey_set.images, (count, 64, 64))
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
