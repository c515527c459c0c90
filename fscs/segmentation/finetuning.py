"""Fine-tuning on a user's annotated images, with an estimate of how well it will do on others."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import optax

from fscs.augmentation import augment
from fscs.data.channels import Channel, Choice
from fscs.data.preprocessing import some_crops
from fscs.data.scaling import choose_scale, object_diameters, typical_diameter
from fscs.io.initialisations import Initialisation
from fscs.losses import bce_dice
from fscs.models import make_model, with_affine_norms
from fscs.optimizers import OptimizerName, inner_optimizer
from fscs.segmentation import instances as objects
from fscs.segmentation.annotations import Annotated, annotate_all, at_scale
from fscs.segmentation.crops import crop_bank
from fscs.segmentation.cross_validation import (
  Trial,
  learn_splitting,
  score_again,
  try_folds,
  with_statistics,
)
from fscs.segmentation.folds import Piece, num_folds, usable_folds
from fscs.segmentation.prediction import Orientations, require_orientations
from fscs.segmentation.segmenter import Segmenter, Support
from fscs.training import Recipe, crop_stream, make_train_all
from fscs.typing import Params

LEARNING_RATES: dict[OptimizerName, float] = {'muon': 1e-2, 'adam': 3e-3}


class Settings(NamedTuple):
  """How long and how fast; what a crop is; how what has learned predicts."""

  num_steps: int = 120
  batch_size: int = 4
  learning_rate: float | None = None  # falls to 0 along half a cosine; see `LEARNING_RATES`
  crop_size: int = 128
  seed: int = 0
  optimizer: OptimizerName = 'muon'
  orientations: Orientations = 8  # of `Segmenter`


class Result(NamedTuple):
  """A segmenter with the evidence for it."""

  segmenter: Segmenter
  losses: np.ndarray  # (num_steps,)
  trials: tuple[Trial, ...]


class _Network(NamedTuple):
  """What gradients have made of some of the annotated images."""

  params: Params
  losses: np.ndarray  # (num_steps,)
  crops: np.ndarray  # (N, H, H) uint8 that stand for what it has learned from


def finetune(
  initialisation: Initialisation,
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  **options,
) -> Segmenter:
  """A segmenter that has learned from a few annotated images.

  Args:
    initialisation: where to start; `fscs.pretrained()` is one.
    images: (H, W) or (H, W, channels) each, any numbers, of any sizes.
    masks: (H, W) each, 0 for background; several positive values tell objects apart.
    **options: names, channel, scale, settings (a `fscs.segmentation.finetuning.Settings`: steps, crops, seed
      and others) and advance, as `fscs.segmentation.finetuning.finetune_with_trials` takes them.

  Raises:
    InputError: names the image and what is wrong with it or its mask.
  """
  return finetune_with_trials(initialisation, images, masks, **options).segmenter


def finetune_with_trials(
  initialisation: Initialisation,
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  *,
  names: Sequence[str] | None = None,
  channel: Choice = 'learned',
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
    channel: which channel counts, or 'luma' of colours, or weights of all; by default the weighted
      sum that tells best what is annotated, see `fscs.data.channels.choose`.
    scale: factor by which images are resized; by default such that objects get the size that the
      initialisation knows.
    settings: how long and how fast.
    advance: called with the number of steps done, of `num_steps(len(images), settings)` in all.

  Raises:
    InputError: names the image and what is wrong with it or its mask; or the settings have a number
      of orientations that there is not.
  """
  require_orientations(settings.orientations)
  annotated, instances, grey = annotate_all(images, masks, names, channel)
  labels = [image.labels for image in annotated]
  scale = choose_scale(labels, initialisation.diameter_range) if scale is None else scale
  working = [at_scale(image, scale) for image in annotated]
  start = _start(initialisation, annotated, scale, grey, settings.orientations, split=instances)
  folds, networks = _train(start, working, settings, advance)
  segmenter, trials = _choose(start, working, folds, networks, split=instances)
  return Result(segmenter, networks[-1].losses, trials)


def num_steps(num_images: int, settings: Settings) -> int:
  """Steps of a fine-tuning with its cross-validation, at most."""
  return (num_folds(num_images) + 1) * settings.num_steps


def _start(
  initialisation: Initialisation,
  images: Sequence[Annotated],
  scale: float,
  channel: Channel,
  orientations: Orientations,
  *,
  split: bool,
) -> Segmenter:
  """The segmenter before it has learned anything."""
  splitting = objects.usual_splitting if split else objects.whole_regions
  model = make_model(
    initialisation.architecture, widths=initialisation.widths, affine=True, norm_scale=1.0
  )
  return Segmenter(
    architecture=initialisation.architecture,
    widths=tuple(model.widths),
    params=with_affine_norms(model, initialisation.params),
    statistics=None,
    scale=scale,
    channel=channel,
    splitting=splitting([image.labels for image in images]),
    support=_describe(images),
    orientations=orientations,
  )


def _describe(images: Sequence[Annotated]) -> Support:
  diameters = np.concatenate([object_diameters(image.labels) for image in images])
  typical = typical_diameter([image.labels for image in images])
  means, deviations = ([float(f(image.grey)) for image in images] for f in (np.mean, np.std))
  return Support(
    (float(diameters.min()), typical, float(diameters.max())),
    (min(means), float(np.mean(means)), max(means)),
    (min(deviations), float(np.mean(deviations)), max(deviations)),
  )


def _train(
  start: Segmenter,
  images: Sequence[Annotated],
  settings: Settings,
  advance: Callable[[int], None] | None,
) -> tuple[list[tuple[Piece, ...]], list[_Network]]:
  """The folds, and a network without each of them and one with all."""
  bank, corners, greys = crop_bank(images, settings.crop_size)
  labels = [image.labels for image in images]
  folds, crops = usable_folds(labels, corners, settings.crop_size)
  streams = [crop_stream(settings.seed, c, settings.batch_size, settings.num_steps) for c in crops]
  model = make_model(start.architecture, widths=start.widths, affine=True)
  rate = settings.learning_rate
  if rate is None:
    rate = LEARNING_RATES[settings.optimizer]
  schedule = optax.cosine_decay_schedule(rate, settings.num_steps)
  optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    inner_optimizer(schedule, weight_decay=0.0, name=settings.optimizer),
  )
  recipe = Recipe(optimizer, settings.crop_size, bce_dice, augment)
  train_all = make_train_all(lambda params, x: model.apply({'params': params}, x), recipe)
  trained = train_all(start.params, bank, streams, advance, settings.seed)
  seen = [some_crops(greys, corners[c], settings.crop_size) for c in crops]
  return folds, [_Network(*one, of_it) for one, of_it in zip(trained, seen, strict=True)]


def _choose(
  start: Segmenter,
  images: Sequence[Annotated],
  folds: Sequence[Sequence[Piece]],
  networks: Sequence[_Network],
  *,
  split: bool,
) -> tuple[Segmenter, tuple[Trial, ...]]:
  """What gradients do not learn: statistics, splitting if wanted, and the IoU to expect.

  Args:
    start: the segmenter before it has learned anything.
    images: the annotated images, at the working scale.
    folds: what was held out in turn.
    networks: as `_train` returns them.
    split: whether the images tell objects apart.
  """
  *of_folds, last = networks
  trials, keep = try_folds(
    start, images, folds, [one.params for one in of_folds], [one.crops for one in of_folds]
  )
  segmenter = dataclasses.replace(start, params=last.params)
  if keep:
    segmenter = with_statistics(segmenter, last.crops)
  if not trials:
    return segmenter, trials
  if split:
    segmenter = dataclasses.replace(segmenter, splitting=learn_splitting(trials, start.scale))
    trials = score_again(trials, segmenter.splitting.threshold)
  estimate = float(np.mean([trial.iou for trial in trials]))
  return dataclasses.replace(segmenter, estimate=estimate), trials
