"""The outer loop: Reptile over all sources, a block of meta-epochs in one compiled call."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fscs.augmentation import Augment
from fscs.data.bank import Bank, sample_episode
from fscs.devices import TASKS, TaskAxis, over_tasks, replicate, task_mesh
from fscs.losses import Apply, Objective, PixelLoss, objective_loss, weighted_bce
from fscs.meta.inner_loop import History, adapt
from fscs.typing import Episode, MetaState, Params

_AUGMENTATION = 3  # folded into a task's key, whose first three parts draw the episode


@dataclasses.dataclass(frozen=True)
class InnerLoop:
  """What is the same for every task; a function of (params, episode, key) that can be jitted.

  The key decides how crops are augmented, and is not needed without augmentation.

  Attributes:
    apply: (params, images) -> (logits, features).
    objective: which terms of the loss count, see `fscs.losses.objective_loss`.
    optimizer: begins anew in every episode; see `fscs.inner_optimizer`.
    num_steps: optimiser steps per episode.
    alpha: weight of the entropy regularisation.
    beta: weight of the distillation.
    pixel_loss: the segmentation loss, of logits and masks.
    augment: a function of (key, images, masks), see `fscs.augmentation.make_augment`, or None.
  """

  apply: Apply
  objective: Objective
  optimizer: optax.GradientTransformation
  num_steps: int
  alpha: float = 0.01
  beta: float = 0.01
  pixel_loss: PixelLoss = weighted_bce
  augment: Augment | None = None

  def __call__(
    self, params: Params, episode: Episode, key: jax.Array | None = None
  ) -> tuple[Params, History]:
    return adapt(
      params,
      episode,
      apply=self.apply,
      objective=self.objective,
      optimizer=self.optimizer,
      num_steps=self.num_steps,
      alpha=self.alpha,
      beta=self.beta,
      pixel_loss=self.pixel_loss,
      augment=self.augment,
      key=key,
    )


def reptile_gradient(params: Params, adapted: Params) -> Params:
  """The pseudo-gradient of Reptile: params minus the mean over tasks of the adapted parameters.

  Args:
    params: the meta-parameters.
    adapted: the same tree with a leading task axis.

  References:
    Nichol, Achiam and Schulman, arXiv 1803.02999, algorithm 2.
  """
  return jax.tree.map(lambda start, end: start - end.mean(0), params, adapted)


def init_state(params: Params, outer: optax.GradientTransformation) -> MetaState:
  """The state before the first meta-epoch, with a copy of the parameters: blocks donate theirs."""
  params = jax.tree.map(jnp.array, params)
  return MetaState(jnp.zeros((), jnp.int32), params, outer.init(params))


def meta_step(
  state: MetaState, gradient: Params, *, outer: optax.GradientTransformation
) -> MetaState:
  """One outer update along the pseudo-gradient of all tasks."""
  updates, opt_state = outer.update(gradient, state.opt_state, state.params)
  return MetaState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)


def _make_all_tasks(
  inner: InnerLoop, mesh: Mesh, task_axis: TaskAxis, **shape: int
) -> Callable[[Params, Bank, jax.Array, jax.Array], tuple[Params, History]]:
  """A function from (params, bank, key, tasks) to their mean pseudo-gradient and histories."""

  def tasks_of_device(params: Params, bank: Bank, key: jax.Array, tasks: jax.Array):
    def task(index: jax.Array):
      source = index % bank.first.shape[0]
      task_key = jax.random.fold_in(key, index)
      episode = sample_episode(task_key, bank, source, **shape)
      return inner(params, episode, jax.random.fold_in(task_key, _AUGMENTATION))

    adapted, history = over_tasks(task, task_axis, tasks)
    gradient = jax.lax.pmean(reptile_gradient(params, adapted), TASKS)
    return gradient, jax.lax.all_gather(history, TASKS, tiled=True)

  return jax.shard_map(
    tasks_of_device,
    mesh=mesh,
    in_specs=(P(), P(), P(), P(TASKS)),
    out_specs=P(),
    check_vma=False,  # what all_gather returns is the same everywhere, which is not seen
  )


@dataclasses.dataclass(frozen=True)
class MetaBlock:
  """A compiled block of meta-epochs; what it is given is put on all devices of its mesh."""

  compiled: Callable
  mesh: Mesh

  def __call__(self, state: MetaState, bank: Bank, key: jax.Array) -> tuple[MetaState, History]:
    return self.compiled(*replicate((state, bank, key), self.mesh))

  def lower(self, state: MetaState, bank: Bank, key: jax.Array) -> jax.stages.Lowered:
    """To compile before the first call, for arguments that are on all devices already."""
    return self.compiled.lower(state, bank, key)


def make_meta_block(
  inner: InnerLoop,
  outer: optax.GradientTransformation,
  *,
  num_crops: int,
  crop_size: int,
  num_epochs: int,
  task_axis: TaskAxis = 'auto',
  task_batch: int = 1,
  mesh: Mesh | None = None,
) -> MetaBlock:
  """A compiled function that runs `num_epochs` meta-epochs, drawing episodes on the device.

  It maps (state, bank, key) to the next state and the tasks' histories, every field
  (num_epochs, task_batch * S, num_steps); task t is of source t modulo S. What it draws depends on
  `key` and the state's step alone, so a run that is continued draws what the uninterrupted one
  would have drawn. The state is donated.

  Tasks are shared out over the devices of `mesh` (see `fscs.devices`; the default device alone if
  there is none), and their pseudo-gradients averaged over all of them.
  """
  mesh = mesh or task_mesh(1, jax.devices()[:1])
  shape = {'num_crops': num_crops, 'crop_size': crop_size}
  all_tasks = _make_all_tasks(inner, mesh, task_axis, **shape)

  def meta_epoch(state: MetaState, bank: Bank, key: jax.Array):
    tasks = jnp.arange(task_batch * bank.first.shape[0])
    gradient, history = all_tasks(state.params, bank, jax.random.fold_in(key, state.step), tasks)
    return meta_step(state, gradient, outer=outer), history

  def block(state: MetaState, bank: Bank, key: jax.Array):
    body = lambda state, _: meta_epoch(state, bank, key)  # noqa: E731
    return jax.lax.scan(body, state, None, length=num_epochs)

  return MetaBlock(jax.jit(block, donate_argnums=0), mesh)


def make_validation(
  inner: InnerLoop, *, num_crops: int, crop_size: int, task_axis: TaskAxis = 'auto'
) -> Callable[[Params, Bank, jax.Array], jax.Array]:
  """A compiled function that rehearses adaptation on held-out images of the sources.

  It maps (params, bank, key) to one loss per source: the segmentation loss on some crops, after the
  inner loop on others with that loss alone, as in fine-tuning. The two are drawn independently from
  the bank, which should hold images that meta-training has not seen.
  """

  def rehearse(params: Params, bank: Bank, key: jax.Array, source: jax.Array) -> jax.Array:
    keys = jax.random.split(jax.random.fold_in(key, source))
    support, query = (
      sample_episode(k, bank, source, num_crops=num_crops, crop_size=crop_size) for k in keys
    )
    finetuning = dataclasses.replace(inner, objective='bce')
    adapted, _ = finetuning(params, support, jax.random.fold_in(keys[0], _AUGMENTATION))
    return objective_loss(
      inner.apply, adapted, query, objective='bce', pixel_loss=inner.pixel_loss
    )[0]

  def validate(params: Params, bank: Bank, key: jax.Array) -> jax.Array:
    task = lambda source: rehearse(params, bank, key, source)  # noqa: E731
    return over_tasks(task, task_axis, jnp.arange(bank.first.shape[0]))

  return jax.jit(validate)
