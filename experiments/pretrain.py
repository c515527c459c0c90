"""Train the transfer baseline: supervised on the union of all data sets but the target.

  python -m experiments.pretrain --target=B5
  python -m experiments.pretrain --target=TNBC --preset=cpu --raw-dir=DIR

It writes the same files as `experiments.meta_train` and resumes likewise. Evaluation uses the
checkpoint with the best validation loss.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import sources
from experiments.common.options import (
  DataOptions,
  LearningOptions,
  NetworkOptions,
  Schedule,
  learning_rate,
  make_network,
  run,
  warn_without_accelerator,
)
from experiments.common.runs import default_workdir, require_not_shorter
from experiments.common.sources import SourceOptions
from experiments.common.training_log import TrainingLog
from fscs.augmentation import make_augment
from fscs.data.bank import Bank
from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints, save_init
from fscs.io.workdirs import describe, opened_workdir
from fscs.losses import PIXEL_LOSSES
from fscs.models import init_params
from fscs.optimizers import KernelNorms, inner_optimizer, keep_kernel_norms
from fscs.progress import progress_bar
from fscs.training import (
  Recipe,
  crop_stream,
  make_loss,
  make_train,
  num_training_steps,
  source_stream,
)
from fscs.typing import MetaState, Params


@dataclasses.dataclass(frozen=True)
class Config(DataOptions, NetworkOptions, SourceOptions, LearningOptions):
  """Options of supervised pre-training."""

  pretrain_epochs: int | None = None
  """Passes over all crops of the sources; by default the preset's."""
  pretrain_steps: int | None = None
  """Largest number of steps; by default the preset's."""
  pretrain_batch_size: int | None = None
  """Crops per step; by default the preset's."""
  pretrain_lr: float | None = None
  """Learning rate; by default the preset's."""
  pretrain_schedule: Schedule | None = None
  """constant, or cosine: decay to 0, and the number of steps cannot be changed later. By default
  the preset's."""
  batches: Literal['mixed', 'source'] | None = None
  """Batches of crops from all sources (mixed), or each from one source (source), so that batch-norm
  statistics come from one kind of image. By default the preset's."""
  kernel_norms: KernelNorms | None = None
  """free, or kept: steps keep the norms of kernels before batch norms. By default the preset's."""
  pretrain_block_steps: int | None = None
  """Steps between checkpoints, each with validation and log. By default the preset's."""
  validation_crops: int | None = None
  """Validation crops per source, from its held-out images; by default the preset's."""
  workdir: str | None = None
  """Folder of the run; runs/TARGET-ARCH-transfer-sSEED by default."""


def pretrain(config: Config) -> Path:
  """Start or resume a supervised pre-training; returns its workdir."""
  codes = sources.codes_of(config)
  workdir = default_workdir(config, f'{config.target}-{config.arch}-transfer-s{config.seed}')
  model = make_network(config)
  warn_without_accelerator(config)
  data = sources.load(config, codes)
  facts = {'command': 'pretrain', **data.facts}
  key = jax.random.key(config.seed)
  params = init_params(model, jax.random.fold_in(key, 0))
  num_steps = num_training_steps(
    len(data.training.corner),
    config.pretrain_batch_size,
    config.pretrain_epochs,
    config.pretrain_steps,
  )
  rate = learning_rate(config.pretrain_lr, config.pretrain_schedule, num_steps)
  optimizer = inner_optimizer(rate, config.weight_decay, config.optimizer)
  if config.kernel_norms == 'kept':
    optimizer = optax.chain(optimizer, keep_kernel_norms())
  state = MetaState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
  lengths = ('pretrain_epochs', 'pretrain_steps')
  free = ('sources', *lengths) if config.pretrain_schedule == 'constant' else ('sources',)
  require_not_shorter(workdir, num_steps, 'pretrain_steps')
  with (
    opened_workdir(workdir, config, facts, free=free),
    Checkpoints(workdir / 'checkpoints', describe(config, facts)) as checkpoints,
  ):
    sources.draw_crops(workdir / 'crops.png', data.training, data.names, config)
    if checkpoints.latest_step is not None:
      state = checkpoints.restore(state)
    try:
      _train(config, state, num_steps, data, model, optimizer, checkpoints, workdir)
    finally:
      sources.draw_curves(workdir)
    params = checkpoints.restore_params(checkpoints.best_step)
    known = {'architecture': config.arch, 'diameter_range': data.diameter_range}
    save_init(workdir / 'init', params, {**known, **describe(config, facts)})
  print(f'initialisation and figures: {workdir}')
  return workdir


def _train(config, state, num_steps, data, model, optimizer, checkpoints, workdir) -> None:
  def apply(params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return model.apply({'params': params}, images)

  pixel_loss = PIXEL_LOSSES[config.loss]
  recipe = Recipe(optimizer, config.crop_size, pixel_loss, make_augment(config.augmentation))
  train = make_train(apply, recipe)
  validation_loss = make_loss(apply, crop_size=config.crop_size, pixel_loss=pixel_loss)
  validation_stream = _validation_stream(data.validation, config)
  stream = _training_stream(data.training, config, num_steps)
  step = int(state.step)
  with (
    TrainingLog(workdir, ('loss', 'validation_loss'), first_step=step) as log,
    progress_bar('steps', num_steps, step) as advance,
  ):
    while step < num_steps:
      until_validation = config.pretrain_block_steps - step % config.pretrain_block_steps
      block = stream[step : step + until_validation]
      params, opt_state, losses = train(
        state.params, state.opt_state, data.training, block, step, config.seed
      )
      losses = np.asarray(losses)
      finite = np.isfinite(losses)
      if not finite.all():
        raise InputError(
          f'the segmentation loss became non-finite in step {step + 1 + np.argmin(finite)} on'
          f' {" ".join(data.names)}; the last good checkpoint is in {workdir / "checkpoints"}.'
          ' Lower the learning rate',
          arguments=('pretrain_lr',),
        )
      validation = float(validation_loss(params, data.validation, validation_stream))
      if not np.isfinite(validation):
        raise InputError(
          f'the validation loss became non-finite after step {step + len(block)}; the last good'
          f' checkpoint is in {workdir / "checkpoints"}. Lower the learning rate',
          arguments=('pretrain_lr',),
        )
      step += len(block)
      state = MetaState(jnp.int32(step), params, opt_state)
      log.write(step, {'loss': float(losses.mean()), 'validation_loss': validation})
      checkpoints.save(step, state, validation_loss=validation)
      advance(len(block), loss=float(losses.mean()), validation=validation)


def _training_stream(bank: Bank, config: Config, num_steps: int) -> np.ndarray:
  """(num_steps, batch size) numbers of crops."""
  if config.batches == 'mixed':
    crops = np.arange(len(bank.corner))
    return crop_stream(config.seed, crops, config.pretrain_batch_size, num_steps)
  sources = zip(np.asarray(bank.first), np.asarray(bank.count), strict=True)
  by_source = [first + np.arange(count) for first, count in sources]
  return source_stream(config.seed, by_source, config.pretrain_batch_size, num_steps)


def _validation_stream(bank: Bank, config: Config) -> np.ndarray:
  """The crops of every validation: (batches, batch size).

  Each source gives equally many; the last gives fewer if the crops do not fill whole batches.
  """
  sources = zip(np.asarray(bank.first), np.asarray(bank.count), strict=True)
  crops = np.concatenate(
    [
      crop_stream(config.seed, first + np.arange(count), config.validation_crops, 1)[0]
      for first, count in sources
    ]
  )
  batch_size = min(config.pretrain_batch_size, len(crops))
  return crops[: len(crops) // batch_size * batch_size].reshape(-1, batch_size)


if __name__ == '__main__':
  run(pretrain, Config)
