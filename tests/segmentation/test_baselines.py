"""Baselines without a network: Otsu's threshold, the pixel forest and its threshold."""

import numpy as np
import pytest
from helpers import disk_labels

from fscs.metrics import iou
from fscs.segmentation import baselines
from fscs.segmentation.baselines import best_threshold, otsu, predict_out_of_fold, with_threshold
from fscs.segmentation.pixel_forest import forest


@pytest.fixture(scope='module')
def images():
  """Two images of a bright disk on noise, and where it is."""
  places = ((20, 20, 12), (35, 40, 12))
  truth = np.stack([disk_labels(place, shape=(64, 64)) > 0 for place in places])
  noise = np.random.default_rng(0).normal(0, 8, truth.shape)
  return np.clip(90 + 60 * truth + noise, 0, 255).astype(np.uint8), truth


def test_otsu_finds_bright_objects_and_dark_ones(images):
  grey, truth = images
  for support, image in ((grey[:1], grey[1]), (255 - grey[:1], 255 - grey[1])):
    assert iou(otsu(support, truth[:1])(image) > 0.5, truth[1]) > 0.9


def test_the_same_seed_grows_the_same_forest(images):
  grey, truth = images
  first, again, other = (forest(grey[:1], truth[:1], seed=s)(grey[1]) for s in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 0
  assert iou(first > 0.5, truth[1]) > 0.8


def test_an_image_without_foreground_teaches_that_there_is_none(images):
  grey, truth = images
  assert (forest(grey[:1], np.zeros_like(truth[:1]))(grey[1]) == 0).all()


def test_out_of_fold_predictions_are_of_pixels_that_were_not_learned_from(images):
  grey, _ = images
  random = np.random.default_rng(1).integers(0, 2, grey[0].shape)
  found, masks = predict_out_of_fold(forest, grey[:1], [random])
  held_out = np.mean([(p > 0.5) == m for p, m in zip(found, masks, strict=True)])
  learned = np.mean((forest(grey[:1], [random])(grey[0]) > 0.5) == random)
  assert held_out == pytest.approx(0.5, abs=0.1)  # by chance
  assert learned > 0.8


def test_the_best_threshold_separates_the_classes():
  probability, mask = np.array([[0.1, 0.28, 0.36]]), np.array([[0, 0, 1]])
  assert best_threshold([probability], [mask]) == 0.35  # the first that does
  assert best_threshold([probability], [0 * mask]) == 0.5
  shifted = with_threshold(lambda image: image, 0.35)(probability)
  odds = (0.36 / 0.64) / (0.35 / 0.65)
  assert shifted.dtype == np.float32
  np.testing.assert_array_equal(shifted > 0.5, mask)
  assert shifted[0, 2] == pytest.approx(odds / (1 + odds), rel=1e-5)


def test_a_tuned_forest_uses_the_threshold_of_held_out_pixels(monkeypatch):
  masks = np.zeros((2, 40, 30), np.uint8)
  masks[:, 10:30, 5:20] = 1
  images = 200 * masks
  images[:, :5] = 100

  def unsure(images, masks, **_):
    return lambda image: np.choose(image // 100, [0.1, 0.28, 0.36]).astype(np.float32)

  monkeypatch.setattr(baselines, 'forest', unsure)
  np.testing.assert_array_equal(baselines.tuned_forest(images, masks)(images[0]) > 0.5, masks[0])
