"""Options of `experiments.finetune_eval`, most of which the run to evaluate decides.

What is not given comes from the run: its target, network, data and sizes of objects, and its
preset, which says how to adapt. What the run learned with beside its preset is not taken over.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any, Literal

import tyro

from experiments.common import data
from experiments.common.finetuning import FineTuning
from experiments.common.initialisations import RANDOM, Which, run_of
from experiments.common.options import (
  Code,
  DataOptions,
  LearningOptions,
  NetworkOptions,
  Schedule,
  from_preset,
  learning_rate,
)
from experiments.common.presets import Preset
from experiments.common.sources import NO_TARGET
from fscs.augmentation import make_augment
from fscs.errors import InputError
from fscs.io.initialisations import diameter_range_of
from fscs.io.workdirs import newest_run
from fscs.losses import PIXEL_LOSSES
from fscs.optimizers import inner_optimizer
from fscs.segmentation.prediction import Orientations

# Test images per batch of the reference where it is not 32.
TEST_BATCH_SIZE = {'EM': 20}


@dataclasses.dataclass(frozen=True)
class Config(LearningOptions, DataOptions, NetworkOptions):
  """Options of the evaluation; defaults are the paper's."""

  init: tuple[str, ...] = ()
  """Workdirs of runs, or random; the newest meta-trained run by default."""
  target: Code = 'B5'
  """The data set to adapt to; the run's target by default."""
  checkpoint: Which = 'latest'
  """Checkpoint of meta-trained runs: latest or best; transfer runs give their best."""
  shots: tuple[int, ...] = (1, 3, 5, 7, 10)
  """Numbers of annotated images."""
  selections: tuple[int, ...] = tuple(range(1, 11))
  """Numbers of the selections of annotated images."""
  selections_file: str | None = None
  """A file of selections (.json or .pkl), or paper for the published ones; random by default."""
  shard: str | None = None
  """Do only the i-th of n parts of the grid (i/n), beside other processes that do the others."""
  at_once: int | None = None
  """So many selections are fine-tuned on in one call: 1 on a CPU and 4 elsewhere by default."""
  max_test_images: int | None = None
  """Score at most so many of the other images, the same for every initialisation."""
  statistics: Literal['auto', 'image', 'batch', 'support'] = 'auto'
  """Batch-norm statistics of a test image: its own (image), those of a batch of test images, as the
  reference has it (batch), or those of the crops that it has learned from (support); auto is batch
  in the paper protocol and image otherwise."""
  test_batch_size: int | None = None
  """Images per batch of --statistics=batch; the reference's 20 for EM and 32 for others."""
  forest_share: float = 0.0
  """Share in predictions (0 to 1, of log-odds) of a random forest over the pixels of the annotated
  images, if it finds halves of them that it has not seen; the worse it does there, the less, down
  to nothing. 0 is the network alone."""
  orientations: Orientations = 1
  """Predictions are means over the image as it is (1), with its flips (4) or turns, too (8)."""
  finetune_epochs: int = 20
  """Passes over all crops of the annotated images."""
  finetune_steps: int | None = None
  """At most so many steps; 0 scores initialisations as they are."""
  finetune_batch_size: int = 64
  """Crops per step."""
  finetune_lr: float = 1e-4
  """Learning rate."""
  finetune_schedule: Schedule = 'constant'
  """constant, or cosine: it falls to 0 over --finetune-steps."""
  diameter_range: tuple[float, float] | None = None
  """Images are resized where the annotated objects are typically narrower or wider than these, in
  pixels; the run's own by default, and never where the run has none."""
  stretch: bool = False
  """Spread the grey values of every image, the annotated ones too, between black and white: from
  the 0.1st to the 99.9th percentile."""
  weight_decay: float = 5e-4
  """Weight decay, added to the gradient."""
  norm_scale: float = 0.1
  """Batch-norm scale that fine-tuning starts from."""
  workdir: str | None = None
  """Where results are kept; runs/TARGET-ARCH-eval by default."""


@dataclasses.dataclass(frozen=True)
class _Where:
  """The options that decide the defaults of the others."""

  init: tuple[str, ...] = ()
  preset: Preset | None = None
  target: str | None = None


def defaults(arguments: Sequence[str]) -> Config:
  """The configuration before the command line: that of the run, or of --preset if it is given.

  Raises:
    InputError: no --init is given and there is no run, the one given cannot be read, or it has left
      no data set out and no --target is given.
  """
  if '--help' in arguments or '-h' in arguments:
    return from_preset(Config, Config.preset)
  where, _ = tyro.cli(_Where, args=arguments, return_unknown_args=True, add_help=False)
  init = where.init or (str(newest_run('meta_train')),)
  run = next((run_of(name) for name in init if name != RANDOM), None)
  preset = where.preset or (run['config']['preset'] if run else Config.preset)
  if run and run['config']['target'] == NO_TARGET and where.target is None:
    raise InputError(
      f'--target is missing: the run of --init={" ".join(init)} has left no data set out (own'
      ' images are for fscs.cli.finetune)'
    )
  config = dataclasses.replace(from_preset(Config, preset), init=init)
  return dataclasses.replace(config, **_of_run(run, preset_given=where.preset is not None))


def _of_run(run: dict[str, Any] | None, *, preset_given: bool) -> dict[str, Any]:
  if run is None:
    return {}
  names = {'target', 'arch', 'widths', 'kernel_init'}
  names |= {'data', 'raw_dir', 'data_dir', 'data_seed', 'protocol'}
  if not preset_given:
    names |= {field.name for field in dataclasses.fields(DataOptions)}
  if run['config']['target'] == NO_TARGET:
    names.remove('target')
  values = {name: run['config'][name] for name in names}
  values['diameter_range'] = diameter_range_of(run['config'])
  return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def note_other_sizes(config: Config) -> None:
  """Say which runs have learned from objects of other sizes than those that are evaluated."""
  for init in config.init:
    run = run_of(init)
    known = run and diameter_range_of(run['config'])
    if run and known != config.diameter_range:
      seen, wanted = (
        'as they are' if sizes is None else f'resized to {sizes[0]:g} to {sizes[1]:g} pixels'
        for sizes in (known, config.diameter_range)
      )
      print(
        f'note: {init} has learned from objects {seen}, and is tried on objects {wanted}:'
        ' see --diameter-range',
        file=sys.stderr,
      )


def finetuning(config: Config) -> FineTuning:
  """How initialisations adapt.

  Raises:
    InputError: a cosine schedule without its number of steps.
  """
  if config.finetune_schedule == 'cosine' and not config.finetune_steps:
    raise InputError('--finetune-schedule=cosine needs to know the end: give --finetune-steps')
  rate = learning_rate(config.finetune_lr, config.finetune_schedule, config.finetune_steps)
  return FineTuning(
    inner_optimizer(rate, config.weight_decay, config.optimizer),
    config.crop_size,
    data.finetune_stride(config.target, config.downscale),
    config.min_foreground,
    batch_size=config.finetune_batch_size,
    num_epochs=config.finetune_epochs,
    max_steps=config.finetune_steps,
    seed=config.seed,
    pixel_loss=PIXEL_LOSSES[config.loss],
    augment=make_augment(config.augmentation),
    diameter_range=config.diameter_range,
    stretch=config.stretch,
    keep_statistics=config.statistics == 'support',
    forest_share=config.forest_share,
  )


def testing(config: Config) -> dict[str, Any]:
  """How test images are predicted: options of `experiments.common.finetuning.make_score`."""
  statistics = config.statistics
  if statistics in ('auto', 'support'):  # those of the support come with what has adapted
    statistics = 'batch' if config.protocol == 'paper' else 'image'
  batch_size = config.test_batch_size or TEST_BATCH_SIZE.get(config.target, 32)
  return {
    'statistics': statistics,
    'batch_size': batch_size,
    'orientations': config.orientations,
  }
