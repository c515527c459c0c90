"""Prediction depends on the image near a pixel and on the support crops, and on nothing else."""

import jax
import numpy as np
import pytest
from helpers import TINY_WIDTHS, noise, tiny_segmenter

from fscs.data.intensity import normalise
from fscs.models import make_model
from fscs.segmentation import tiling
from fscs.segmentation.prediction import predict_grey, with_batch_statistics

# Not 'unet', the network of the paper: its up-sampling depends on the size of the image.
each_network = pytest.mark.parametrize('architecture', ['fcrn', 'deep_unet'])


def test_batch_statistics_are_those_of_the_support_crops():
  """Crops are predicted one by one as training sees them together."""
  params = tiny_segmenter().network.params
  crops = noise((5, 128, 128)) // np.arange(1, 6, dtype=np.uint8)[:, None, None]
  network = with_batch_statistics('fcrn', TINY_WIDTHS['fcrn'], params, crops)
  model = make_model('fcrn', widths=TINY_WIDTHS['fcrn'], affine=True)
  logits, _ = jax.jit(model.apply)({'params': params}, normalise(crops)[..., None])
  found = [predict_grey(network, crop) for crop in crops]
  np.testing.assert_allclose(found, jax.nn.sigmoid(logits[..., 0]), atol=1e-5)


@each_network
def test_pixels_beyond_the_receptive_radius_do_not_matter(architecture):
  network, image = tiny_segmenter(architecture).network, noise((128, 256))
  other = image.copy()
  other[:, 128:] = 0
  same = slice(128 - network.receptive_radius)
  one, two = predict_grey(network, image), predict_grey(network, other)
  np.testing.assert_allclose(one[:, same], two[:, same], atol=1e-6)
  assert np.abs(one - two)[:, :128].max() > 1e-4


def test_padding_does_not_matter_away_from_borders(monkeypatch):
  network, grey = tiny_segmenter().network, noise((104, 200))
  padded = predict_grey(network, grey)
  monkeypatch.setattr(tiling, 'padded_side', lambda size: size)
  inside = tuple(slice(size - network.receptive_radius) for size in grey.shape)
  np.testing.assert_allclose(padded[inside], predict_grey(network, grey)[inside], atol=1e-5)


@each_network
def test_tiles_are_parts_of_the_whole_away_from_borders(architecture, monkeypatch):
  network, grey = tiny_segmenter(architecture).network, noise((128, 512))
  whole = predict_grey(network, grey)
  spans = tiling.spans
  monkeypatch.setattr(tiling, 'spans', lambda size, radius: spans(size, radius, 256))
  inside = slice(512 - network.receptive_radius)
  np.testing.assert_allclose(predict_grey(network, grey)[:, inside], whole[:, inside], atol=1e-5)
