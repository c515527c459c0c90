"""Episodes: a task's own crops, and those of other sources."""

import jax
import numpy as np
import pytest
from helpers import assert_trees_equal

from fscs.data.bank import make_bank
from fscs.data.image_sets import GreySet
from fscs.meta.episodes import sample_episode


@pytest.fixture(scope='module')
def draw():
  """A function of (key, source) on a bank whose grey values tell the source: -1, -0.6 or 1."""

  def source(code, value, width):
    shape = (2, 20, width)
    return GreySet(code, np.full(shape, value, np.uint8), np.ones(shape, np.uint8), ('a', 'b'))

  sets = [source('A', 0, 30), source('B', 51, 24), source('C', 255, 40)]
  bank = make_bank(sets, crop_size=16, strides=[(4, 4)] * 3, min_foreground=1)
  return jax.jit(lambda key, i: sample_episode(key, bank, i, num_crops=1, crop_size=16))


def test_other_crops_are_never_of_the_own_source_and_of_both_others_in_time(draw):
  episodes = [draw(jax.random.key(i), 1) for i in range(40)]
  own, positive, negative = (
    np.array([e[field].mean() for e in episodes]).round(3) for field in (0, 2, 3)
  )
  assert set(own) == {np.float32(-0.6).round(3)}
  assert set(positive) == set(negative) == {-1, 1}
  assert (positive != negative).any()  # S_p and S_n are drawn independently


def test_same_key_same_crops(draw):
  assert_trees_equal(draw(jax.random.key(7), 0), draw(jax.random.key(7), 0))


def test_a_single_source_stands_in_for_the_others():
  images = np.full((1, 16, 16), 51, np.uint8)
  alone = GreySet('A', images, np.ones_like(images), ('a',))
  bank = make_bank([alone], crop_size=16, strides=[(4, 4)], min_foreground=1)
  episode = sample_episode(jax.random.key(0), bank, 0, num_crops=2, crop_size=16)
  np.testing.assert_array_equal(episode.entropy_images, episode.images)
