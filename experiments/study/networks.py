"""The contestants that are networks: training on sources, adaptation, prediction."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments import meta_train, pretrain
from experiments.common import initialisations
from experiments.common.data import finetune_stride
from experiments.common.finetuning import (
  Adapted,
  FineTuning,
  make_finetune,
  make_predict,
  predict_adapted,
)
from experiments.common.options import (
  DataOptions,
  NetworkOptions,
  from_preset,
  learning_rate,
  make_network,
)
from experiments.study import copies
from experiments.study.contestants import CONTESTANTS, TRAININGS
from experiments.study.protocols import Protocol, tuning_of
from fscs.augmentation import make_augment
from fscs.data.datasets import CODES
from fscs.data.image_sets import GreySet
from fscs.errors import InputError
from fscs.io.initialisations import Initialisation
from fscs.io.workdirs import read_config, require_config
from fscs.losses import PIXEL_LOSSES
from fscs.models import FCRN, UNet, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.typing import Params

_COMMANDS = {
  'pretrain': (pretrain.pretrain, pretrain.Config),
  'meta_train': (meta_train.meta_train, meta_train.Config),
}


def option_defaults(command: str) -> dict[str, Any]:
  """{option: default} of a command that trains, of the options that have a simple one."""
  fields = dataclasses.fields(_COMMANDS[command][1])
  return {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}


def network_options(name: str, seed: int) -> NetworkOptions:
  """The contestant's network."""
  contestant = CONTESTANTS[name]
  trained = contestant.training
  kernel_init = TRAININGS[trained].kernel_init if trained else contestant.kernel_init
  return NetworkOptions(arch=contestant.arch, kernel_init=kernel_init, seed=seed)


def start(
  name: str,
  target: str,
  seed: int,
  options: DataOptions,
  protocol: Protocol,
  workdir: Path,
) -> Initialisation:
  """Where adaptation starts: random parameters, or those of a training on the other data sets.

  A training is done, or goes on, where its folder below `workdir` says that it is not finished.

  Raises:
    InputError: the folder's training was of other options, or other copies of the data sets.
  """
  network = network_options(name, seed)
  training = CONTESTANTS[name].training
  if training is None:
    return initialisations.load(initialisations.RANDOM, network, target=target)
  folder = workdir / 'training' / f'{target}-{training}-s{seed}'
  config = training_config(name, protocol, options, target=target, seed=seed, workdir=str(folder))
  if (folder / 'init').is_dir():
    require_config(folder, config)
    seen = read_config(folder).get('data_fingerprints', {})
    if others := sorted(seen.keys() & copies.unlike(seen, copies.read(workdir))):
      raise InputError(
        f'{folder} has learned from other copies of {", ".join(others)} than are there now: remove'
        ' it, or give another --workdir'
      )
  else:
    _COMMANDS[TRAININGS[training].command][0](config)
  return initialisations.load(str(folder), network, target=target)


def training_config(
  name: str,
  protocol: Protocol,
  options: DataOptions,
  *,
  target: str = CODES[0],
  seed: int = 0,
  workdir: str = '',
) -> pretrain.Config | meta_train.Config:
  """All options of the command that trains a contestant on the sources."""
  training = TRAININGS[CONTESTANTS[name].training]
  network = network_options(name, seed)
  config = dataclasses.replace(
    from_preset(_COMMANDS[training.command][1], protocol.preset),
    **{**dataclasses.asdict(options), **dataclasses.asdict(network), **training.options},
    target=target,
    workdir=workdir,
  )
  return dataclasses.replace(config, **_length(config, protocol, training.inner_steps))


def _length(
  config: pretrain.Config | meta_train.Config, protocol: Protocol, inner_steps: int | None = None
) -> dict[str, Any]:
  """Options that give the protocol's number of gradient steps, on as many crops each.

  Raises:
    InputError: whole meta-epochs do not make this number.
  """
  if isinstance(config, pretrain.Config):
    return {
      'pretrain_steps': protocol.training_steps,
      'pretrain_epochs': protocol.training_steps,  # a pass over all crops takes a step at least
      'pretrain_batch_size': protocol.training_crops,
      'pretrain_block_steps': max(1, protocol.training_steps // 12),
    }
  tasks = (len(config.sources) or len(CODES) - 1) * config.task_batch
  inner_steps = min(inner_steps or protocol.inner_steps, protocol.inner_steps)
  per_epoch = tasks * inner_steps
  epochs, rest = divmod(protocol.training_steps, per_epoch)
  if rest:
    raise InputError(
      f'{protocol.training_steps} training steps are no multiple of the {per_epoch} of a meta-epoch'
    )
  return {
    'meta_epochs': epochs,
    'num_inner_steps': inner_steps,
    'num_crops': protocol.training_crops,
  }


@functools.cache
def make_adapt(
  name: str, target: str, options: DataOptions, protocol: Protocol, steps: int, seed: int
) -> Callable[[Params, GreySet], Adapted]:
  """A function from (params, annotated images) to what has adapted to them."""
  tuning = tuning_of(name, protocol)
  rate = learning_rate(tuning.learning_rate, tuning.schedule, max(steps, 1))
  model = _model(name, seed, tuning.norm_scale)
  finetune = make_finetune(
    model,
    FineTuning(
      inner_optimizer(rate, tuning.weight_decay, tuning.optimizer),
      options.crop_size,
      finetune_stride(target, options.downscale),
      options.min_foreground,
      protocol.batch_size,
      num_epochs=max(steps, 1),  # a pass over all crops takes a step at least
      max_steps=steps,
      seed=seed,
      pixel_loss=PIXEL_LOSSES[tuning.loss],
      augment=make_augment(tuning.augmentation),
      diameter_range=tuning.diameter_range,
      stretch=tuning.stretch,
      keep_statistics=tuning.keep_statistics,
      forest_share=tuning.forest_share,
    ),
  )
  return lambda params, support: finetune(with_affine_norms(model, params), [support])[0]


@functools.cache
def make_probability(name: str, seed: int) -> Callable[[Adapted, np.ndarray], np.ndarray]:
  """A function from what has adapted and (N, H, W) uint8 images to probabilities alike."""
  predict = make_predict(_model(name, seed, norm_scale=1.0))  # parameters have their own
  orientations = CONTESTANTS[name].tuning.orientations
  return functools.partial(predict_adapted, predict, orientations=orientations)


def _model(name: str, seed: int, norm_scale: float) -> FCRN | UNet:
  return make_network(network_options(name, seed), affine=True, norm_scale=norm_scale)
