"""What an image is filled up with does not count, and images of many sizes take few programs."""

import dataclasses

import numpy as np
import pytest
from tiny_segmenter import WIDTHS, tiny_segmenter

from fscs.errors import InputError
from fscs.segmentation import segmenter as module
from fscs.segmentation.tiling import tiles
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.prediction import predict_grey


def noise(shape):
  return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize('architecture', ['fcrn', 'deep_unet'])
@pytest.mark.parametrize('shape', [(104, 72), (41, 9)])
def test_how_much_an_image_is_filled_up_does_not_matter(architecture, shape, monkeypatch):
  segmenter, grey = tiny_segmenter(architecture, keep_statistics=False), noise(shape)
  filled = predict_grey(segmenter, grey)
  monkeypatch.setattr(tiles, 'padded_side', lambda size: -(-size // 8) * 8)
  assert filled.shape == shape
  np.testing.assert_allclose(filled, predict_grey(segmenter, grey), atol=1e-5)


@pytest.mark.parametrize('architecture', ['fcrn', 'deep_unet'])
def test_tiles_are_parts_of_the_whole(architecture, monkeypatch):
  segmenter, grey = tiny_segmenter(architecture), noise((640, 256))
  whole = predict_grey(segmenter, grey)
  spans = tiles.spans
  monkeypatch.setattr(tiles, 'spans', lambda size, reach: spans(size, reach, 384))
  np.testing.assert_allclose(predict_grey(segmenter, grey), whole, atol=1e-5)


@pytest.mark.parametrize('architecture', ['fcrn', 'unet'])
def test_an_image_that_needs_no_filling_is_seen_as_the_plain_network_sees_it(architecture):
  segmenter, grey = tiny_segmenter(architecture, keep_statistics=False), noise((128, 128))
  filled = predict_grey(segmenter, grey)
  probability, statistics = module._functions(architecture, WIDTHS[architecture])
  kept = statistics(segmenter.params, grey[None])
  variables = {'params': segmenter.params, 'statistics': kept}
  plain = probability(variables, grey[None], grey.shape)[0]
  np.testing.assert_allclose(filled, plain, atol=1e-5)


@pytest.mark.parametrize('keep_statistics', [False, True])
def test_twelve_sizes_take_two_programs(keep_statistics):
  segmenter = tiny_segmenter(keep_statistics=keep_statistics)
  probability, _ = module._functions('fcrn', WIDTHS['fcrn'])
  probability.clear_cache()
  for n in range(12):
    predict_grey(segmenter, noise((150 + 5 * n, 240 + 3 * n)))
  assert probability._cache_size() == 2


def test_sides_are_filled_up_to_few_lengths():
  sides = {tiles.padded_side(size) for size in range(1, tiles.TILE + 1)}
  assert sides == {128, 256, 384, 512, 768, 1024}


def test_other_numbers_of_orientations_are_refused():
  segmenter = dataclasses.replace(tiny_segmenter(), orientations=16)
  with pytest.raises(InputError, match='orientations are 16: 1, 4 or 8 are possible'):
    segmenter.predict(noise((64, 64)))


def test_a_segmenter_that_looks_from_all_sides_treats_turned_images_alike(tmp_path):
  segmenter = dataclasses.replace(tiny_segmenter(), orientations=8)
  segmenter.save(tmp_path / 'model')
  segmenter = Segmenter.load(tmp_path / 'model')
  assert segmenter.orientations == 8
  grey = noise((72, 104))
  np.testing.assert_allclose(
    segmenter.predict(np.rot90(grey)), np.rot90(segmenter.predict(grey)), atol=1e-5
  )
