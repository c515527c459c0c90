"""The inner loop."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import apply_two_layers, disk_set, displacement, two_layer_params

from fscs.augmentation import augment
from fscs.data.bank import make_bank
from fscs.data.preprocessing import prepare
from fscs.errors import InputError
from fscs.losses import bce_dice, weighted_bce
from fscs.meta.episodes import sample_episode
from fscs.meta.inner_loop import InnerLoop, adapt
from fscs.optimizers import inner_optimizer
from fscs.typing import Episode


@pytest.fixture(scope='module')
def params():
  return two_layer_params()


@pytest.fixture(scope='module')
def episodes():
  """One episode of each of three sources, along a leading axis."""
  sets = [prepare(disk_set(code, num_images=3)) for code in ('B5', 'EM', 'TNBC')]
  bank = make_bank(sets, crop_size=32, strides=[(8, 8)] * 3, min_foreground=20)

  def draw(source):
    key = jax.random.key(source)
    return sample_episode(key, bank, source, num_crops=2, crop_size=32)

  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(draw, range(3)))


def first(tree):
  return jax.tree.map(operator.itemgetter(0), tree)


@pytest.mark.parametrize(
  'inner',
  [
    InnerLoop(apply_two_layers, 'combined', inner_optimizer(), 3),
    InnerLoop(apply_two_layers, 'bce', inner_optimizer(), 3, pixel_loss=bce_dice, augment=augment),
  ],
  ids=['paper', 'bce_dice with augmentation'],
)
def test_vmapped_adaptation_equals_a_loop_over_tasks(inner, params, episodes):
  keys = jax.random.split(jax.random.key(7), 3)
  together, history = jax.jit(jax.vmap(inner, (None, 0, 0)))(params, episodes, keys)
  assert history.loss.shape == (3, 3)
  alone = jax.jit(inner)
  for task in range(3):
    adapted, _ = alone(params, *jax.tree.map(operator.itemgetter(task), (episodes, keys)))
    found, expected = (
      displacement(params, end)
      for end in (jax.tree.map(operator.itemgetter(task), together), adapted)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_steps_equal_gradient_descent_written_out():
  images, masks = jnp.array([0.5, -1.0, 2.0, 0.1]), jnp.array([1.0, 0.0, 1.0, 0.0])
  batch, truth = (x.reshape(2, 1, 2, 1) for x in (images, masks))
  found, history = adapt(
    jnp.float32(0.3),
    Episode(batch, truth, batch, batch),
    apply=lambda slope, x: (slope * x, x),
    objective='bce',
    optimizer=optax.sgd(0.5),
    num_steps=3,
  )
  slope, losses = 0.3, []
  for _ in range(3):  # one foreground pixel of two in each image: every pixel weighs 1
    p = 1 / (1 + np.exp(-slope * images))
    losses.append(-np.mean(np.log(np.where(masks > 0, p, 1 - p))))
    slope -= 0.5 * np.mean((p - masks) * images)
  assert float(found) == pytest.approx(float(slope), rel=1e-5)
  np.testing.assert_allclose(history.loss, losses, rtol=1e-5)
  assert not history.terms['entropy'].any()


def test_the_key_decides_how_crops_are_augmented_at_every_step(params, episodes):
  still = optax.set_to_zero()  # losses differ by the crops alone
  inner = jax.jit(InnerLoop(apply_two_layers, 'bce', still, 3, augment=augment))
  one, again, other = (
    inner(params, first(episodes), jax.random.key(seed))[1].loss for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, again)
  assert len({*one.tolist(), *other.tolist()}) == 6


def test_augmentation_without_a_key_is_refused(params, episodes):
  inner = InnerLoop(apply_two_layers, 'bce', inner_optimizer(), 3, augment=augment)
  with pytest.raises(InputError, match='needs a random key'):
    inner(params, first(episodes))


def test_adaptation_lowers_the_loss_on_its_own_crops(params, episodes):
  inner = InnerLoop(apply_two_layers, 'bce', inner_optimizer(), 20)
  adapted, history = jax.jit(inner)(params, first(episodes))
  assert history.loss[-1] < history.loss[0]
  episode = first(episodes)
  own = jax.jit(dataclasses.replace(inner, num_steps=1))(adapted, episode)[1].loss[0]
  expected = weighted_bce(apply_two_layers(adapted, episode.images)[0], episode.masks)
  assert float(own) == pytest.approx(float(expected), rel=1e-4)  # before the first update
