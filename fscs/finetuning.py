"""Fine-tuning on a user's annotated images, with an estimate of how well it will do on others."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import optax

from fscs import metrics, objects, tiles
from fscs.augmentation import augment
from fscs.episodes import Bank, make_bank
from fscs.errors import InputError
from fscs.folds import Piece, num_folds, usable_folds
from fscs.losses import bce_dice
from fscs.models import make_model, with_affine_norms
from fscs.objects import Splitting
from fscs.own_images import (
  Annotated,
  annotate,
  at_scale,
  choose_scale,
  object_diameters,
  typical_diameter,
)
from fscs.preprocessing import GreySet, crop_corners
from fscs.segmenter import Segmenter, Support, predict_grey, statistics_of
from fscs.starting_points import Initialisation
from fscs.supervised import Recipe, crop_stream, make_train_all
from fscs.types import Params

CROPS_ACROSS = 8  # crops begin at multiples of an eighth of their side
STATISTICS_CROPS = 32  # whose statistics stand for the annotated images


class Settings(NamedTuple):
  """How long and how fast; what a crop is."""

  num_steps: int = 60
  batch_size: int = 8
  learning_rate: float = 3e-3  # falls to 0 along half a cosine
  crop_size: int = 128
  seed: int = 0


class Trial(NamedTuple):
  """What cross-validation found on one annotated image, or half of one, at the working scale."""

  name: str
  grey: np.ndarray  # (H, W) uint8
  labels: np.ndarray  # (H, W) int32, the truth
  probability: np.ndarray  # (H, W) float32, by a network that has not seen the piece
  iou: float


class Result(NamedTuple):
  """A segmenter with the evidence for it."""

  segmenter: Segmenter
  losses: np.ndarray  # (num_steps,)
  trials: tuple[Trial, ...]


def finetune(
  initialisation: Initialisation,
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  **options,
) -> Segmenter:
  """A segmenter that has learned from a few annotated images; options as `finetune_with_trials`."""
  return finetune_with_trials(initialisation, images, masks, **options).segmenter


def finetune_with_trials(
  initialisation: Initialisation,
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  *,
  names: Sequence[str] | None = None,
  channel: int | None = None,
  scale: float | None = None,
  settings: Settings = Settings(),  # noqa: B008, a tuple
  advance: Callable[[int], None] | None = None,
) -> Result:
  """Fine-tune, after a cross-validation that chooses what cannot be learned by gradients.

  Args:
    initialisation: where to start; `fscs.pretrained()` is one.
    images: (H, W) or (H, W, channels) each, any numbers, of any sizes.
    masks: (H, W) each, 0 for background; several positive values tell objects apart.
    names: of the images, for messages.
    channel: which channel counts; luma of colours by default.
    scale: factor by which images are resized; by default such that objects get the size that the
      initialisation knows.
    settings: how long and how fast.
    advance: called with the number of steps done, of `num_steps(len(images), settings)` in all.

  Raises:
    InputError: names the image and what is wrong with it or its mask.
  """
  images, instances = _annotated(images, masks, names, channel)
  labels = [image.labels for image in images]
  scale = choose_scale(labels, initialisation.object_diameter) if scale is None else scale
  working = [at_scale(image, scale) for image in images]
  model = make_model(
    initialisation.architecture, widths=initialisation.widths, affine=True, norm_scale=1.0
  )
  start = Segmenter(
    architecture=initialisation.architecture,
    widths=tuple(model.widths),
    params=with_affine_norms(model, initialisation.params),
    statistics=None,
    scale=scale,
    channel=channel,
    splitting=objects.whole_regions(labels),
    support=_describe(images),
  )
  bank, corners = _bank(working, settings.crop_size)
  folds, crops = usable_folds([image.grey.shape for image in working], corners, settings.crop_size)
  streams = [crop_stream(settings.seed, c, settings.batch_size, settings.num_steps) for c in crops]
  *of_folds, (params, losses) = _make_train(model, settings)(start.params, bank, streams, advance)
  trials, keep = _try_folds(start, working, folds, [params for params, _ in of_folds], settings)
  segmenter = dataclasses.replace(start, params=params)
  if keep:
    statistics = statistics_of(segmenter, _samples(working, settings.crop_size))
    segmenter = dataclasses.replace(segmenter, statistics=statistics)
  if trials:
    estimate = float(np.mean([trial.iou for trial in trials]))
    segmenter = dataclasses.replace(segmenter, estimate=estimate)
  if trials and instances:
    segmenter = dataclasses.replace(segmenter, splitting=_learn_splitting(trials, scale))
  return Result(segmenter, losses, trials)


def num_steps(num_images: int, settings: Settings) -> int:
  """Steps of a fine-tuning with its cross-validation, at most."""
  return (num_folds(num_images) + 1) * settings.num_steps


def _annotated(images, masks, names, channel) -> tuple[list[Annotated], bool]:
  """The images with their masks, and whether all masks tell objects apart."""
  if not len(images) or len(images) != len(masks):
    raise InputError(
      f'{len(images)} images and {len(masks)} masks: one mask for each image is needed, and one'
      ' image at least'
    )
  names = names or [f'image {i}' for i in range(len(images))]
  triples = zip(images, masks, names, strict=True)
  found = [annotate(image, mask, name, channel=channel) for image, mask, name in triples]
  return [image for image, _ in found], all(instances for _, instances in found)


def _describe(images: Sequence[Annotated]) -> Support:
  diameters = np.concatenate([object_diameters(image.labels) for image in images])
  typical = typical_diameter([image.labels for image in images])
  means, deviations = ([float(f(image.grey)) for image in images] for f in (np.mean, np.std))
  return Support(
    (float(diameters.min()), typical, float(diameters.max())),
    (min(means), float(np.mean(means)), max(means)),
    (min(deviations), float(np.mean(deviations)), max(deviations)),
  )


def _make_train(model, settings: Settings):
  schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.num_steps)
  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
  recipe = Recipe(optimizer, settings.crop_size, bce_dice, augment)
  return make_train_all(lambda params, x: model.apply({'params': params}, x), recipe)


def _bank(images: Sequence[Annotated], crop_size: int) -> tuple[Bank, np.ndarray]:
  """The images on the device, and (C, 3) image, row, column of every crop."""
  stride = max(1, crop_size // CROPS_ACROSS)
  sets, corners = [], []
  for index, image in enumerate(images):
    missing = [(0, max(0, crop_size - size)) for size in image.grey.shape]
    grey, labels = (np.pad(x, missing, mode='symmetric') for x in (image.grey, image.labels))
    mask = (labels > 0).astype(np.uint8)
    sets.append(GreySet(image.name, grey[None], mask[None], (image.name,)))
    table = crop_corners(mask[None], crop_size, (stride, stride), 1)
    corners.append(np.concatenate([np.full((len(table), 1), index), table[:, 1:]], axis=1))
  strides = [(stride, stride)] * len(sets)
  bank = make_bank(sets, crop_size=crop_size, strides=strides, min_foreground=1)
  return bank, np.concatenate(corners)


def _try_folds(
  start: Segmenter, images, folds, params: Sequence[Params], settings: Settings
) -> tuple[tuple[Trial, ...], bool]:
  """The trials of all folds, and whether the annotated images' statistics are to be kept."""
  by_choice = {}
  for keep in (False, True):
    trials = []
    for fold, of_fold in zip(folds, params, strict=True):
      segmenter = dataclasses.replace(start, params=of_fold)
      if keep:
        held_out = {piece.image for piece in fold if len(images) > 2}
        seen = [image for i, image in enumerate(images) if i not in held_out]
        statistics = statistics_of(segmenter, _samples(seen, settings.crop_size))
        segmenter = dataclasses.replace(segmenter, statistics=statistics)
      trials += [_try(segmenter, images[piece.image], piece) for piece in fold]
    by_choice[keep] = tuple(trials)
  mean = {keep: sum(trial.iou for trial in trials) for keep, trials in by_choice.items()}
  keep = mean[True] > mean[False]
  return by_choice[keep], keep


def _try(segmenter: Segmenter, image: Annotated, piece: Piece) -> Trial:
  grey, labels = (x[piece.rows, piece.columns] for x in (image.grey, image.labels))
  probability = predict_grey(segmenter, grey)
  iou = float(metrics.iou(probability > segmenter.splitting.threshold, labels > 0))
  return Trial(image.name, grey, labels, probability, iou)


def _samples(images: Sequence[Annotated], side: int) -> np.ndarray:
  """(N, side, side) pieces of all images, for statistics."""
  count = -(-STATISTICS_CROPS // len(images))
  filled = []
  for image in images:
    missing = [(0, max(0, side - size)) for size in image.grey.shape]
    filled.append(tiles.sample(np.pad(image.grey, missing, mode='symmetric'), count, side))
  return np.concatenate(filled)


def _learn_splitting(trials: Sequence[Trial], scale: float) -> Splitting:
  """The best splitting of the trials, in pixels of the user's images."""
  labels = [trial.labels for trial in trials]
  diameter = typical_diameter(labels)
  found = objects.learn_splitting([trial.probability for trial in trials], labels, diameter)
  distance = None if found.distance is None else found.distance / scale
  return Splitting(found.threshold, distance, max(1, round(found.min_area / scale**2)))
