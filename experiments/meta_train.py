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

from experiments import data, figures
from experiments.options import Code, DataOptions, NetworkOptions, run
from experiments.progress import progress_bar
from experiments.runs import RUNS, FigureLog, open_workdir
from fscs.adapt import History, inner_optimizer
from fscs.checkpoint import Checkpoints
from fscs.datasets import CODES
from fscs.episodes import Bank, make_bank, sample_episode
from fscs.errors import InputError
from fscs.losses import TERMS, Objective
from fscs.meta import InnerLoop, TaskAxis, init_state, make_meta_block, make_validation
from fscs.models import init_params, make_model
from fscs.types import MetaState


@dataclasses.dataclass(frozen=True)
class Config(DataOptions, NetworkOptions):
  """Options of meta-training; defaults are the paper's."""

  target: Code = 'B5'
  """The data set that is left out, to adapt to later."""
  sources: tuple[Code, ...] = ()
  """Data sets to learn from; all but the target by default."""
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


def workdir_of(config: Config) -> Path:
  """The run's folder."""
  name = f'{config.target}-{config.arch}-{config.objective}-s{config.seed}'
  suffix = '' if config.data == 'real' else f'-{config.data}'
  return Path(config.workdir) if config.workdir else RUNS / (name + suffix)


def sources_of(config) -> tuple[str, ...]:
  """The codes to learn from.

  Raises:
    InputError: the target is among them, or they are too few for the objective.
  """
  sources = config.sources or tuple(code for code in CODES if code != config.target)
  if config.target in sources:
    raise InputError(
      f'--sources has {config.target}, which is the target: an initialisation must not have seen it'
    )
  if len(set(sources)) < len(sources):
    raise InputError(f'--sources names one data set twice: {" ".join(sources)}')
  return sources


def make_banks(config, sources: tuple[str, ...]) -> tuple[Bank, Bank, dict[str, str]]:
  """Crops to train on, crops of held-out images to validate on, and fingerprints of the data."""
  grey_sets, fingerprints = data.load_prepared(sources, config)
  parts = [data.hold_out(grey_set, config.seed) for grey_set in grey_sets]
  strides = [data.source_stride(code, config.downscale) for code in sources]
  training, validation = (
    make_bank(
      sets,
      crop_size=config.crop_size,
      strides=strides,
      min_foreground=config.min_foreground,
    )
    for sets in zip(*parts, strict=True)
  )
  return training, validation, fingerprints


def meta_train(config: Config) -> Path:
  """Run, or go on with, a meta-training; returns its workdir."""
  sources = sources_of(config)
  if len(sources) < 2 and config.objective != 'bce':
    raise InputError(f'--objective={config.objective} needs two sources at least, found {sources}')
  for name in ('meta_epochs', 'block_epochs', 'num_inner_steps', 'num_crops'):
    if getattr(config, name) < 1:
      raise InputError(
        f'--{name.replace("_", "-")} is {getattr(config, name)}: at least 1 is needed'
      )
  workdir = workdir_of(config)
  bank, validation_bank, fingerprints = make_banks(config, sources)
  description = {'command': 'meta_train', 'sources': sources, 'data_fingerprints': fingerprints}
  open_workdir(workdir, config, description)
  model = make_model(config.arch, kernel_init=config.kernel_init)
  key = jax.random.key(config.seed)
  draw_crops_figure(workdir / 'crops.png', key, bank, sources, config)
  outer = optax.sgd(config.meta_lr)
  inner = InnerLoop(
    apply=lambda params, images: model.apply({'params': params}, images),
    objective=config.objective,
    optimizer=inner_optimizer(config.inner_lr, config.weight_decay),
    num_steps=config.num_inner_steps,
    alpha=config.alpha,
    beta=config.beta,
  )
  state = init_state(init_params(model, jax.random.fold_in(key, 0)), outer)
  metadata = {**description, 'config': dataclasses.asdict(config), 'seed_of_key': config.seed}
  with Checkpoints(workdir / 'checkpoints', metadata) as checkpoints:
    if checkpoints.latest_step is not None:
      state = checkpoints.restore(state)
    train_blocks(config, sources, state, (bank, validation_bank), inner, outer, checkpoints)
  figures.draw_losses(workdir / 'losses.png', workdir / 'figures.csv')
  print(f'initialisation and figures: {workdir}')
  return workdir


def train_blocks(config, sources, state, banks, inner, outer, checkpoints) -> MetaState:
  """Meta-epochs from the state's step to the last, a block at a time."""
  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  validation_key = jax.random.fold_in(jax.random.key(config.seed), 2)
  shape = {'num_crops': config.num_crops, 'crop_size': config.crop_size}
  shape['task_axis'] = config.task_axis
  validate = make_validation(inner, **shape)
  blocks = {}
  step = int(state.step)
  columns = [f'{kind}/{code}' for code in sources for kind in ('loss', *TERMS, 'validation')]
  columns += ['validation_loss']
  workdir = workdir_of(config)
  with (
    FigureLog(workdir, columns, first_step=step) as log,
    progress_bar('meta-epochs', config.meta_epochs, step) as advance,
  ):
    while step < config.meta_epochs:
      length = min(config.block_epochs - step % config.block_epochs, config.meta_epochs - step)
      if length not in blocks:
        blocks[length] = make_meta_block(inner, outer, num_epochs=length, **shape)
      state, history = blocks[length](state, banks[0], key)
      history = jax.device_get(history)
      require_finite(history, sources, step, workdir)
      validation = np.asarray(validate(state.params, banks[1], validation_key))
      log_block(log, step, history, sources, validation)
      step += length
      checkpoints.save(step, state, validation_loss=float(validation.mean()))
      advance(length, loss=float(history.loss[-1, :, -1].mean()), val=float(validation.mean()))
  return state


def log_block(log, step: int, history: History, sources, validation: np.ndarray) -> None:
  """One row per meta-epoch, of the last inner step; validation on the block's last row."""
  num_epochs = len(history.loss)
  for epoch in range(num_epochs):
    row = {}
    for index, code in enumerate(sources):
      row[f'loss/{code}'] = float(history.loss[epoch, index, -1])
      for term in TERMS:
        row[f'{term}/{code}'] = float(history.terms[term][epoch, index, -1])
      if epoch == num_epochs - 1:
        row[f'validation/{code}'] = float(validation[index])
    if epoch == num_epochs - 1:
      row['validation_loss'] = float(validation.mean())
    log.write(step + epoch + 1, row)


def require_finite(history: History, sources, step: int, workdir: Path) -> None:
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
    f'the {" and ".join(terms) or "total"} loss of source {sources[source]} became non-finite in'
    f' meta-epoch {step + epoch + 1}, inner step {inner_step + 1}; the last good checkpoint is in'
    f' {workdir / "checkpoints"}. Lower --inner-lr or --meta-lr'
  )


def draw_crops_figure(path: Path, key, bank: Bank, sources, config: Config) -> None:
  """Crops of every source with their masks, drawn as training draws them."""
  images, masks = [], []
  for index in range(len(sources)):
    episode = sample_episode(
      jax.random.fold_in(key, index), bank, index, num_crops=4, crop_size=config.crop_size
    )
    images.append(np.asarray(episode.images[..., 0]))
    masks.append(np.asarray(episode.masks[..., 0]))
  figures.draw_crops(path, sources, images, masks)


if __name__ == '__main__':
  run(meta_train, Config)
