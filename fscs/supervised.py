"""Minibatch training on the crops of a bank: fine-tuning and the transfer baseline."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fscs.episodes import Bank, take_crops
from fscs.losses import Apply, weighted_bce
from fscs.types import Params

STEPS_PER_CALL = 16  # a longer call would only matter where a step takes less than a millisecond

Train = Callable[
  [Params, optax.OptState, Bank, np.ndarray], tuple[Params, optax.OptState, np.ndarray]
]


def crop_stream(seed: int, crops: np.ndarray, batch_size: int, num_steps: int) -> np.ndarray:
  """The crops that every step sees: one permutation after another, cut into full batches.

  A batch may reach over the border of two permutations, so all have the same size, and no crop is
  seen twice more often than another.

  Args:
    seed: of the permutations; the same seed gives the same stream, longer or shorter.
    crops: (C,) int32, numbers of crops in a bank's table.
    batch_size: crops a step.
    num_steps: number of steps.

  Returns:
    (num_steps, batch_size) int32.
  """
  num_epochs = -(-num_steps * batch_size // len(crops))
  epochs = [np.random.default_rng([seed, e]).permutation(crops) for e in range(num_epochs)]
  stream = np.concatenate(epochs)[: num_steps * batch_size]
  return stream.reshape(num_steps, batch_size).astype(np.int32)


def num_training_steps(
  num_crops: int, batch_size: int, num_epochs: int, max_steps: int | None
) -> int:
  """Steps of `num_epochs` epochs, each rounded up to whole batches; at most `max_steps`."""
  steps = num_epochs * -(-num_crops // batch_size)
  return steps if max_steps is None else min(steps, max_steps)


def make_train(apply: Apply, optimizer: optax.GradientTransformation, *, crop_size: int) -> Train:
  """A function that takes one optimiser step per row of a stream of crops, compiled once.

  It maps (params, opt_state, bank, stream (num_steps, batch_size)) to the next params and opt_state
  and the losses (num_steps,), each of them before its update; streams may have any length.
  """

  def step(bank: Bank, carry, crops: jax.Array):
    params, opt_state = carry
    images, masks = take_crops(bank, crops, crop_size)
    loss_of = lambda params: weighted_bce(apply(params, images)[0], masks)  # noqa: E731
    loss, gradient = jax.value_and_grad(loss_of)(params)
    updates, opt_state = optimizer.update(gradient, opt_state, params)
    return (optax.apply_updates(params, updates), opt_state), loss

  @jax.jit
  def run(params: Params, opt_state: optax.OptState, bank: Bank, stream: jax.Array, num_steps):
    def body(index: jax.Array, carry):
      state, losses = carry
      state, loss = step(bank, state, stream[index])
      return state, losses.at[index].set(loss)

    carry = ((params, opt_state), jnp.zeros(len(stream)))
    return jax.lax.fori_loop(0, num_steps, body, carry)

  def train(params: Params, opt_state: optax.OptState, bank: Bank, stream: np.ndarray):
    losses = []
    for start in range(0, len(stream), STEPS_PER_CALL):
      part = stream[start : start + STEPS_PER_CALL]
      padded = np.pad(part, ((0, STEPS_PER_CALL - len(part)), (0, 0)))
      (params, opt_state), part_losses = run(params, opt_state, bank, padded, len(part))
      losses.append(np.asarray(part_losses)[: len(part)])
    return params, opt_state, np.concatenate(losses)

  return train


def make_loss(apply: Apply, *, crop_size: int) -> Callable[[Params, Bank, jax.Array], jax.Array]:
  """A compiled function: mean loss over the batches (num_batches, batch_size) of a bank's crops."""

  @jax.jit
  def mean_loss(params: Params, bank: Bank, stream: jax.Array) -> jax.Array:
    def loss_of(crops: jax.Array) -> jax.Array:
      images, masks = take_crops(bank, crops, crop_size)
      return weighted_bce(apply(params, images)[0], masks)

    return jax.lax.map(loss_of, stream).mean()

  return mean_loss
