"""Minibatch training on the crops of a bank: fine-tuning and the transfer baseline."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fscs.augmentation import Augment
from fscs.data.bank import Bank, take_crops
from fscs.devices import over_tasks
from fscs.losses import Apply, PixelLoss, weighted_bce
from fscs.progress import Advance, no_advance
from fscs.typing import Params

STEPS_PER_CALL = 16  # the cost of a call is small beside 16 steps

Train = Callable[..., tuple[Params, optax.OptState, np.ndarray]]


def crop_stream(seed: int, crops: np.ndarray, batch_size: int, num_steps: int) -> np.ndarray:
  """The crops of every step: random permutations of all crops, one after another, cut into batches.

  A batch may span two permutations. All batches are full, and no crop is seen more than once more
  often than another.

  Args:
    seed: seed of the permutations; a shorter stream is the beginning of a longer one.
    crops: (C,) int32, rows of a bank's table.
    batch_size: crops per step.
    num_steps: number of steps.

  Returns:
    (num_steps, batch_size) int32.

  >>> sorted(crop_stream(0, np.arange(4), batch_size=2, num_steps=2).ravel().tolist())
  [0, 1, 2, 3]
  """
  num_epochs = -(-num_steps * batch_size // len(crops))
  epochs = [np.random.default_rng([seed, e]).permutation(crops) for e in range(num_epochs)]
  stream = np.concatenate(epochs)[: num_steps * batch_size]
  return stream.reshape(num_steps, batch_size).astype(np.int32)


def source_stream(
  seed: int, sources: Sequence[np.ndarray], batch_size: int, num_steps: int
) -> np.ndarray:
  """The crops of every step, each batch from a single source.

  Every round visits each source once, in a new random order. Within a source, crops come in random
  permutations as in `crop_stream`.

  Args:
    seed: seed of the permutations.
    sources: (C,) int32 each, a source's rows in a bank's table.
    batch_size: crops per step.
    num_steps: number of steps.

  Returns:
    (num_steps, batch_size) int32.

  >>> stream = source_stream(0, [np.arange(3), np.arange(3, 6)], batch_size=2, num_steps=4)
  >>> (stream // 3).tolist()
  [[1, 1], [0, 0], [1, 1], [0, 0]]
  """
  rounds = -(-num_steps // len(sources))
  streams = np.stack([crop_stream(seed, crops, batch_size, rounds) for crops in sources], axis=1)
  order = np.random.default_rng([seed, 0, 1]).permuted(
    np.tile(np.arange(len(sources)), (rounds, 1)), axis=1
  )
  turns = np.take_along_axis(streams, order[..., None], axis=1)
  return turns.reshape(-1, batch_size)[:num_steps]


def num_training_steps(
  num_crops: int, batch_size: int, num_epochs: int, max_steps: int | None
) -> int:
  """Steps of `num_epochs` epochs, each rounded up to whole batches; at most `max_steps`.

  >>> num_training_steps(num_crops=10, batch_size=4, num_epochs=2, max_steps=None)
  6
  """
  steps = num_epochs * -(-num_crops // batch_size)
  return steps if max_steps is None else min(steps, max_steps)


class Recipe(NamedTuple):
  """Optimizer, loss and augmentation of training; the defaults are the paper's."""

  optimizer: optax.GradientTransformation
  crop_size: int
  loss: PixelLoss = weighted_bce
  augment: Augment | None = None


def _make_run(apply: Apply, recipe: Recipe) -> Callable:
  """A function that takes one step for each of the first `num_steps` rows of a stream.

  Augmentation depends on the seed and on the number of the step, which is `first` in the first row.
  """

  def step(bank: Bank, carry, crops: jax.Array, key: jax.Array):
    params, opt_state = carry
    images, masks = take_crops(bank, crops, recipe.crop_size)
    if recipe.augment:
      images, masks = recipe.augment(key, images, masks)

    def loss_of(params: Params) -> jax.Array:
      return recipe.loss(apply(params, images)[0], masks)

    loss, gradient = jax.value_and_grad(loss_of)(params)
    updates, opt_state = recipe.optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), loss

  def run(params: Params, opt_state: optax.OptState, bank: Bank, stream, num_steps, first, seed):
    key = jax.random.key(seed)

    def body(index: jax.Array, carry):
      state, losses = carry
      state, loss = step(bank, state, stream[index], jax.random.fold_in(key, first + index))
      return state, losses.at[index].set(loss)

    carry = ((params, opt_state), jnp.zeros(len(stream)))
    return jax.lax.fori_loop(0, num_steps, body, carry)

  return run


def make_train(apply: Apply, recipe: Recipe) -> Train:
  """A function that takes one optimizer step per row of a stream of crops.

  It maps (params, opt_state, bank, stream) to the new params, the new opt_state, and the losses
  (num_steps,), each taken before its update. The stream is (num_steps, batch_size); streams of all
  lengths share one compiled program. To continue a stream, give its remaining rows and the number
  of steps already done as `first`. `seed` is the seed of augmentation. `advance` reports steps. An
  empty stream compiles the program.
  """
  run = jax.jit(_make_run(apply, recipe))

  def train(
    params: Params,
    opt_state: optax.OptState,
    bank: Bank,
    stream: np.ndarray,
    first: int = 0,
    seed: int = 0,
    advance: Advance = no_advance,
  ):
    losses = []
    for start in range(0, max(len(stream), 1), STEPS_PER_CALL):
      part = _part(stream, start)
      num_steps = min(len(stream) - start, STEPS_PER_CALL)
      (params, opt_state), part_losses = run(
        params, opt_state, bank, part, num_steps, first + start, np.uint32(seed)
      )
      losses.append(np.asarray(part_losses)[:num_steps])
      advance(num_steps)
    return params, opt_state, np.concatenate(losses)

  return train


def make_train_all(apply: Apply, recipe: Recipe) -> Callable[..., list[tuple[Params, np.ndarray]]]:
  """A function that trains the same initial parameters on several streams independently.

  It maps (params, bank, streams) to the trained parameters and the losses of every stream. Streams
  may differ in length. On a GPU they run in parallel (see `fscs.devices.over_tasks`). All streams
  share the augmentation seed `seed`.
  """
  run = _make_run(apply, recipe)

  @jax.jit
  def run_all(states, bank: Bank, parts: jax.Array, num_steps: jax.Array, first, seed):
    def task(state, part: jax.Array, steps: jax.Array):
      return run(*state, bank, part, steps, first, seed)

    return over_tasks(task, 'auto', states, parts, num_steps)

  def train_all(
    params: Params,
    bank: Bank,
    streams: Sequence[np.ndarray],
    seed: int = 0,
  ):
    start = (params, recipe.optimizer.init(params))
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(streams)), start)
    lengths = np.array([len(stream) for stream in streams])
    losses = []

    for begin in range(0, max(lengths), STEPS_PER_CALL):
      num_steps = np.clip(lengths - begin, 0, STEPS_PER_CALL).astype(np.int32)
      parts = np.stack([_part(stream, begin) for stream in streams])
      states, part_losses = run_all(
        states, bank, parts, num_steps, np.int32(begin), np.uint32(seed)
      )
      losses.append(np.asarray(part_losses))
    all_losses = np.concatenate(losses, axis=1)
    trained = [jax.tree.map(lambda leaf, i=i: leaf[i], states[0]) for i in range(len(streams))]
    return [(params, all_losses[i, : lengths[i]]) for i, params in enumerate(trained)]

  return train_all


def _part(stream: np.ndarray, begin: int) -> np.ndarray:
  """The rows of one call, padded with zeros after the end of the stream."""
  part = stream[begin : begin + STEPS_PER_CALL]
  return np.pad(part, ((0, STEPS_PER_CALL - len(part)), (0, 0)))


def make_loss(
  apply: Apply, *, crop_size: int, pixel_loss: PixelLoss = weighted_bce
) -> Callable[[Params, Bank, jax.Array], jax.Array]:
  """A compiled function of (params, bank, stream): the mean loss over the batches of the stream."""

  @jax.jit
  def mean_loss(params: Params, bank: Bank, stream: jax.Array) -> jax.Array:
    def loss_of(crops: jax.Array) -> jax.Array:
      images, masks = take_crops(bank, crops, crop_size)
      return pixel_loss(apply(params, images)[0], masks)

    return jax.lax.map(loss_of, stream).mean()

  return mean_loss
