"""The outer loop: Reptile over all sources, a block of meta-epochs in one compiled call."""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

from fscs.adapt import History, adapt
from fscs.episodes import Bank, sample_episode
from fscs.losses import Apply, Objective, objective_loss
from fscs.types import Episode, MetaState, Params

TaskAxis = Literal['auto', 'vmap', 'map']


@dataclasses.dataclass(frozen=True)
class InnerLoop:
  """What is the same for every task; a function of (params, episode) that can be jitted."""

  apply: Apply
  objective: Objective
  optimizer: optax.GradientTransformation
  num_steps: int
  alpha: float = 0.01
  beta: float = 0.01

  def __call__(self, params: Params, episode: Episode) -> tuple[Params, History]:
    return adapt(
      params,
      episode,
      apply=self.apply,
      objective=self.objective,
      optimizer=self.optimizer,
      num_steps=self.num_steps,
      alpha=self.alpha,
      beta=self.beta,
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
  state: MetaState, adapted: Params, *, outer: optax.GradientTransformation
) -> MetaState:
  """One outer update from the tasks' adapted parameters (leading task axis)."""
  gradient = reptile_gradient(state.params, adapted)
  updates, opt_state = outer.update(gradient, state.opt_state, state.params)
  return MetaState(state.step + 1, optax.apply_updates(state.params, updates), opt_state)


def over_tasks(function: Callable, axis: TaskAxis, *arguments):
  """`function` for every task, along the arguments' leading axis.

  'vmap' runs all tasks at once, 'map' one after another with the same result; 'auto' is 'map' on
  CPU, where a single task already fills the cores and smaller arrays stay in the caches.
  """
  if axis == 'auto':
    axis = 'map' if jax.default_backend() == 'cpu' else 'vmap'
  if axis == 'vmap':
    return jax.vmap(function)(*arguments)
  return jax.lax.map(lambda args: function(*args), arguments)


def make_meta_block(
  inner: InnerLoop,
  outer: optax.GradientTransformation,
  *,
  num_crops: int,
  crop_size: int,
  num_epochs: int,
  task_axis: TaskAxis = 'auto',
) -> Callable[[MetaState, Bank, jax.Array], tuple[MetaState, History]]:
  """A compiled function that runs `num_epochs` meta-epochs, drawing episodes on the device.

  It maps (state, bank, key) to the next state and the tasks' histories, every field
  (num_epochs, S, num_steps). What it draws depends on `key` and the state's step alone, so a run
  that is continued draws what the uninterrupted one would have drawn. The state is donated.
  """

  def meta_epoch(state: MetaState, bank: Bank, key: jax.Array):
    key = jax.random.fold_in(key, state.step)

    def task(source: jax.Array):
      episode = sample_episode(
        jax.random.fold_in(key, source), bank, source, num_crops=num_crops, crop_size=crop_size
      )
      return inner(state.params, episode)

    adapted, history = over_tasks(task, task_axis, jnp.arange(bank.first.shape[0]))
    return meta_step(state, adapted, outer=outer), history

  def block(state: MetaState, bank: Bank, key: jax.Array):
    body = lambda state, _: meta_epoch(state, bank, key)  # noqa: E731
    return jax.lax.scan(body, state, None, length=num_epochs)

  return jax.jit(block, donate_argnums=0)


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
    adapted, _ = finetuning(params, support)
    return objective_loss(inner.apply, adapted, query, objective='bce')[0]

  def validate(params: Params, bank: Bank, key: jax.Array) -> jax.Array:
    task = lambda source: rehearse(params, bank, key, source)  # noqa: E731
    return over_tasks(task, task_axis, jnp.arange(bank.first.shape[0]))

  return jax.jit(validate)
