"""Fine-tune an initialisation on the few images of a selection and score it on the others."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import optax

from fscs import metrics
from fscs.augmentation import Augment
from fscs.episodes import Bank, make_bank
from fscs.losses import PixelLoss, weighted_bce
from fscs.models import FCRN, UNet
from fscs.predict import Statistics, make_predict
from fscs.preprocessing import GreySet
from fscs.supervised import Recipe, crop_stream, make_train_all, num_training_steps
from fscs.types import Params


class Target(NamedTuple):
  """A target data set on the device, with every crop that fine-tuning may draw."""

  grey_set: GreySet
  bank: Bank
  image_of_crop: np.ndarray  # (C,) int32: which image each crop of the bank's table is cut from


class FineTuning(NamedTuple):
  """How an initialisation adapts to a target; defaults are the paper's."""

  optimizer: optax.GradientTransformation
  crop_size: int
  batch_size: int = 64
  num_epochs: int = 20
  max_steps: int | None = None
  seed: int = 0
  pixel_loss: PixelLoss = weighted_bce
  augment: Augment | None = None


class Scores(NamedTuple):
  """One value per test image."""

  indices: np.ndarray  # (N,) int: which images of the target
  iou: np.ndarray  # (N,)
  dice: np.ndarray  # (N,)
  foreground_accuracy: np.ndarray  # (N,)


def make_target(
  grey_set: GreySet, *, crop_size: int, stride: tuple[int, int], min_foreground: int
) -> Target:
  """Put a target on the device; raises as `make_bank`."""
  bank = make_bank([grey_set], crop_size=crop_size, strides=[stride], min_foreground=min_foreground)
  image_of_crop = np.asarray(bank.corner) // grey_set.masks[0].size
  return Target(grey_set, bank, image_of_crop)


def make_finetune(
  model: FCRN | UNet, finetuning: FineTuning
) -> Callable[[Params, Target, Sequence[Sequence[int]]], list[tuple[Params, np.ndarray]]]:
  """A function from (params, target, supports) to fine-tuned parameters and losses per support.

  A support is a list of annotated images; all of them are worked on in one call, which takes as
  many times the memory. `params` must be those of `model`, with batch-norm scales and biases if it
  has them. An image without an admissible crop adds nothing; where no image of a support has one,
  the parameters come back as is.
  """
  apply = lambda params, images: model.apply({'params': params}, images)  # noqa: E731
  recipe = Recipe(
    finetuning.optimizer, finetuning.crop_size, finetuning.pixel_loss, finetuning.augment
  )
  train_all = make_train_all(apply, recipe)

  def stream_of(crops: np.ndarray) -> np.ndarray:
    num_steps = num_training_steps(
      len(crops), finetuning.batch_size, finetuning.num_epochs, finetuning.max_steps
    )
    return crop_stream(finetuning.seed, crops, finetuning.batch_size, num_steps)

  def finetune(params: Params, target: Target, supports: Sequence[Sequence[int]]):
    nothing = (params, np.zeros(0, np.float32))
    if finetuning.max_steps == 0:
      return [nothing] * len(supports)
    isin = [np.isin(target.image_of_crop, support) for support in supports]
    streams = [stream_of(np.flatnonzero(found).astype(np.int32)) for found in isin if found.any()]
    trained = iter(train_all(params, target.bank, streams) if streams else ())
    return [next(trained) if found.any() else nothing for found in isin]

  return finetune


def make_score(
  model: FCRN | UNet, *, statistics: Statistics = 'image', batch_size: int = 32
) -> Callable[[Params, GreySet, Sequence[int]], tuple[Scores, np.ndarray]]:
  """A function from (params, set, image indices) to scores and (N, H, W) boolean predictions."""
  predict = make_predict(model, statistics=statistics, batch_size=batch_size)

  def score(params: Params, grey_set: GreySet, indices: Sequence[int]):
    indices = np.asarray(indices)
    images, truth = grey_set.images[indices], grey_set.masks[indices] > 0
    prediction = predict(params, images) > 0.5
    scores = Scores(
      indices,
      metrics.iou(prediction, truth),
      metrics.dice(prediction, truth),
      metrics.foreground_accuracy(prediction, truth),
    )
    return scores, prediction

  return score
