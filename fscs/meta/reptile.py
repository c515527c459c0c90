"""The outer loop: Reptile over all sources; a block of meta-epochs is one compiled call."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from fscs.data.bank import Bank
from fscs.devices import TASKS, TaskAxis, over_tasks, replicate, task_mesh
from fscs.losses import objective_loss
from fscs.meta.episodes import sample_episode
from fscs.meta.inner_loop import History, InnerLoop
from fscs.typing import MetaState, Params

_AUGMENTATION = 3  # folded into the key of a task, whose parts 0 to 2 draw the episode


def reptile_gradient(params: Params, adapted: Params) -> Params:
  """Pseudo-gradient of Reptile: parameters minus the mean of the adapted parameters.

  Args:
    params: the meta-parameters.
    adapted: the same tree with a leading task axis.

  References:
    Nichol, Achiam and Schulman, arXiv 1803.02999, algorithm 2.

  >>> reptile_gradient({'w': jnp.array(1.0)}, {'w': jnp.array([0.0, 1.0])})
  {'w': Array(0.5, dtype=float32)}
  """
  return jax.tree.map(lambda start, end: start - end.mean(0), params, adapted)


def init_state(params: Params, outer: optax.GradientTransformation) -> MetaState:
  """The state before the first meta-epoch.

  Parameters are copied, since blocks donate their state.

  Args:
    params: the meta-parameters.
    outer: optimizer of the outer loop.
  """
  params = jax.tree.map(jnp.array, params)
  return MetaState(jnp.zeros((), jnp.int32), params, outer.init(params))


def meta_step(
  state: MetaState, gradient: Params, *, outer: optax.GradientTransformation
) -> MetaState:
  """One outer update.

  Args:
    state: before the update.
    gradient: of `reptile_gradient`, for all tasks.
    outer: optimizer of the outer loop; the paper's is `optax.sgd(1.0)`.
  """
  updates, opt_state = outer.update(gradient, state.opt_state, state.params)
  return MetaState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)


@dataclasses.dataclass(frozen=True)
class MetaBlock:
  """A compiled block of meta-epochs. Its arguments are replicated over the devices of its mesh."""

  compiled: jax.stages.Wrapped
  mesh: Mesh

  def __call__(self, state: MetaState, bank: Bank, key: jax.Array) -> tuple[MetaState, History]:
    return self.compiled(*replicate((state, bank, key), self.mesh))

  def lower(self, state: MetaState, bank: Bank, key: jax.Array) -> jax.stages.Lowered:
    """For compilation ahead of the first call; the arguments must be replicated already."""
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
  """A compiled function of several meta-epochs, which draws its episodes on the device.

  It maps (state, bank, key) to the next state and the histories of all tasks, every field of shape
  (num_epochs, task_batch * S, num_steps) for S sources; task t is of source t modulo S. The draws
  depend on the key and the state's step alone, so a resumed run equals an uninterrupted one. The
  state is donated.

  Args:
    inner: the inner loop.
    outer: optimizer of the outer loop.
    num_crops: crops per episode.
    crop_size: side of the crops, as the bank was made for.
    num_epochs: meta-epochs per call.

  Other args:
    task_axis: tasks at once ('vmap') or in turn ('map'), see `fscs.devices.over_tasks`.
    task_batch: episodes per source and meta-epoch.
    mesh: devices over which tasks are shared out; the default device alone if None.
  """
  mesh = mesh or task_mesh(1, jax.devices()[:1])
  all_tasks = _make_all_tasks(inner, mesh, task_axis, num_crops=num_crops, crop_size=crop_size)

  def meta_epoch(state: MetaState, bank: Bank, key: jax.Array) -> tuple[MetaState, History]:
    tasks = jnp.arange(task_batch * bank.first.shape[0])
    gradient, history = all_tasks(state.params, bank, jax.random.fold_in(key, state.step), tasks)
    return meta_step(state, gradient, outer=outer), history

  def block(state: MetaState, bank: Bank, key: jax.Array) -> tuple[MetaState, History]:
    def body(state: MetaState, _) -> tuple[MetaState, History]:
      return meta_epoch(state, bank, key)

    return jax.lax.scan(body, state, None, length=num_epochs)

  return MetaBlock(jax.jit(block, donate_argnums=0), mesh)


def _make_all_tasks(
  inner: InnerLoop, mesh: Mesh, task_axis: TaskAxis, *, num_crops: int, crop_size: int
) -> Callable[[Params, Bank, jax.Array, jax.Array], tuple[Params, History]]:
  """A function from (params, bank, key, tasks) to the mean pseudo-gradient and the histories."""

  def tasks_of_device(params: Params, bank: Bank, key: jax.Array, tasks: jax.Array):
    def run_task(index: jax.Array) -> tuple[Params, History]:
      source = index % bank.first.shape[0]
      task_key = jax.random.fold_in(key, index)
      episode = sample_episode(task_key, bank, source, num_crops=num_crops, crop_size=crop_size)
      return inner(params, episode, jax.random.fold_in(task_key, _AUGMENTATION))

    adapted, history = over_tasks(run_task, task_axis, tasks)
    gradient = jax.lax.pmean(reptile_gradient(params, adapted), TASKS)
    return gradient, jax.lax.all_gather(history, TASKS, tiled=True)

  return jax.shard_map(
    tasks_of_device,
    mesh=mesh,
    in_specs=(P(), P(), P(), P(TASKS)),
    out_specs=P(),
    check_vma=False,  # the checker does not see that all_gather gives the same everywhere
  )


def make_validation(
  inner: InnerLoop, *, num_crops: int, crop_size: int, task_axis: TaskAxis = 'auto'
) -> Callable[[Params, Bank, jax.Array], jax.Array]:
  """A compiled function that measures adaptation on held-out images of the sources.

  It maps (params, bank, key) to one loss per source, (S,): the segmentation loss on a query episode
  after the inner loop on a support episode with that loss alone, as in fine-tuning. The bank should
  hold images that meta-training does not use.

  Args:
    inner: the inner loop; its objective is replaced by 'bce'.
    num_crops: crops of support and of query.
    crop_size: side of the crops, as the bank was made for.
    task_axis: see `fscs.devices.over_tasks`.
  """
  finetuning = dataclasses.replace(inner, objective='bce')

  def validate_source(params: Params, bank: Bank, key: jax.Array, source: jax.Array) -> jax.Array:
    support_key, query_key = jax.random.split(jax.random.fold_in(key, source))
    support, query = (
      sample_episode(k, bank, source, num_crops=num_crops, crop_size=crop_size)
      for k in (support_key, query_key)
    )
    augmentation_key = jax.random.fold_in(support_key, _AUGMENTATION)
    adapted, _ = finetuning(params, support, augmentation_key)
    loss, _ = objective_loss(
      inner.apply, adapted, query, objective='bce', pixel_loss=inner.pixel_loss
    )
    return loss

  def validate(params: Params, bank: Bank, key: jax.Array) -> jax.Array:
    sources = jnp.arange(bank.first.shape[0])
    return over_tasks(lambda source: validate_source(params, bank, key, source), task_axis, sources)

  return jax.jit(validate)
