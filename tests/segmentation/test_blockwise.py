"""Images block by block: as if they were whole."""

import numpy as np
import pytest
from helpers import disk_labels, noise, tiny_segmenter

from fscs.segmentation import blockwise
from fscs.segmentation.blockwise import label_blocks, predict_blocks
from fscs.segmentation.instances import Watershed, find_objects


@pytest.fixture
def working(monkeypatch):
  """Grey values that the network is given; it predicts their share of 255."""
  seen = []

  def predict(network, grey, orientations):
    seen.append(grey)
    return grey / np.float32(255)

  monkeypatch.setattr(blockwise, 'predict_grey', predict)
  return seen


def predict_all(segmenter, image):
  found = np.full(image.shape, np.nan, np.float32)
  for region, probability in predict_blocks(segmenter, lambda region: image[region], image.shape):
    assert np.isnan(found[region]).all()  # cores are disjoint
    found[region] = probability
  return found


def test_blocks_are_parts_of_the_whole(monkeypatch):
  monkeypatch.setattr(blockwise, 'TILE', 256)
  segmenter, image = tiny_segmenter(), noise((128, 600))
  radius = segmenter.receptive_radius
  # All of the image is in the sample that the grey limits are of.
  monkeypatch.setattr(blockwise, 'SAMPLE_SIDE', 600)
  expected = segmenter.predict_proba(image)[:, :-radius]
  np.testing.assert_allclose(predict_all(segmenter, image)[:, :-radius], expected, atol=1e-5)


@pytest.mark.parametrize('step', [1, 7])
def test_grey_values_of_sparse_images_are_not_lost(working, step):
  image = np.zeros((3000, 2000), np.uint16)
  image[::500, ::step] = 900  # less than a thousandth with a step of 7
  np.testing.assert_array_equal(predict_all(tiny_segmenter(), image), image / np.float32(900))


def test_grey_values_outside_the_sample_are_not_lost(working):
  image = np.full((3000, 2000), 5, np.uint16)
  image[1300, 700] = 80
  np.testing.assert_array_equal(predict_all(tiny_segmenter(), image), image == 80)


@pytest.mark.parametrize('scale', [1 / 8, 0.3, 1, 2.7, 8])
def test_blocks_are_one_tile_at_the_working_scale(working, scale):
  segmenter = tiny_segmenter(scale=scale)
  predict_all(segmenter, noise((round(2.5 * blockwise.TILE / scale), 8)))
  sides = [grey.shape[0] for grey in working]
  assert len(sides) > 2
  assert blockwise.TILE - scale - 1 <= max(sides) <= blockwise.TILE


def test_objects_of_blocks_are_those_of_the_whole(monkeypatch):
  monkeypatch.setattr(blockwise, 'LABEL_BLOCK', 100)
  random = np.random.default_rng(0)
  disks = [(*random.uniform(0, (300, 420)), random.uniform(3, 12)) for _ in range(150)]
  probability = (disk_labels(*disks, shape=(300, 420)) > 0) * np.float32(0.9)
  params = Watershed(min_area=10)
  expected = find_objects(probability, params)
  found = np.zeros_like(expected)
  for (core, halo), labels in label_blocks(lambda r: probability[r], found.shape, params, 120.0):
    part = found[halo]
    assert not (part[labels > 0]).any()  # every object comes once
    part[labels > 0] = labels[labels > 0]
    assert core[0].start >= halo[0].start
  assert set(np.unique(found)) == set(range(expected.max() + 1))
  pairs = np.unique(np.stack([found, expected]).reshape(2, -1), axis=1)
  assert pairs.shape[1] == expected.max() + 1  # one label each, and one background
