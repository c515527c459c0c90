"""Fine-tuning: from a few annotated images to a `Segmenter`.

This is the only adaptation of the package: `fscs.finetune`, the console command and the method
'fscs' of the study call `finetune_and_validate`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import optax

from fscs.augmentation import augment
from fscs.compilation import keep_compiled_programs
from fscs.data.channels import ChannelChoice
from fscs.data.crops import sample_evenly
from fscs.data.scaling import choose_scale, object_diameters, typical_diameter
from fscs.errors import InputError
from fscs.io.initialisations import Initialisation, load_initialisation
from fscs.losses import bce_dice
from fscs.metrics.pixels import iou
from fscs.models import make_model, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.progress import Advance, Progress, no_progress, progress_bar
from fscs.segmentation.annotations import (
  AnnotatedImage,
  SupportCrops,
  at_scale,
  cut_crops,
  read_annotations,
)
from fscs.segmentation.baselines import QUICK_BASELINES, predict_out_of_fold
from fscs.segmentation.config import FineTuningConfig, Orientations
from fscs.segmentation.cross_validation import (
  Fold,
  FoldResult,
  predict_fold,
  rescore,
  usable_folds,
)
from fscs.segmentation.instances import (
  Watershed,
  default_watershed,
  learn_watershed,
  resized,
  unsplit_watershed,
)
from fscs.segmentation.prediction import Network, with_batch_statistics
from fscs.segmentation.segmenter import Segmenter, SupportSummary
from fscs.training import Recipe, crop_stream, make_train

NORM_SCALE = 1.0  # of batch norms before the first step
MAX_GRADIENT_NORM = 1.0  # larger gradients are clipped
COMPILING = 'compiling (once on this machine, a minute or less)'
STATISTICS_CROPS = 64  # crops from which batch-norm statistics are taken

_DEFAULT = FineTuningConfig()


class FineTuningResult(NamedTuple):
  """A segmenter with the evidence for it."""

  segmenter: Segmenter
  losses: np.ndarray  # (steps,) of the final network
  folds: list[FoldResult]  # out-of-fold predictions; none if nothing could be held out
  baselines: dict[str, float]  # mean IoU of simpler methods on the same held-out parts, by name


def finetune(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  *,
  init: str | Path | Initialisation = 'pretrained',
  names: Sequence[str] | None = None,
  channel: ChannelChoice = 'learned',
  foreground: int | None = None,
  scale: float | None = None,
  steps: int = _DEFAULT.steps,
  batch_size: int = _DEFAULT.batch_size,
  learning_rate: float = _DEFAULT.learning_rate,
  crop_size: int = _DEFAULT.crop_size,
  orientations: Orientations = _DEFAULT.orientations,
  estimate: bool = _DEFAULT.estimate,
  seed: int = _DEFAULT.seed,
  progress: bool | Progress = True,
) -> Segmenter:
  """Adapt a network to a few annotated images.

  Args:
    images: 1 to 10 arrays (H, W) or (H, W, channels), any numbers, any sizes.
    masks: (H, W) each, 0 for background; several positive values tell touching objects apart. All
      objects of an image must be annotated. A mask of 0 alone says that there is no object.
    init: 'pretrained', 'random', the folder of a training run or of `fscs.io.save_init`, a PyTorch
      file of the authors' networks (.pt, .pth), or an `Initialisation`.

  Other args:
    names: of the images, for messages.
    channel: what becomes the grey value: a channel counted from 0, weights of all channels, 'luma',
      or 'learned' for the weighted sum that separates the annotated objects best.
    foreground: the value of the foreground in masks; by default the larger of two values, and
      labels of objects where there are more.
    scale: factor by which images are resized; by default chosen so that objects have a size that
      the initialisation knows.
    steps: optimizer steps.
    batch_size: crops per step.
    learning_rate: at the first step; it falls to 0 along half a cosine.
    crop_size: side of the crops in pixels after resizing, a multiple of 16.
    orientations: predictions are means over 1, 4 or 8 flips and rotations.
    estimate: whether to cross-validate on the annotated images, which takes up to three further
      networks. It learns how touching objects are split, and `Segmenter.expected_iou`.
    seed: of crops and augmentation.
    progress: whether progress bars are shown; or a function from the title of a stage and its units
      of work (0: unknown) to a context manager, which gives `advance(count)`.

  Returns:
    A segmenter for images of this kind.

  Raises:
    InputError: names the image or argument, and what is wrong with it.

  Examples:
    segmenter = fscs.finetune(images, masks)
    labels = segmenter.predict(image)
  """
  config = FineTuningConfig(
    steps=steps,
    batch_size=batch_size,
    learning_rate=learning_rate,
    crop_size=crop_size,
    orientations=orientations,
    estimate=estimate,
    seed=seed,
  )
  initialisation = init if isinstance(init, Initialisation) else load_initialisation(init, seed)
  return finetune_and_validate(
    images,
    masks,
    initialisation,
    config,
    names=names,
    channel=channel,
    foreground=foreground,
    scale=scale,
    progress=_as_progress(progress),
  ).segmenter


def _as_progress(progress: bool | Progress) -> Progress:
  if isinstance(progress, bool):
    return progress_bar if progress else no_progress
  return progress


def finetune_and_validate(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  initialisation: Initialisation,
  config: FineTuningConfig = _DEFAULT,
  *,
  names: Sequence[str] | None = None,
  channel: ChannelChoice = 'learned',
  foreground: int | None = None,
  scale: float | None = None,
  compare: bool = False,
  progress: Progress = no_progress,
  ready: Callable[[Segmenter], None] | None = None,
) -> FineTuningResult:
  """Adapt a network, then cross-validate; arguments as `finetune`.

  Args:
    compare: also cross-validate simpler methods, see `fscs.segmentation.baselines`.
    ready: called with the segmenter before the cross-validation, which changes only how touching
      objects are split, and `expected_iou`.

  Raises:
    InputError: as `finetune`.
  """
  keep_compiled_programs()
  annotations = read_annotations(images, masks, names, channel, foreground)
  labels = [image.labels for image in annotations.images]
  if scale is None:
    scale = choose_scale(labels, initialisation.diameter_range)
  elif not 0 < scale < 100:
    raise InputError(
      f'scale is {scale}: expected a number above 0 and below 100, such as 0.5',
      arguments=('scale',),
    )
  working = [at_scale(image, scale) for image in annotations.images]
  crops = cut_crops(working, config.crop_size)
  adapt = _make_adapt(initialisation, crops, config, progress)
  with progress('training', config.steps) as advance:
    network, losses = adapt(np.arange(len(crops.corners), dtype=np.int32), advance)
  initial = default_watershed if annotations.instances else unsplit_watershed
  segmenter = Segmenter(
    network=network,
    scale=scale,
    channel=annotations.channel,
    watershed=initial(labels),
    support=_summarise(annotations.images),
    orientations=config.orientations,
  )
  if ready is not None:
    ready(segmenter)

  folds = _make_folds(working, crops, config)
  threshold = segmenter.watershed.threshold
  results: list[FoldResult] = []
  if folds:
    with progress('cross-validating', len(folds) * config.steps) as advance:
      for fold in folds:
        network, _ = adapt(fold.crops, advance)
        results += predict_fold(network, working, fold, threshold, config.orientations)
  if results and annotations.instances:
    watershed = _learn_watershed(results, scale, progress)
    results = rescore(results, watershed.threshold)
    segmenter = dataclasses.replace(segmenter, watershed=watershed)
  if results:
    expected_iou = float(np.mean([result.iou for result in results]))
    segmenter = dataclasses.replace(segmenter, expected_iou=expected_iou)
  simpler = _cross_validate_baselines(working, folds, progress) if compare and results else {}
  return FineTuningResult(segmenter, losses, results, simpler)


def _make_folds(
  images: Sequence[AnnotatedImage], crops: SupportCrops, config: FineTuningConfig
) -> list[Fold]:
  if not config.estimate:
    return []
  return usable_folds([image.labels for image in images], crops.corners, config.crop_size)


def _make_adapt(
  initialisation: Initialisation,
  crops: SupportCrops,
  config: FineTuningConfig,
  progress: Progress,
) -> Callable[[np.ndarray, Advance], tuple[Network, np.ndarray]]:
  """Compiles a function that adapts the initialisation to some of the crops.

  It maps the numbers of the crops to the network with its batch-norm statistics, and the losses
  (steps,). It reports its steps to its second argument.
  """
  model = make_model(
    initialisation.architecture,
    widths=initialisation.widths,
    affine=True,
    norm_scale=NORM_SCALE,
  )
  initial = with_affine_norms(model, initialisation.params)
  schedule = optax.cosine_decay_schedule(config.learning_rate, config.steps)
  optimizer = optax.chain(
    optax.clip_by_global_norm(MAX_GRADIENT_NORM),
    inner_optimizer(schedule, weight_decay=0.0, name='muon'),
  )
  recipe = Recipe(optimizer, config.crop_size, bce_dice, augment)
  train = make_train(lambda params, x: model.apply({'params': params}, x), recipe)

  start = (initial, optimizer.init(initial), crops.bank)
  with progress(COMPILING, 0):
    train(*start, np.zeros((0, config.batch_size), np.int32))

  def adapt(numbers: np.ndarray, advance: Advance) -> tuple[Network, np.ndarray]:
    stream = crop_stream(config.seed, numbers, config.batch_size, config.steps)
    params, _, losses = train(*start, stream, seed=config.seed, advance=advance)
    network = with_batch_statistics(
      initialisation.architecture,
      tuple(model.widths),
      params,
      sample_evenly(crops.images, crops.corners[numbers], config.crop_size, STATISTICS_CROPS),
    )
    return network, losses

  return adapt


def _cross_validate_baselines(
  images: Sequence[AnnotatedImage], folds: Sequence[Fold], progress: Progress
) -> dict[str, float]:
  """Mean IoU of every method of `QUICK_BASELINES` on held-out parts.

  A single fold has no other to learn from: nothing is compared then.
  """
  scores: dict[str, float] = {}
  if len(folds) < 2:
    return scores
  greys, labels = zip(*((image.grey, image.labels) for image in images), strict=True)
  held_out = [fold.held_out for fold in folds]
  with progress('comparing with simpler methods', len(QUICK_BASELINES)) as advance:
    for name, learn in QUICK_BASELINES.items():
      found, truths = predict_out_of_fold(learn, greys, labels, held_out)
      pairs = zip(found, truths, strict=True)
      scores[name] = float(np.mean([iou(f > 0.5, truth > 0) for f, truth in pairs]))
      advance()
  return scores


def _learn_watershed(results: Sequence[FoldResult], scale: float, progress: Progress) -> Watershed:
  """The best watershed of out-of-fold predictions, in pixels of the user's images."""
  labels = [result.labels for result in results]
  probabilities = [result.probability for result in results]
  found = learn_watershed(probabilities, labels, typical_diameter(labels), progress)
  return resized(found, 1 / scale)


def _summarise(images: Sequence[AnnotatedImage]) -> SupportSummary:
  diameters = np.concatenate([object_diameters(image.labels) for image in images])
  typical = typical_diameter([image.labels for image in images])
  means = [float(image.grey.mean()) for image in images]
  deviations = [float(image.grey.std()) for image in images]
  return SupportSummary(
    (float(diameters.min()), typical, float(diameters.max())),
    (min(means), float(np.mean(means)), max(means)),
    (min(deviations), float(np.mean(deviations)), max(deviations)),
  )
