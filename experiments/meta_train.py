"""Meta-train an initialisation on all data sets but the target.

  python -m experiments.meta_train --target=B5
  python -m experiments.meta_train --target=TNBC --preset=cpu --raw-dir=DIR

Run again with the same workdir, it goes on where it stopped. The workdir (runs/B5-fcrn-combined-s0
by default) gets config.json, figures.csv, tensorboard/, checkpoints/ (latest and best), crops.png
(sampled crops with their masks: look at it first) and losses.png.
"""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import optax

from experiments import sources
from experiments.options import (
  DataOptions,
  NetworkOptions,
  check_bounds,
  make_network,
  run,
  warn_without_accelerator,
)
from experiments.progress import progress_bar
from experiments.runs import FigureLog, default_workdir, describe, open_workdir
from experiments.sources import SourceOptions, Sources
from fscs.adapt import History, inner_optimizer
from fscs.checkpoint import Checkpoints, save_init
from fscs.devices import TaskAxis
from fscs.errors import InputError
from fscs.losses import TERMS, Objective
from fscs.meta import InnerLoop, init_state, make_meta_block, make_validation
from fscs.models import init_params
from fscs.types import MetaState, Params


@dataclasses.dataclass(frozen=True)
class Config(DataOptions, NetworkOptions, SourceOptions):
  """Options of meta-training; defaults are the paper's."""

  objective: Objective = 'combined'
  """Losses of the inner loop."""
  alpha: float = 0.01
  """Weight of the entropy regularisation."""
  beta: float = 0.01
  """Weight of the distillation."""
  meta_epochs: int = 700
  """Outer steps; each adapts to one episode of every source."""
  meta_lr: float = 1.0
  """Learning rate of the outer loop."""
  num_inner_steps: int = 30
  """Adam steps per episode."""
  num_crops: int = 5
  """Crops per episode."""
  inner_lr: float = 1e-3
  """Learning rate of the inner loop."""
  weight_decay: float = 5e-4
  """Weight decay of the inner loop, added to the gradient."""
  block_epochs: int = 10
  """Meta-epochs per compiled call; validation, checkpoint and log come after each."""
  task_axis: TaskAxis = 'auto'
  """Tasks at once (vmap) or one after another (map); auto chooses by platform."""
  workdir: str | None = None
  """Where the run is kept; runs/TARGET-ARCH-OBJECTIVE-sSEED by default."""


def meta_train(config: Config) -> Path:
  """Run, or go on with, a meta-training; returns its workdir."""
  check_bounds(config)
  codes = sources.codes_of(config)
  if len(codes) < 2 and config.objective != 'bce':
    raise InputError(
      f'--objective={config.objective} needs two --sources at least, found {" ".join(codes)}'
    )
  name = f'{config.target}-{config.arch}-{config.objective}-s{config.seed}'
  workdir = default_workdir(config, name)
  model = make_network(config)
  warn_without_accelerator(config)
  data = sources.load(config, codes)
  facts = {'command': 'meta_train', 'sources': codes, 'data_fingerprints': data.fingerprints}
  open_workdir(workdir, config, facts, free=('meta_epochs',))  # a longer run may go on
  sources.draw_crops(workdir / 'crops.png', data.training, codes, config)

  params = init_params(model, jax.random.fold_in(jax.random.key(config.seed), 0))
  outer = optax.sgd(config.meta_lr)
  state = init_state(params, outer)
  inner = InnerLoop(
    apply=lambda params, images: model.apply({'params': params}, images),
    objective=config.objective,
    optimizer=inner_optimizer(config.inner_lr, config.weight_decay),
    num_steps=config.num_inner_steps,
    alpha=config.alpha,
    beta=config.beta,
  )
  with Checkpoints(workdir / 'checkpoints', describe(config, facts)) as checkpoints:
    if checkpoints.latest_step is not None:
      state = checkpoints.restore(state)
    try:
      params = _train(config, codes, state, data, inner, outer, checkpoints, workdir)
    finally:
      sources.draw_curves(workdir)
  save_init(workdir / 'init', params, {'architecture': config.arch, **describe(config, facts)})
  print(f'initialisation and figures: {workdir}')
  return workdir


def _train(
  config, codes, state: MetaState, data: Sources, inner, outer, checkpoints, workdir
) -> Params:
  """Meta-epochs from the state's step to the last, a block at a time."""
  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  validation_key = jax.random.fold_in(jax.random.key(config.seed), 2)
  shape = {'num_crops': config.num_crops, 'crop_size': config.crop_size}
  shape['task_axis'] = config.task_axis
  validate = make_validation(inner, **shape)
  blocks = {}
  step = int(state.step)
  columns = [f'{kind}/{code}' for code in codes for kind in ('loss', *TERMS, 'validation')]
  columns += ['validation_loss']
  with (
    FigureLog(workdir, columns, first_step=step) as log,
    progress_bar('meta-epochs', config.meta_epochs, step) as advance,
  ):
    while step < config.meta_epochs:
      length = min(config.block_epochs - step % config.block_epochs, config.meta_epochs - step)
      if length not in blocks:
        blocks[length] = make_meta_block(inner, outer, num_epochs=length, **shape)
      state, history = blocks[length](state, data.training, key)
      history = jax.device_get(history)
      _require_finite(history, codes, step, workdir)
      validation = np.asarray(validate(state.params, data.validation, validation_key))
      _require_finite_validation(validation, codes, step + length, workdir)
      _log_block(log, step, history, codes, validation)
      step += length
      checkpoints.save(step, state, validation_loss=float(validation.mean()))
      terms = {name: float(history.terms[name][-1, :, -1].mean()) for name in TERMS}
      advance(length, **terms, validation=float(validation.mean()))
  return state.params


def _log_block(log, step: int, history: History, codes, validation: np.ndarray) -> None:
  """One row per meta-epoch, of the last inner step; validation on the block's last row."""
  num_epochs = len(history.loss)
  for epoch in range(num_epochs):
    row = {}
    for index, code in enumerate(codes):
      row[f'loss/{code}'] = float(history.loss[epoch, index, -1])
      for term in TERMS:
        row[f'{term}/{code}'] = float(history.terms[term][epoch, index, -1])
      if epoch == num_epochs - 1:
        row[f'validation/{code}'] = float(validation[index])
    if epoch == num_epochs - 1:
      row['validation_loss'] = float(validation.mean())
    log.write(step + epoch + 1, row)


def _require_finite(history: History, codes, step: int, workdir: Path) -> None:
  """Stop at the first loss that is not finite; the last checkpoint stays.

  Raises:
    InputError: names the term, the source and the meta-epoch.
  """
  if np.isfinite(history.loss).all():
    return
  epoch, source, inner_step = np.argwhere(~np.isfinite(history.loss))[0]
  terms = [
    name for name in TERMS if not np.isfinite(history.terms[name][epoch, source, inner_step])
  ]
  raise InputError(
    f'the {" and ".join(terms) or "total"} loss of source {codes[source]} became non-finite in'
    f' meta-epoch {step + epoch + 1}, inner step {inner_step + 1}; the last good checkpoint is in'
    f' {workdir / "checkpoints"}. Lower --inner-lr or --meta-lr'
  )


def _require_finite_validation(
  validation: np.ndarray, codes: tuple[str, ...], step: int, workdir: Path
) -> None:
  """Stop where the parameters after a block are of no use, before they replace good ones."""
  if not np.isfinite(validation).all():
    raise InputError(
      f'the validation loss of source {codes[np.argmin(np.isfinite(validation))]} became non-finite'
      f' after meta-epoch {step}; the last good checkpoint is in {workdir / "checkpoints"}.'
      ' Lower --inner-lr or --meta-lr'
    )


if __name__ == '__main__':
  run(meta_train, Config)
