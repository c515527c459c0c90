"""The paper's fine-tuning and evaluation: all images of a target have one size.

`fscs.segmentation.finetuning` is the product's; `--adaptation=fscs` of `experiments.finetune_eval`
and the study's method `fscs` call it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fscs import metrics
from fscs.augmentation import Augment
from fscs.data.bank import bank_from_corners, pad_bank
from fscs.data.crops import crop_corners
from fscs.data.image_sets import GreySet
from fscs.data.intensity import normalise
from fscs.devices import over_tasks
from fscs.losses import PixelLoss, weighted_bce
from fscs.models import FCRN, UNet
from fscs.training import Recipe, crop_stream, make_train_all, num_training_steps
from fscs.typing import Params

Statistics = Literal['image', 'batch']

IMAGES_PER_CALL = 4  # larger calls save little time and take memory on a GPU


class FineTuning(NamedTuple):
  """How an initialisation adapts; the defaults are the paper's."""

  optimizer: optax.GradientTransformation
  crop_size: int
  stride: tuple[int, int]  # (rows, columns) between crops
  min_foreground: int = 360  # pixels in a crop
  batch_size: int = 64
  num_epochs: int = 20
  max_steps: int | None = None
  seed: int = 0
  pixel_loss: PixelLoss = weighted_bce
  augment: Augment | None = None


class Adapted(NamedTuple):
  """Parameters after fine-tuning."""

  params: Params
  losses: np.ndarray  # (num_steps,); empty if no crop has enough foreground


class Scores(NamedTuple):
  """One value per test image."""

  indices: np.ndarray  # (N,) int, images of the target
  iou: np.ndarray  # (N,)
  dice: np.ndarray  # (N,)
  foreground_accuracy: np.ndarray  # (N,)


def make_finetune(
  model: FCRN | UNet, finetuning: FineTuning
) -> Callable[[Params, Sequence[GreySet]], list[Adapted]]:
  """A function from (params, support sets) to the adapted parameters of every set.

  All support sets are trained on in one call, which takes as many times the memory. Parameters must
  have batch-norm scales and biases if the model has. Images without an admissible crop add nothing;
  a support set without any keeps its parameters. The function raises InputError if crops are larger
  than the images.
  """

  def apply(params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return model.apply({'params': params}, images)

  recipe = Recipe(
    finetuning.optimizer, finetuning.crop_size, finetuning.pixel_loss, finetuning.augment
  )
  train_all = make_train_all(apply, recipe)

  def finetune(params: Params, supports: Sequence[GreySet]) -> list[Adapted]:
    corners = [
      crop_corners(
        support.masks, finetuning.crop_size, finetuning.stride, finetuning.min_foreground
      )
      for support in supports
    ]
    unchanged = Adapted(params, np.zeros(0, np.float32))
    if finetuning.max_steps == 0 or not any(map(len, corners)):
      return [unchanged] * len(supports)
    bank = pad_bank(bank_from_corners(supports, corners))
    streams = _streams(finetuning, [len(table) for table in corners])
    trained = iter(train_all(params, bank, streams, seed=finetuning.seed))
    return [Adapted(*next(trained)) if len(table) else unchanged for table in corners]

  return finetune


def _streams(finetuning: FineTuning, counts: Sequence[int]) -> list[np.ndarray]:
  """The crops of every step, for each support set that has any."""
  streams, first = [], 0
  for count in filter(None, counts):
    num_steps = num_training_steps(
      count, finetuning.batch_size, finetuning.num_epochs, finetuning.max_steps
    )
    crops = np.arange(first, first + count, dtype=np.int32)
    streams.append(crop_stream(finetuning.seed, crops, finetuning.batch_size, num_steps))
    first += count
  return streams


def make_predict(
  model: FCRN | UNet, *, statistics: Statistics = 'image', batch_size: int = 32
) -> Callable[[Params, np.ndarray], np.ndarray]:
  """A function from parameters and (N, H, W) uint8 images to probabilities (N, H, W) float32.

  Sides that are no multiples of the network's stride are reflected at the lower and right edges. It
  compiles once per size of images.

  Args:
    model: the network.
    statistics: 'image' normalises every image by its own batch-norm statistics, so that no
      prediction depends on other images; 'batch' takes `batch_size` consecutive images, as the
      reference does.
    batch_size: of 'batch'.
  """
  if statistics == 'batch':
    if model.lowering == 'auto':
      model = model.clone(lowering='xla')  # outside a loop, and with the smallest copies
    probability = jax.jit(functools.partial(_probability, model))
    return functools.partial(_in_batches, probability, batch_size)

  @jax.jit
  def each(params: Params, images: jax.Array) -> jax.Array:
    return over_tasks(lambda image: _probability(model, params, image[None])[0], 'auto', images)

  def predict(params: Params, images: np.ndarray) -> np.ndarray:
    size = min(len(images), IMAGES_PER_CALL)
    missing = -len(images) % size
    filled = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
    return _in_batches(each, size, params, filled)[: len(images)]

  return predict


def _probability(model: FCRN | UNet, params: Params, images: jax.Array) -> jax.Array:
  """(B, H, W) uint8 images to (B, H, W), normalised by their common statistics."""
  _, height, width = images.shape
  padding = ((0, 0), (0, -height % model.stride), (0, -width % model.stride))
  padded = normalise(jnp.pad(images, padding, mode='symmetric'))
  logits, _ = model.apply({'params': params}, padded[..., None])
  return jax.nn.sigmoid(logits[:, :height, :width, 0])


def _in_batches(function, size: int, params: Params, images: np.ndarray) -> np.ndarray:
  batches = [images[i : i + size] for i in range(0, len(images), size)]
  return np.concatenate([np.asarray(function(params, batch)) for batch in batches])


def score_images(
  predict: Callable[[np.ndarray], np.ndarray],
  grey_set: GreySet,
  indices: Sequence[int] | np.ndarray,
) -> tuple[Scores, np.ndarray]:
  """Scores of some images of a target, and their (N, H, W) boolean predictions.

  Foreground is where the probability is above 0.5.

  Args:
    predict: maps (N, H, W) uint8 images to probabilities.
    grey_set: the target.
    indices: images to score.
  """
  indices = np.asarray(indices)
  prediction = predict(grey_set.images[indices]) > 0.5
  truth = grey_set.masks[indices] > 0
  scores = Scores(
    indices,
    metrics.iou(prediction, truth),
    metrics.dice(prediction, truth),
    metrics.foreground_accuracy(prediction, truth),
  )
  return scores, prediction
