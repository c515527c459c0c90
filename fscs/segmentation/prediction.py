"""Foreground probability of 8-bit grey images of any size by a fine-tuned network."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from fscs.compilation import keep_compiled_programs
from fscs.data.intensity import normalise
from fscs.models import FCRN, Architecture, UNet, make_model
from fscs.segmentation.config import Orientations, require_orientations
from fscs.segmentation.tiling import predict_tiled
from fscs.typing import Params

PredictImages = Callable[[np.ndarray], np.ndarray]  # (..., H, W) to probabilities of that shape

# (flipped vertically, flipped horizontally, transposed); the identity comes first.
_SYMMETRIES = [
  (vertical, horizontal, transposed)
  for transposed in (False, True)
  for vertical in (False, True)
  for horizontal in (False, True)
]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
  """A network with everything that its output depends on.

  Attributes:
    architecture: its name.
    widths: channels of its levels.
    params: with batch-norm scales and biases.
    batch_statistics: batch-norm means and variances of the support crops.
  """

  architecture: Architecture
  widths: tuple[int, ...]
  params: Params = dataclasses.field(repr=False)
  batch_statistics: Params = dataclasses.field(repr=False)

  @property
  def receptive_radius(self) -> int:
    """Distance in pixels to the farthest pixel that an output depends on."""
    return make_model(self.architecture, widths=self.widths).receptive_radius


def with_batch_statistics(
  architecture: Architecture, widths: tuple[int, ...], params: Params, crops: np.ndarray
) -> Network:
  """The network with the batch-norm statistics of crops.

  Args:
    architecture: name of the network.
    widths: channels of its levels.
    params: its parameters, with batch-norm scales and biases.
    crops: (N, h, h) uint8, such as the network was trained on: whole images hold less foreground,
      and with their statistics too much foreground is found.
  """
  statistics = _compiled(architecture, widths).statistics(params, crops)
  return Network(architecture, widths, params, jax.device_get(statistics))


def predict_grey(network: Network, grey: np.ndarray, orientations: Orientations = 1) -> np.ndarray:
  """Foreground probability of an image at the working scale.

  Args:
    network: of `with_batch_statistics`.
    grey: (H, W) uint8, any size; larger images than a tile are predicted in overlapping tiles.
    orientations: see `average_orientations`.

  Returns:
    (H, W) float32 in [0, 1].
  """
  probability = _compiled(network.architecture, network.widths).probability
  variables = {'params': network.params, 'statistics': network.batch_statistics}

  def predict_tile(tile: np.ndarray) -> np.ndarray:
    return np.asarray(probability(variables, tile[None])[0])

  def predict_image(grey: np.ndarray) -> np.ndarray:
    return predict_tiled(predict_tile, grey, network.receptive_radius)

  return average_orientations(predict_image, orientations)(grey)


class _Compiled(NamedTuple):
  """Compiled functions of a network and (B, H, W) uint8 images."""

  probability: Callable[..., jax.Array]
  statistics: Callable[..., Params]


@functools.lru_cache
def _compiled(architecture: Architecture, widths: tuple[int, ...]) -> _Compiled:
  keep_compiled_programs()
  # Outside a loop XLA's convolution is the fastest on all platforms, and compiles in seconds.
  model = make_model(architecture, widths=widths, affine=True, lowering='xla')

  @jax.jit
  def probability(variables: Params, images: jax.Array) -> jax.Array:
    logits, _ = model.apply(variables, normalise(images)[..., None])
    return jax.nn.sigmoid(logits[..., 0])

  return _Compiled(probability, jax.jit(functools.partial(compute_batch_statistics, model)))


def compute_batch_statistics(model: FCRN | UNet, params: Params, images: jax.Array) -> Params:
  """Batch-norm means and variances of images.

  Args:
    model: the network.
    params: its parameters.
    images: (N, H, W) uint8, sides multiples of the network's stride.
  """
  inputs = normalise(images)[..., None]
  return model.apply({'params': params}, inputs, mutable=['statistics'])[1]['statistics']


def average_orientations(predict: PredictImages, orientations: Orientations) -> PredictImages:
  """Test-time augmentation: the mean over flipped and rotated images, each turned back.

  Args:
    predict: one prediction, (..., H, W) to (..., H, W).
    orientations: 1 (no averaging), 4 (flips) or 8 (all symmetries of the square).

  Returns:
    A function like `predict` that takes as many times as long.

  Raises:
    InputError: another number of orientations.

  >>> average_orientations(lambda x: x, 8)(np.array([[0.25, 0.75]]))
  array([[0.25, 0.75]], dtype=float32)
  """
  require_orientations(orientations)
  if orientations == 1:
    return predict

  def mean(images: np.ndarray) -> np.ndarray:
    total = np.zeros(images.shape, np.float32)
    for symmetry in _SYMMETRIES[:orientations]:
      total += _turn_back(predict(_turn(images, *symmetry)), *symmetry)
    return total / orientations

  return mean


def _turn(images: np.ndarray, vertical: bool, horizontal: bool, transposed: bool) -> np.ndarray:
  images = images[..., :: -1 if vertical else 1, :: -1 if horizontal else 1]
  return images.swapaxes(-1, -2) if transposed else images


def _turn_back(
  images: np.ndarray, vertical: bool, horizontal: bool, transposed: bool
) -> np.ndarray:
  images = images.swapaxes(-1, -2) if transposed else images
  return images[..., :: -1 if vertical else 1, :: -1 if horizontal else 1]
