"""The pixel forest and its part in predictions."""

import dataclasses

import jax
import numpy as np
import pytest
from skimage.draw import disk
from toys import WIDTHS, disk_set

from experiments.common import baselines
from experiments.common.bounds import check_bounds
from experiments.common.evaluation_options import Config
from experiments.common.finetuning import Adapted, FineTuning, make_finetune, predict_adapted
from fscs.data.image_sets import GreySet
from fscs.data.preprocessing import prepare
from experiments.study.targets import split
from fscs.errors import InputError
from fscs.models import init_params, make_model
from fscs.optimizers import inner_optimizer
from experiments.common.pixel_forest import forest
from fscs.segmentation.pixel_forest import held_out_iou, mix, trust
from experiments.common.finetuning import make_predict


@pytest.fixture(scope='module')
def images():
  """Two images of a bright disk on noise, and where it is."""
  truth = np.zeros((2, 64, 64), bool)
  for mask, centre in zip(truth, ((20, 20), (35, 40)), strict=True):
    mask[disk(centre, 12)] = True
  noise = np.random.default_rng(0).normal(0, 8, truth.shape)
  return np.clip(90 + 60 * truth + noise, 0, 255).astype(np.uint8), truth


def test_mixing_averages_log_odds():
  # odds of 1 : 1 and 1 : 9, half and half: 1 : 3
  assert mix(np.array([0.5]), np.array([0.1]), 0.5) == pytest.approx(0.25)
  probability = np.array([0.2, 0.7], np.float32)
  np.testing.assert_allclose(mix(probability, 1 - probability, 0.0), probability, rtol=1e-5)
  np.testing.assert_allclose(mix(probability, 1 - probability, 1.0), 1 - probability, rtol=1e-5)
  np.testing.assert_allclose(mix(probability, 1 - probability, 0.5), 0.5, rtol=1e-5)


def test_certainty_of_one_does_not_silence_the_other():
  mixed = mix(np.array([0.0, 1.0]), np.array([1.0, 0.0]), 0.2)
  assert np.isfinite(mixed).all() and (mixed[0] < 0.5 < mixed[1])
  assert mix(np.array([0.0]), np.array([1.0]), 0.6) > 0.5


def test_the_same_seed_grows_the_same_forest(images):
  greys, truth = images
  first, again, other = (forest(greys[:1], truth[:1], seed=s)(greys[1]) for s in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0


def test_an_image_without_foreground_teaches_that_there_is_none(images):
  greys, truth = images
  assert (forest(greys[:1], np.zeros_like(truth[:1]))(greys[1]) == 0).all()


def test_trust_is_measured_on_pixels_that_the_forest_has_not_seen(images):
  greys, truth = images
  whole = np.concatenate([greys[0], greys[0]])  # both halves hold a disk
  assert held_out_iou([whole], [np.concatenate([truth[0]] * 2)]) > 0.9
  random = np.random.default_rng(1).integers(0, 2, whole.shape)
  assert held_out_iou([whole], [random]) < 0.4  # a third by chance; what it has learned from: more
  learned = forest([whole], [random])(whole) > 0.5
  assert (learned == random).mean() > 0.8
  assert held_out_iou([whole], [np.zeros_like(whole)]) == 1.0


def test_the_threshold_of_a_tuned_forest_is_the_best_on_what_it_has_not_seen(monkeypatch):
  masks = np.zeros((2, 40, 30), np.uint8)
  masks[:, 10:30, 5:20] = 1
  images = 200 * masks
  images[:, :5] = 100

  def unsure(images, masks, **_):
    return lambda image: np.choose(image // 100, [0.1, 0.28, 0.36]).astype(np.float32)

  monkeypatch.setattr(baselines, 'forest', unsure)
  tuned = baselines.tuned_forest(images, masks)(images[0])
  np.testing.assert_array_equal(tuned > 0.5, masks[0])
  odds = (0.36 / 0.64) / (0.35 / 0.65)  # 0.35 is the first threshold that tells them apart
  np.testing.assert_allclose(tuned[15, 10], odds / (1 + odds), rtol=1e-5)
  assert tuned.dtype == np.float32
  nothing = baselines.tuned_forest(images[:1], 0 * masks[:1])(images[0])
  np.testing.assert_allclose(nothing[15, 10], 0.36, rtol=1e-5)


def test_trust_grows_with_what_the_forest_finds():
  assert [trust(iou) for iou in (0.0, 0.35, 0.65, 1.0)] == [0, 0, 1, 1]
  assert trust(0.5) == pytest.approx(0.5)


def test_a_forest_that_is_not_trusted_is_left_out():
  model = make_model('fcrn', widths=WIDTHS['fcrn'])
  noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64), dtype=np.uint8)
  truth = np.zeros_like(noise)
  truth[:, ::9, ::9] = 1  # nowhere that grey values tell
  finetuning = FineTuning(inner_optimizer(1e-3), 32, (32, 32), 0, max_steps=0, forest_share=0.3)
  params = init_params(model, jax.random.key(0))
  support = GreySet('B5', noise, truth, ('noise',))
  (adapted,) = make_finetune(model, finetuning)(params, [support])
  assert adapted.forest is None and adapted.forest_share == 0


def test_predictions_are_mixtures_with_the_forest_of_the_same_images():
  model = make_model('fcrn', widths=WIDTHS['fcrn'])
  params = init_params(model, jax.random.key(0))
  grey_set = prepare(disk_set(num_images=4))
  finetuning = FineTuning(inner_optimizer(1e-3), 32, (32, 32), 10, max_steps=0, forest_share=0.3)
  supports = [split(grey_set, chosen) for chosen in ([0, 1], [0, 1, 2])]
  predict = make_predict(model)
  rest = grey_set.images[3:]
  alone = predict_adapted(predict, Adapted(params), rest)
  for adapted, support in zip(
    make_finetune(model, finetuning)(params, supports), supports, strict=True
  ):
    other = forest(support.images, support.masks)(rest[0])
    mixed = predict_adapted(predict, adapted, rest)
    assert mixed.shape == rest.shape and mixed.dtype == np.float32
    share = 0.3 * trust(held_out_iou(support.images, support.masks))
    assert 0 < share <= 0.3
    np.testing.assert_allclose(mixed, mix(alone, other[None], share), rtol=1e-5)
  (plain,) = make_finetune(model, finetuning._replace(forest_share=0.0))(params, supports[:1])
  assert plain.forest is None


@pytest.mark.parametrize('share', [-0.1, 1.01, float('nan')])
def test_a_share_is_between_0_and_1(share):
  with pytest.raises(InputError, match='--forest-share is'):
    check_bounds(dataclasses.replace(Config(), forest_share=share))
