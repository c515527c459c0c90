"""Every layer against another way to the same answer."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fscs.errors import InputError
from fscs.models.convolution import best_lowering, convolve, transposed_convolve
from fscs.models.layers import BatchNorm, max_pool, upsample, upsample_aligned

LOWERINGS = ['patches', 'project', 'winograd']


def random(*shape):
  return jax.random.normal(jax.random.key(sum(shape)), shape)


@functools.partial(jax.jit, static_argnums=2)
def value_and_gradients(images, kernel, lowering):
  """Outputs of a convolution, and the gradients of a function of them."""

  def loss(images, kernel):
    outputs = convolve(images, kernel, lowering)
    return jnp.sum(jnp.sin(outputs)), outputs

  return jax.grad(loss, (0, 1), has_aux=True)(images, kernel)


def assert_close(one, other):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), one, other)


@pytest.mark.parametrize('lowering', LOWERINGS)
@pytest.mark.parametrize('shape', [(2, 8, 7, 4, 3), (3, 1, 2, 3, 5)])
def test_lowerings_equal_the_platforms_convolution_with_gradients(lowering, shape):
  batch, height, width, channels, features = shape
  images, kernel = random(batch, height, width, channels), random(3, 3, channels, features)
  found, expected = (value_and_gradients(images, kernel, name) for name in (lowering, 'xla'))
  assert_close(found, expected)


@pytest.mark.parametrize('lowering', LOWERINGS)
def test_lowerings_under_vmap_and_in_a_loop_equal_one_at_a_time(lowering):
  pairs = random(2, 1, 5, 4, 3), random(2, 3, 3, 3, 2)
  together = jax.jit(jax.vmap(lambda x, k: value_and_gradients(x, k, lowering)))(*pairs)
  looped = jax.lax.map(lambda pair: value_and_gradients(*pair, lowering), pairs)
  for i in range(2):
    alone = value_and_gradients(pairs[0][i], pairs[1][i], lowering)
    for way in (together, looped):
      assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], way), alone)


def test_the_lowering_of_a_layer_is_chosen_by_backend_channels_and_precision():
  assert best_lowering((3, 3, 32, 64), 'gpu') == 'xla'
  assert best_lowering((3, 3, 32, 64), 'cpu') == 'winograd'
  assert best_lowering((3, 3, 32, 64), 'cpu', 'bfloat16') == 'patches'
  assert best_lowering((3, 3, 32, 1), 'cpu') == 'project'
  with pytest.raises(InputError, match=r"'magic'.*auto, xla, patches"):
    convolve(random(1, 4, 4, 1), random(3, 3, 1, 1), 'magic')


def test_transposed_convolution_puts_one_kernel_position_in_each_pixel_of_a_block():
  images, kernel = random(2, 3, 4, 5), random(2, 2, 5, 6)
  outputs = transposed_convolve(images, kernel)
  assert outputs.shape == (2, 6, 8, 6)
  for a in (0, 1):
    for b in (0, 1):
      np.testing.assert_allclose(outputs[:, a::2, b::2], images @ kernel[a, b], rtol=1e-5)


def test_max_pool_equals_flax_with_gradient_and_drops_odd_lines():
  images = random(2, 5, 7, 3)

  def expected(images):
    return nn.max_pool(images, (2, 2), (2, 2))

  np.testing.assert_array_equal(max_pool(images), expected(images))
  found, wanted = (
    jax.grad(lambda x, f=f: jnp.sum(f(x) ** 2))(images) for f in (max_pool, expected)
  )
  np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_max_pool_gives_the_gradient_of_equal_pixels_to_the_first():
  gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 4, 1)))
  np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])


def test_aligned_upsampling_keeps_corners_and_is_linear_between_them():
  image = jnp.asarray([[0.0, 3.0], [6.0, 9.0]])[None, :, :, None]
  expected = np.arange(4) + 2.0 * np.arange(4)[:, None]
  np.testing.assert_allclose(upsample_aligned(image)[0, :, :, 0], expected, atol=1e-6)


def test_upsampling_equals_jax_and_depends_on_neighbours_alone():
  images = random(2, 5, 7, 3)
  expected = jax.image.resize(images, (2, 10, 14, 3), 'linear')
  np.testing.assert_allclose(upsample(images), expected, atol=1e-6)
  part = upsample(images[:, :, 2:6])
  np.testing.assert_allclose(part[:, :, 1:-1], expected[:, :, 5:11], atol=1e-6)


@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_batch_norm_has_zero_mean_and_unit_variance_per_channel(precision):
  images = (20 + 3 * random(4, 32, 32, 2)).astype(precision)
  exact = np.asarray(images, np.float64)
  expected = (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2))
  outputs = BatchNorm().apply({}, images)
  assert outputs.dtype == precision
  tolerance = 5e-3 if precision == 'float32' else 0.02  # statistics are float32 in both
  np.testing.assert_allclose(np.asarray(outputs, np.float64), expected, tolerance, tolerance)


def test_batch_norm_of_a_constant_image_is_finite():
  assert jnp.isfinite(BatchNorm().apply({}, jnp.full((1, 4, 4, 1), 7.0))).all()
