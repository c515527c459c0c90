"""Tables of crops, and what is drawn from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import disk_set

from fscs.data.bank import make_bank, sample_crops, take_crops
from fscs.data.intensity import normalise
from fscs.meta.episodes import sample_episode
from fscs.data.image_sets import GreySet
from fscs.data.preprocessing import prepare
from fscs.errors import InputError


def constant_set(code, value, shape=(2, 20, 30)):
  """A source whose every pixel tells which source it is."""
  return GreySet(code, np.full(shape, value, np.uint8), np.ones(shape, np.uint8), ('a', 'b'))


@pytest.fixture
def bank_of_three():
  sets = [
    constant_set(c, v, (2, 20, w)) for c, v, w in (('A', 0, 30), ('B', 51, 24), ('C', 255, 40))
  ]
  return make_bank(sets, crop_size=16, strides=[(4, 4)] * 3, min_foreground=1)


def test_crops_are_the_images_own_pixels():
  grey_set = prepare(disk_set(num_images=3))
  bank = make_bank([grey_set], crop_size=32, strides=[(16, 16)], min_foreground=1)
  images, masks = take_crops(bank, jnp.arange(len(bank.corner)), 32)
  height, width = grey_set.images.shape[1:]
  for number, start in enumerate(np.asarray(bank.corner)):
    i, row, column = start // (height * width), start // width % height, start % width
    window = (i, slice(row, row + 32), slice(column, column + 32))
    expected = grey_set.images[window] / 127.5 - 1
    np.testing.assert_allclose(images[number, ..., 0], expected, atol=1e-6)
    np.testing.assert_array_equal(masks[number, ..., 0], grey_set.masks[window])


def test_normalise_maps_grey_values_to_minus_one_and_one():
  np.testing.assert_allclose(
    normalise(jnp.array([0, 51, 255], jnp.uint8)), [-1, -0.6, 1], rtol=1e-6
  )


def test_sources_of_different_width_are_not_mixed(bank_of_three):
  for source, value in enumerate((-1, -0.6, 1)):
    images, masks = sample_crops(jax.random.key(source), bank_of_three, source, 50, 16)
    np.testing.assert_allclose(images, value, rtol=1e-6)
    assert (masks == 1).all()


def test_the_other_crops_are_never_of_the_own_source_and_of_both_others_in_time(bank_of_three):
  draw = jax.jit(lambda key: sample_episode(key, bank_of_three, 1, num_crops=1, crop_size=16))
  episodes = [draw(jax.random.key(i)) for i in range(40)]
  values = np.array([[e[i].mean() for i in (0, 2, 3)] for e in episodes]).round(3)
  assert set(values[:, 0]) == {np.float32(-0.6).round(3)}
  for other in (1, 2):
    assert set(values[:, other]) == {-1, 1}
  assert (values[:, 1] != values[:, 2]).any()  # S_p and S_n are drawn independently


def test_same_key_same_crops(bank_of_three):
  draw = lambda: sample_episode(jax.random.key(7), bank_of_three, 0, num_crops=2, crop_size=16)  # noqa: E731
  jax.tree.map(np.testing.assert_array_equal, draw(), draw())


def test_source_without_admissible_crop_is_named():
  grey_set = constant_set('TNBC', 3)._replace(masks=np.zeros((2, 20, 30), np.uint8))
  with pytest.raises(InputError, match='TNBC: no crop of 16 x 16 pixels has 5 foreground'):
    make_bank([grey_set], crop_size=16, strides=[(4, 4)], min_foreground=5)
