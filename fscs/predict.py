"""Foreground probability of whole images."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fscs.episodes import normalise
from fscs.models import FCRN, UNet
from fscs.types import Params

Statistics = Literal['image', 'batch']


def make_predict(model: FCRN | UNet) -> Callable[[Params, jax.Array], jax.Array]:
  """A compiled function from parameters and (B, H, W) uint8 images to (B, H, W) probabilities.

  The B images are normalised by their common statistics. Images whose sides are no multiples of the
  network's stride are mirrored at the bottom and right edges, and the prediction cut back. No loop
  surrounds the network here, so that XLA's own convolution is fast on every platform, and copies
  nothing.
  """
  if model.lowering == 'auto':
    model = model.clone(lowering='xla')

  @jax.jit
  def predict(params: Params, images: jax.Array) -> jax.Array:
    _, height, width = images.shape
    padding = ((0, 0), (0, -height % model.stride), (0, -width % model.stride))
    padded = normalise(jnp.pad(images, padding, mode='symmetric'))
    logits, _ = model.apply({'params': params}, padded[..., None])
    return jax.nn.sigmoid(logits[:, :height, :width, 0])

  return predict


def predict_all(
  predict: Callable[[Params, jax.Array], jax.Array],
  params: Params,
  images: np.ndarray,
  *,
  statistics: Statistics = 'image',
  batch_size: int = 32,
) -> np.ndarray:
  """(N, H, W) uint8 images to (N, H, W) float32 probabilities.

  Args:
    predict: see `make_predict`.
    params: parameters of the network.
    images: images of one size.
    statistics: 'image' normalises each image by its own statistics, so that no prediction depends
      on which other images are there; 'batch' takes batches of `batch_size` consecutive images, as
      the reference's evaluation does.
    batch_size: only for 'batch'.
  """
  step = 1 if statistics == 'image' else batch_size
  batches = [images[i : i + step] for i in range(0, len(images), step)]
  return np.concatenate([np.asarray(predict(params, batch)) for batch in batches])
