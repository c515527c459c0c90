"""Fine-tune an initialisation on the few images of a selection and score it on the others."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import optax
from skimage.measure import label

from fscs import metrics
from fscs.augmentation import Augment
from fscs.episodes import bank_of
from fscs.losses import PixelLoss, weighted_bce
from fscs.models import FCRN, UNet
from fscs.own_images import choose_scale, resize_set, scaled_stride
from fscs.predict import make_predict, predict_resized
from fscs.preprocessing import GreySet, crop_corners
from fscs.supervised import Recipe, crop_stream, make_train_all, num_training_steps
from fscs.types import Params


class FineTuning(NamedTuple):
  """How an initialisation adapts to annotated images; defaults are the paper's."""

  optimizer: optax.GradientTransformation
  crop_size: int
  stride: tuple[int, int]  # (rows, columns) between crops
  min_foreground: int = 360  # pixels that a crop needs at least
  batch_size: int = 64
  num_epochs: int = 20
  max_steps: int | None = None
  seed: int = 0
  pixel_loss: PixelLoss = weighted_bce
  augment: Augment | None = None
  object_diameter: float | None = None  # to which annotated objects, and so images, are resized


class Adapted(NamedTuple):
  """What came of annotated images."""

  params: Params
  losses: np.ndarray  # of every step, before its update; none where no crop has enough foreground
  scale: float  # factor by which images are resized before the network sees them


class Scores(NamedTuple):
  """One value per test image."""

  indices: np.ndarray  # (N,) int: which images of the target
  iou: np.ndarray  # (N,)
  dice: np.ndarray  # (N,)
  foreground_accuracy: np.ndarray  # (N,)


def make_finetune(
  model: FCRN | UNet, finetuning: FineTuning
) -> Callable[[Params, Sequence[GreySet]], list[Adapted]]:
  """A function from (params, supports) to what adapts to each of the supports.

  A support is a set of annotated images; all supports are worked on in one call, which takes as
  many times the memory. `params` must be those of `model`, with batch-norm scales and biases if it
  has them. An image without an admissible crop adds nothing; where no image of a support has one,
  the parameters come back as is. The function raises InputError where crops are larger than images.
  """
  apply = lambda params, images: model.apply({'params': params}, images)  # noqa: E731
  recipe = Recipe(
    finetuning.optimizer, finetuning.crop_size, finetuning.pixel_loss, finetuning.augment
  )
  train_all = make_train_all(apply, recipe)

  def finetune(params: Params, supports: Sequence[GreySet]) -> list[Adapted]:
    scales = [_scale(support.masks, finetuning.object_diameter) for support in supports]
    nothing = [Adapted(params, np.zeros(0, np.float32), scale) for scale in scales]
    if finetuning.max_steps == 0:
      return nothing
    sized = [
      resize_set(support, scale, finetuning.crop_size)
      for support, scale in zip(supports, scales, strict=True)
    ]
    tables = [_crops(finetuning, *pair) for pair in zip(sized, scales, strict=True)]
    streams = _streams(finetuning, [len(table) for table in tables])
    trained = iter(train_all(params, bank_of(sized, tables), streams) if streams else ())
    return [
      Adapted(*next(trained), old.scale) if len(table) else old
      for table, old in zip(tables, nothing, strict=True)
    ]

  return finetune


def _scale(masks: np.ndarray, object_diameter: float | None) -> float:
  """The factor by which images are resized, from (N, H, W) annotated masks."""
  if object_diameter is None:
    return 1.0
  return choose_scale([label(mask, connectivity=1) for mask in masks], object_diameter)


def _crops(finetuning: FineTuning, support: GreySet, scale: float) -> np.ndarray:
  """(C, 3) corners of crops; images that have shrunk give as many as before."""
  stride = scaled_stride(finetuning.stride, min(1.0, scale))
  return crop_corners(support.masks, finetuning.crop_size, stride, finetuning.min_foreground)


def _streams(finetuning: FineTuning, counts: Sequence[int]) -> list[np.ndarray]:
  """For each support that has any of the bank's crops, which of them every step sees."""
  streams, first = [], 0
  for count in filter(None, counts):
    num_steps = num_training_steps(
      count, finetuning.batch_size, finetuning.num_epochs, finetuning.max_steps
    )
    crops = np.arange(first, first + count, dtype=np.int32)
    streams.append(crop_stream(finetuning.seed, crops, finetuning.batch_size, num_steps))
    first += count
  return streams


def make_score(model: FCRN | UNet, **options) -> Callable[..., tuple[Scores, np.ndarray]]:
  """A function from (params, set, image indices) to scores and (N, H, W) boolean predictions.

  Its fourth argument, if given, is the factor by which images are resized for the network. Options
  are those of `make_predict`.
  """
  predict = make_predict(model, **options)

  def score(params: Params, grey_set: GreySet, indices: Sequence[int], scale: float = 1.0):
    indices = np.asarray(indices)
    images, truth = grey_set.images[indices], grey_set.masks[indices] > 0
    prediction = predict_resized(predict, params, images, scale) > 0.5
    scores = Scores(
      indices,
      metrics.iou(prediction, truth),
      metrics.dice(prediction, truth),
      metrics.foreground_accuracy(prediction, truth),
    )
    return scores, prediction

  return score
