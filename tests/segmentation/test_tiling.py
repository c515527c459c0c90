"""Tiles cover an image once, in few sizes."""

import numpy as np
import pytest

from fscs.segmentation.tiling import TILE, padded_side, predict_tiled, spans


@pytest.mark.parametrize('size', [1, 64, 1024, 1025, 1984, 1985, 5000])
def test_tiles_cover_every_pixel_once(size):
  total = np.zeros(size)
  for span in spans(size, 24):
    total[span.begin : span.begin + len(span.weights)] += span.weights
  np.testing.assert_allclose(total, 1)


def test_a_large_image_is_predicted_by_tiles_of_few_sizes():
  shapes = set()

  def double(tile):
    shapes.add(tile.shape)
    return 2 * tile

  image = np.random.default_rng(0).random((1500, 2000)).astype(np.float32)
  np.testing.assert_allclose(predict_tiled(double, image, 24), 2 * image, rtol=1e-6)
  assert len(shapes) <= 4
  assert max(max(shape) for shape in shapes) <= TILE


def test_sides_are_padded_to_few_lengths():
  assert {padded_side(size) for size in range(1, TILE + 1)} == {128, 256, 384, 512, 768, 1024}
