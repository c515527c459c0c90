"""Foreground probability of whole images."""

import functools
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from fscs.data.bank import normalise
from fscs.data.scaling import rescale, rescale_probability, scaled_shape
from fscs.devices import over_tasks
from fscs.errors import InputError
from fscs.models import FCRN, UNet
from fscs.typing import Params

Statistics = Literal['image', 'batch']

PredictImages = Callable[[np.ndarray], np.ndarray]  # (..., H, W) to probabilities alike

Orientations = Literal[1, 4, 8]

# (down, across, transposed), the identity first.
_SYMMETRIES = [
  (down, across, transposed)
  for transposed in (False, True)
  for down in (False, True)
  for across in (False, True)
]

IMAGES_PER_CALL = 4  # more save little of what a call costs, and take memory on a GPU


def make_predict(
  model: FCRN | UNet, *, statistics: Statistics = 'image', batch_size: int = 32
) -> Callable[..., np.ndarray]:
  """A function from parameters and (N, H, W) uint8 images to (N, H, W) float32 probabilities.

  Batch-norm statistics that `batch_statistics` took of other images may be its third argument.

  Images whose sides are no multiples of the network's stride are mirrored at the bottom and right
  edges, and the prediction cut back. It compiles once per size of images.

  Args:
    model: the network, with `lowering='auto'` unless there is a reason.
    statistics: where none are given, 'image' normalises each image by its own, so that no
      prediction depends on which other images are there; 'batch' takes batches of `batch_size`
      consecutive images, as the reference's evaluation does.
    batch_size: only for 'batch'.
  """
  if statistics == 'batch':
    if model.lowering == 'auto':
      model = model.clone(lowering='xla')  # no loop here, and the smallest copies of a large batch
    probability = jax.jit(functools.partial(_probability, model))
    return functools.partial(_in_batches, probability, batch_size)

  def each(params: Params, kept: Params | None, images: jax.Array) -> jax.Array:
    one = lambda image: _probability(model, params, kept, image[None])[0]  # noqa: E731
    return over_tasks(one, 'auto', images)

  each = jax.jit(each)

  def predict(params: Params, images: np.ndarray, kept: Params | None = None) -> np.ndarray:
    size = min(len(images), IMAGES_PER_CALL)
    missing = -len(images) % size
    filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
    return _in_batches(each, size, params, filled, kept)[: len(images)]

  return predict


def batch_statistics(model: FCRN | UNet, params: Params, images: jax.Array) -> Params:
  """The batch-norm statistics of (N, H, W) uint8 images; sides must be multiples of the stride."""
  inputs = normalise(images)[..., None]
  return model.apply({'params': params}, inputs, mutable=['statistics'])[1]['statistics']


def averaged(predict: PredictImages, orientations: Orientations) -> PredictImages:
  """A prediction that is the mean of those of the flipped and turned images, each turned back.

  It costs so many times as much. Networks have learned from flipped and turned crops, but not that
  the answer is the same.

  Args:
    predict: what is done for one orientation.
    orientations: 1 (as `predict`), 4 (flips) or 8 (all symmetries of the square; images that are
      not square are then seen in two sizes).

  Raises:
    InputError: another number of orientations.
  """
  require_orientations(orientations)
  if orientations == 1:
    return predict

  def mean(images: np.ndarray) -> np.ndarray:
    symmetries = _SYMMETRIES[:orientations]
    return sum(_turned_back(predict(_turned(images, *s)), *s) for s in symmetries) / orientations

  return mean


def require_orientations(orientations: int) -> None:
  """Raises InputError for a number of orientations that `averaged` does not know."""
  if orientations not in get_args(Orientations):
    raise InputError(f'orientations are {orientations}: 1, 4 or 8 are possible')


def _turned(images: np.ndarray, down: bool, across: bool, transposed: bool) -> np.ndarray:
  images = images[..., :: -1 if down else 1, :: -1 if across else 1]
  return images.swapaxes(-1, -2) if transposed else images


def _turned_back(images: np.ndarray, down: bool, across: bool, transposed: bool) -> np.ndarray:
  images = images.swapaxes(-1, -2) if transposed else images
  return images[..., :: -1 if down else 1, :: -1 if across else 1]


def predict_resized(predict: PredictImages, images: np.ndarray, scale: float) -> np.ndarray:
  """As `predict`, on (N, H, W) images resized by a factor; probabilities have their own size."""
  if scale == 1:
    return predict(images)
  shape = scaled_shape(images.shape[1:], scale)
  found = predict(np.stack([rescale(image, shape) for image in images]))
  return np.stack([rescale_probability(p, images.shape[1:]) for p in found])


def _probability(
  model: FCRN | UNet, params: Params, kept: Params | None, images: jax.Array
) -> jax.Array:
  """(B, H, W) uint8 images to (B, H, W), by their common statistics if none are kept."""
  _, height, width = images.shape
  padding = ((0, 0), (0, -height % model.stride), (0, -width % model.stride))
  padded = normalise(jnp.pad(images, padding, mode='symmetric'))
  variables = {'params': params} if kept is None else {'params': params, 'statistics': kept}
  logits, _ = model.apply(variables, padded[..., None])
  return jax.nn.sigmoid(logits[:, :height, :width, 0])


def _in_batches(
  function, size: int, params: Params, images: np.ndarray, kept: Params | None = None
) -> np.ndarray:
  batches = [images[i : i + size] for i in range(0, len(images), size)]
  return np.concatenate([np.asarray(function(params, kept, batch)) for batch in batches])
