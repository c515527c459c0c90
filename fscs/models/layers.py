"""Layers of the networks. Images are (B, H, W, C).

Parameters are float32. Convolutions compute and return activations in their `precision`. Batch norm
computes in float32 and returns the type of its input.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fscs.errors import lookup
from fscs.models.convolution import Lowering, convolve, transposed_convolve

NORM_EPSILON = 1e-5

Precision = Literal['float32', 'bfloat16']


def kernel_initialiser(name: str) -> nn.initializers.Initializer:
  """Initialiser of kernels: 'normal' is the paper's N(0, 1), 'he' is He's normal.

  Raises:
    InputError: the name is unknown.
  """
  known = {'normal': nn.initializers.normal(1.0), 'he': nn.initializers.he_normal()}
  return lookup(known, name, 'kernel_init')


class Convolution(nn.Module):
  """3x3 convolution with zero padding: (B, H, W, C) to (B, H, W, features)."""

  features: int
  use_bias: bool = False
  kernel_init: str = 'normal'
  lowering: Lowering = 'auto'
  precision: Precision = 'float32'

  @nn.compact
  def __call__(self, *images: jax.Array) -> jax.Array:
    """Convolve the concatenation of the images along channels.

    Each image is convolved with its part of the kernel and the results are added, which avoids a
    copy.
    """
    channels = [x.shape[-1] for x in images]
    shape = (3, 3, sum(channels), self.features)
    kernel = self.param('kernel', kernel_initialiser(self.kernel_init), shape)
    kernels = jnp.split(kernel, np.cumsum(channels)[:-1], axis=2)
    pairs = zip(images, kernels, strict=True)
    outputs = sum(
      convolve(x.astype(self.precision), k.astype(self.precision), self.lowering) for x, k in pairs
    )
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      outputs += bias.astype(self.precision)
    return outputs


class TransposedConvolution(nn.Module):
  """2x2 stride-2 transposed convolution: (B, H, W, C) to (B, 2H, 2W, features)."""

  features: int
  kernel_init: str = 'normal'
  precision: Precision = 'float32'

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (2, 2, images.shape[-1], self.features)
    kernel = self.param('kernel', kernel_initialiser(self.kernel_init), shape)
    return transposed_convolve(images.astype(self.precision), kernel.astype(self.precision))


class BatchNorm(nn.Module):
  """Batch normalisation by the statistics of the current batch, without running statistics.

  With `affine`, it has a scale and a bias per channel; the bias is initially 0. If the collection
  'statistics' is given, its mean and variance are used instead of the batch's. If that collection
  is mutable, the statistics of the batch are stored in it.
  """

  affine: bool = False
  initial_scale: float = 0.1  # as in the published code

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    precision, images = images.dtype, images.astype(jnp.float32)
    axes = tuple(range(images.ndim - 1))
    if self.has_variable('statistics', 'mean'):
      mean = self.get_variable('statistics', 'mean')
      variance = self.get_variable('statistics', 'variance')
    else:
      mean = images.mean(axes)
      variance = jnp.maximum(jnp.square(images).mean(axes) - jnp.square(mean), 0.0)
      if self.is_mutable_collection('statistics'):
        self.put_variable('statistics', 'mean', mean)
        self.put_variable('statistics', 'variance', variance)
    factor = jax.lax.rsqrt(variance + NORM_EPSILON)
    if self.affine:
      factor *= self.param('scale', nn.initializers.constant(self.initial_scale), mean.shape)
    outputs = (images - mean) * factor
    if self.affine:
      outputs += self.param('bias', nn.initializers.zeros, mean.shape)
    return outputs.astype(precision)


def max_pool(images: jax.Array) -> jax.Array:
  """2x2 stride-2 maximum: (B, H, W, C) to (B, H // 2, W // 2, C); an odd last line is dropped.

  The gradient goes to exactly one pixel of a window, the first in reading order among equal ones.
  Written as comparisons of pairs for two reasons: the gradient of `reduce_window` is a slow scatter
  on a CPU, and the gradient of `max` over a reshaped axis may miss a maximum that the compiler
  rounded differently.

  >>> max_pool(jnp.arange(8.0).reshape(1, 2, 4, 1)).ravel()
  Array([5., 7.], dtype=float32)
  """
  _, height, width, _ = images.shape
  images = images[:, : height // 2 * 2, : width // 2 * 2]
  images = _larger(images[:, :, ::2], images[:, :, 1::2])
  return _larger(images[:, ::2], images[:, 1::2])


def _larger(one: jax.Array, other: jax.Array) -> jax.Array:
  return jnp.where(one >= other, one, other)


def upsample_aligned(images: jax.Array) -> jax.Array:
  """Bilinear x2 up-sampling with aligned corners: (B, H, W, C) to (B, 2H, 2W, C).

  Output row r is interpolated at input row r (H - 1) / (2H - 1): the corner pixels of input and
  output coincide.

  >>> upsample_aligned(jnp.array([0.0, 3.0]).reshape(1, 1, 2, 1))[0, 0].ravel()
  Array([0., 1., 2., 3.], dtype=float32)
  """

  def weights(index: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    return index / (2 * size - 1), (size - 1 - index) / (2 * size - 1)

  return _upsample(_upsample(images, 1, weights), 2, weights)


def upsample(images: jax.Array) -> jax.Array:
  """Bilinear x2 up-sampling with half-pixel centres: (B, H, W, C) to (B, 2H, 2W, C).

  Output row r is interpolated at input row (r - 1/2) / 2, clamped to the image. The positions do
  not depend on the size of the image.

  >>> upsample(jnp.array([0.0, 4.0]).reshape(1, 1, 2, 1))[0, 0].ravel()
  Array([0., 1., 3., 4.], dtype=float32)
  """

  def weights(index: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    return jnp.where(index > 0, 0.25, 0.0), jnp.where(index < size - 1, 0.25, 0.0)

  return _upsample(_upsample(images, 1, weights), 2, weights)


def _upsample(images: jax.Array, axis: int, weights: Callable) -> jax.Array:
  """Up-sampling of one axis: output 2k from inputs k - 1 and k, output 2k + 1 from k and k + 1.

  Shifted copies replace a gather, whose gradient is a slow scatter.

  Args:
    images: (B, H, W, C).
    axis: 1 or 2.
    weights: maps (indices k, size) to the weights of input k - 1 in output 2k and of input k + 1 in
      output 2k + 1.
  """
  size = images.shape[axis]
  shape = [1] * images.ndim
  shape[axis] = size
  index = jnp.arange(size, dtype=images.dtype).reshape(shape)
  of_previous, of_next = (w.astype(images.dtype) for w in weights(index, size))
  even = images + of_previous * (_shift(images, 1, axis) - images)
  odd = images + of_next * (_shift(images, -1, axis) - images)
  doubled = [*images.shape[:axis], 2 * size, *images.shape[axis + 1 :]]
  return jnp.stack([even, odd], axis=axis + 1).reshape(doubled)


def _shift(images: jax.Array, by: int, axis: int) -> jax.Array:
  """The images shifted by one pixel (1 or -1) along an axis, zeros at the border."""
  padding = [(0, 0, 0)] * images.ndim
  padding[axis] = (by, -by, 0)
  return jax.lax.pad(images, jnp.zeros((), images.dtype), padding)
