"""Fine-tune an initialisation on the few images of a selection and score it on the others."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from skimage.measure import label

from fscs import metrics
from fscs.augmentation import Augment
from fscs.data.bank import Bank, bank_of
from fscs.data.preprocessing import GreySet, crop_corners, some_crops
from fscs.data.scaling import DiameterRange, choose_scale, resize_set, scaled_stride, stretch
from fscs.losses import PixelLoss, weighted_bce
from fscs.models import FCRN, UNet
from fscs.segmentation import pixel_forest
from fscs.segmentation.prediction import (
  Orientations,
  Statistics,
  averaged,
  batch_statistics,
  make_predict,
  predict_resized,
)
from fscs.training import Recipe, crop_stream, make_train_all, num_training_steps
from fscs.typing import Params

IMAGES_AT_ONCE = 16  # test images that are resized and turned together: bounds memory


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
  diameter_range: DiameterRange | None = None  # see `choose_scale`; None: images stay as they are
  stretch: bool = False  # grey values of every image, see `fscs.data.scaling.stretch`
  keep_statistics: bool = False  # of the annotated images, to normalise others by
  forest_share: float = 0.0  # of a pixel forest that is fully trusted, see `with_forest`


class Adapted(NamedTuple):
  """What came of annotated images."""

  params: Params
  losses: np.ndarray = np.zeros(0)  # of every step; none where no crop has enough foreground
  scale: float = 1.0  # factor by which images are resized before the network sees them
  stretch: bool = False  # grey values of images first
  statistics: Params | None = None  # of batch norms; None: every image is normalised by its own
  forest: pixel_forest.Predict | None = None  # that is mixed in
  forest_share: float = 0.0


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
  train = _make_train(model, finetuning)
  statistics = jax.jit(functools.partial(batch_statistics, model))

  def finetune(params: Params, supports: Sequence[GreySet]) -> list[Adapted]:
    if finetuning.stretch:
      supports = [support._replace(images=_stretched(support.images)) for support in supports]
    scales = [_scale(support.masks, finetuning.diameter_range) for support in supports]
    sized = [
      resize_set(support, scale, finetuning.crop_size)
      for support, scale in zip(supports, scales, strict=True)
    ]
    tables = [_crops(finetuning, *pair) for pair in zip(sized, scales, strict=True)]
    trained = train(params, sized, tables)
    adapted = [
      Adapted(*one, scale, finetuning.stretch, keep(one[0], support, table))
      for one, support, table, scale in zip(trained, sized, tables, scales, strict=True)
    ]
    return [with_forest(*pair, finetuning) for pair in zip(adapted, supports, strict=True)]

  def keep(params: Params, support: GreySet, table: np.ndarray) -> Params | None:
    if not (finetuning.keep_statistics and len(table)):
      return None
    return statistics(params, some_crops(support.images, table, finetuning.crop_size))

  return finetune


def with_forest(adapted: Adapted, support: GreySet, finetuning: FineTuning) -> Adapted:
  """The same with a forest of the annotated images, if the fine-tuning has a share for it.

  The share falls with the trust that the forest's IoU on annotated pixels it has not seen earns.
  """
  if not finetuning.forest_share:
    return adapted
  images, masks, seed = support.images, support.masks, finetuning.seed
  trust = pixel_forest.trust(pixel_forest.held_out_iou(images, masks, seed=seed))
  if not trust:
    return adapted
  forest = pixel_forest.forest(images, masks, seed=seed)
  return adapted._replace(forest=forest, forest_share=trust * finetuning.forest_share)


def _stretched(images: np.ndarray) -> np.ndarray:
  """(N, H, W) uint8, every image between its own percentiles."""
  return np.stack([stretch(image) for image in images])


def _make_train(model: FCRN | UNet, finetuning: FineTuning) -> Callable:
  """A function from (params, supports, tables of their crops) to parameters and losses of each."""
  apply = lambda params, images: model.apply({'params': params}, images)  # noqa: E731
  recipe = Recipe(
    finetuning.optimizer, finetuning.crop_size, finetuning.pixel_loss, finetuning.augment
  )
  train_all = make_train_all(apply, recipe)

  def train(params: Params, supports: Sequence[GreySet], tables: Sequence[np.ndarray]):
    nothing = (params, np.zeros(0, np.float32))
    if finetuning.max_steps == 0:
      return [nothing] * len(supports)
    streams = _streams(finetuning, [len(table) for table in tables])
    bank = _filled_up(bank_of(supports, tables))
    trained = iter(train_all(params, bank, streams, seed=finetuning.seed) if streams else ())
    return [next(trained) if len(table) else nothing for table in tables]

  return train


def _filled_up(bank: Bank) -> Bank:
  """A bank of few possible sizes, so that other supports need no other program."""

  def fill(array: jax.Array) -> jax.Array:
    size = 1 << max(len(array) - 1, 0).bit_length()
    return jnp.pad(array, (0, size - len(array)))

  return jax.tree.map(fill, bank)


def _scale(masks: np.ndarray, diameter_range: DiameterRange | None) -> float:
  """The factor by which images are resized, from (N, H, W) annotated masks."""
  if diameter_range is None:
    return 1.0
  return choose_scale([label(mask, connectivity=1) for mask in masks], diameter_range)


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


def predict_adapted(
  predict: Callable[..., np.ndarray],
  adapted: Adapted,
  images: np.ndarray,
  orientations: Orientations = 1,
  batch_size: int = IMAGES_AT_ONCE,
) -> np.ndarray:
  """(N, H, W) float32 probabilities of uint8 images, stretched as the annotated ones were.

  They are resized and turned a batch at a time.

  `predict` is of `make_predict`; where it normalises batches, batches must be of that size.
  """
  if adapted.stretch:
    images = _stretched(images)
  of_images = averaged(
    lambda images: predict(adapted.params, images, adapted.statistics), orientations
  )
  batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
  found = np.concatenate([predict_resized(of_images, batch, adapted.scale) for batch in batches])
  if adapted.forest is None:
    return found
  others = np.stack([adapted.forest(image) for image in images])
  return pixel_forest.mix(found, others, adapted.forest_share)


def make_score(
  model: FCRN | UNet,
  *,
  statistics: Statistics = 'image',
  batch_size: int = 32,
  orientations: Orientations = 1,
) -> Callable[[Adapted, GreySet, Sequence[int]], tuple[Scores, np.ndarray]]:
  """A function from (adapted, set, image indices) to scores and (N, H, W) boolean predictions.

  Foreground is where the probability is above 0.5.
  """
  predict = make_predict(model, statistics=statistics, batch_size=batch_size)
  at_once = batch_size if statistics == 'batch' else IMAGES_AT_ONCE

  def score(adapted: Adapted, grey_set: GreySet, indices: Sequence[int]):
    indices = np.asarray(indices)
    images, truth = grey_set.images[indices], grey_set.masks[indices] > 0
    prediction = predict_adapted(predict, adapted, images, orientations, at_once) > 0.5
    scores = Scores(
      indices,
      metrics.iou(prediction, truth),
      metrics.dice(prediction, truth),
      metrics.foreground_accuracy(prediction, truth),
    )
    return scores, prediction

  return score
