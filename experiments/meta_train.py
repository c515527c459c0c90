"""Meta-train an initialisation on all data sets but the target.

  python -m experiments.meta_train --target=B5
  python -m experiments.meta_train --target=TNBC --preset=cpu --raw-dir=DIR

Run again with the same workdir, it resumes from the last checkpoint. The workdir
(runs/B5-fcrn-combined-s0 by default) gets config.json, figures.csv, tensorboard/, checkpoints/
(latest and best), init/, crops.png (sampled crops with their masks: look at it first) and
losses.png.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import optax
from jax.sharding import Mesh

from experiments.common import cluster, initialisations, sources
from experiments.common.cluster import ClusterOptions
from experiments.common.initialisations import learned_before
from experiments.common.options import (
  DataOptions,
  LearningOptions,
  NetworkOptions,
  make_network,
  run,
  warn_without_accelerator,
)
from experiments.common.runs import default_workdir, has_begun, require_not_shorter
from experiments.common.sources import SourceOptions, Sources
from experiments.common.training_log import (
  FinishedBlock,
  meta_training_log,
  require_finite,
  require_finite_validation,
)
from fscs.augmentation import make_augment
from fscs.compilation import compile_ahead
from fscs.devices import TaskAxis, replicate, task_mesh
from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints, save_init
from fscs.io.workdirs import describe, opened_workdir
from fscs.losses import PIXEL_LOSSES, Objective
from fscs.meta.inner_loop import History, InnerLoop
from fscs.meta.reptile import init_state, make_meta_block, make_validation
from fscs.models import init_params
from fscs.optimizers import KernelNorms, inner_optimizer, keep_kernel_norms
from fscs.typing import MetaState, Params

# A run may resume on other devices and processes.
CLUSTER_OPTIONS = tuple(field.name for field in dataclasses.fields(ClusterOptions))


@dataclasses.dataclass(frozen=True)
class Config(DataOptions, NetworkOptions, SourceOptions, LearningOptions, ClusterOptions):
  """Options of meta-training."""

  objective: Objective | None = None
  """Objective of the inner loop; by default the preset's (combined in paper)."""
  alpha: float = 0.01
  """Weight of the entropy regularisation."""
  beta: float = 0.01
  """Weight of the distillation."""
  meta_epochs: int | None = None
  """Outer steps, each over --task-batch episodes of every source; by default the preset's."""
  task_batch: int = 1
  """Episodes per source and meta-epoch. Tasks are distributed over all devices."""
  meta_lr: float = 1.0
  """Learning rate of the outer loop."""
  meta_schedule: Literal['constant', 'linear'] | None = None
  """constant, or linear: decay to 0, and the number of meta-epochs cannot be changed later. By
  default the preset's."""
  start: str | None = None
  """Workdir of a run whose parameters to start from; random parameters by default."""
  num_inner_steps: int | None = None
  """Optimizer steps per episode; by default the preset's."""
  num_crops: int | None = None
  """Crops per episode; by default the preset's."""
  inner_lr: float | None = None
  """Learning rate of the inner loop; by default the preset's."""
  kernel_norms: KernelNorms | None = None
  """free, or kept: outer steps keep the norms of kernels before batch norms. By default the
  preset's."""
  block_epochs: int | None = None
  """Meta-epochs per compiled call, each followed by validation, checkpoint and log. By default the
  preset's."""
  task_axis: TaskAxis = 'auto'
  """Tasks in parallel (vmap) or one after another (map); auto chooses by platform."""
  workdir: str | None = None
  """Folder of the run; runs/TARGET-ARCH-OBJECTIVE-sSEED by default."""


def meta_train(config: Config) -> Path:
  """Start or resume a meta-training; returns its workdir."""
  codes = sources.codes_of(config)
  if len(codes) < 2 and config.objective != 'bce':
    raise InputError(
      f'objective {config.objective} needs two sources or more, found {" ".join(codes)}',
      arguments=('objective', 'sources'),
    )
  name = f'{config.target}-{config.arch}-{config.objective}-s{config.seed}'
  workdir = default_workdir(config, name)
  cluster.join(config)
  mesh = task_mesh(len(codes) * config.task_batch, cluster.chosen_devices(config))
  model = make_network(config)
  warn_without_accelerator(config)
  require_not_shorter(workdir, config.meta_epochs, 'meta_epochs')
  params = _start(config, model, workdir)
  data = sources.load(config, codes)
  facts = {'command': 'meta_train', **data.facts, **learned_before(config.start, workdir)}
  description = describe(config, facts)
  inner, outer = _inner_loop(config, model), _outer(config)
  state = replicate(init_state(params, outer), mesh)
  with (
    _opened(workdir, config, facts),
    cluster.last_words(),
    Checkpoints(workdir / 'checkpoints', description) as checkpoints,
  ):
    if checkpoints.latest_step is not None:
      state = checkpoints.restore(state)
    begin = int(state.step)
    if begin < config.meta_epochs:
      programs = _compile(config, state, data, inner, outer, mesh)
      if cluster.is_primary():
        sources.draw_crops(workdir / 'crops.png', data.training, data.names, config)
      blocks = _blocks(config, data.names, state, programs, workdir)
      try:
        state = _keep(config, data.names, begin, blocks, checkpoints, workdir)
      finally:
        if cluster.is_primary():
          sources.draw_curves(workdir)
    known = {'architecture': config.arch, 'diameter_range': data.diameter_range, **description}
    save_init(workdir / 'init', state.params, known)
  if cluster.is_primary():
    print(f'initialisation and figures: {workdir}')
  return workdir


def _opened(workdir: Path, config: Config, facts: dict[str, Any]) -> AbstractContextManager:
  """The workdir, opened by the process that writes."""
  if not cluster.is_primary():
    return contextlib.nullcontext()
  lengths = ('meta_epochs',) if config.meta_schedule == 'constant' else ()
  return opened_workdir(workdir, config, facts, free=(*lengths, *CLUSTER_OPTIONS, 'sources'))


def _start(config: Config, model: nn.Module, workdir: Path) -> Params:
  """The parameters before the first meta-epoch; a resumed run only needs their shapes."""
  if config.start is None or has_begun(workdir):
    return init_params(model, jax.random.fold_in(jax.random.key(config.seed), 0))
  return initialisations.load(config.start, config, target=config.target, option='start').params


def _inner_loop(config: Config, model: nn.Module) -> InnerLoop:
  def apply(params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return model.apply({'params': params}, images)

  return InnerLoop(
    apply=apply,
    objective=config.objective,
    optimizer=inner_optimizer(config.inner_lr, config.weight_decay, config.optimizer),
    num_steps=config.num_inner_steps,
    alpha=config.alpha,
    beta=config.beta,
    pixel_loss=PIXEL_LOSSES[config.loss],
    augment=make_augment(config.augmentation),
  )


def _outer(config: Config) -> optax.GradientTransformation:
  rate = config.meta_lr
  if config.meta_schedule == 'linear':
    rate = optax.linear_schedule(config.meta_lr, 0.0, config.meta_epochs)
  descent = optax.sgd(rate)
  return optax.chain(descent, keep_kernel_norms()) if config.kernel_norms == 'kept' else descent


class Programs(NamedTuple):
  """The compiled programs of a run."""

  block: Callable[
    [int], Callable[[MetaState], tuple[MetaState, History]]
  ]  # by number of meta-epochs
  validate: Callable[[Params], jax.Array]  # (S,) losses


def _compile(
  config, state: MetaState, data: Sources, inner: InnerLoop, outer, mesh: Mesh
) -> Programs:
  """The programs of the run; compilation of the first ones continues in the background."""
  key = replicate(jax.random.fold_in(jax.random.key(config.seed), 1), mesh)
  validation_key = jax.random.fold_in(jax.random.key(config.seed), 2)
  shape = {'num_crops': config.num_crops, 'crop_size': config.crop_size}
  shape['task_axis'] = config.task_axis
  training = replicate(data.training, mesh)

  @functools.cache
  def block(length: int) -> Callable:
    whole = make_meta_block(
      inner, outer, num_epochs=length, task_batch=config.task_batch, mesh=mesh, **shape
    )
    program = compile_ahead(whole, state, training, key)
    return lambda state: program(state, training, key)

  block(_block_length(config, int(state.step)))
  examples = jax.device_get(state.params), data.validation, validation_key
  validate = compile_ahead(make_validation(inner, **shape), *examples)
  return Programs(block, lambda params: validate(params, *examples[1:]))


def _block_length(config, step: int) -> int:
  """Meta-epochs in the block that begins at `step`."""
  return min(config.block_epochs - step % config.block_epochs, config.meta_epochs - step)


def _blocks(
  config, codes, state: MetaState, programs: Programs, workdir: Path
) -> Iterator[FinishedBlock]:
  """Run the remaining meta-epochs in blocks, on all processes."""
  step = int(state.step)
  while step < config.meta_epochs:
    length = _block_length(config, step)
    state, history = programs.block(length)(state)
    history = jax.device_get(history)
    require_finite(history, codes, step, workdir)
    validation = np.asarray(programs.validate(jax.device_get(state.params)))
    require_finite_validation(validation, codes, step + length, workdir)
    step += length
    yield FinishedBlock(step, state, history, validation)


def _keep(
  config,
  codes,
  begin: int,
  blocks: Iterable[FinishedBlock],
  checkpoints: Checkpoints,
  workdir: Path,
) -> MetaState:
  """Log and save every block; returns the state after the last."""
  with contextlib.ExitStack() as stack:
    stack.enter_context(contextlib.closing(blocks))
    if cluster.is_primary():
      log = meta_training_log(codes, begin, config.meta_epochs, workdir)
      show = stack.enter_context(log)
    for block in blocks:
      state = block.state
      if cluster.is_primary():
        show(block)
      checkpoints.save(block.step, state, validation_loss=float(block.validation.mean()))
  return state


if __name__ == '__main__':
  run(meta_train, Config)
