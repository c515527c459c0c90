"""3x3 convolutions and 2x2 stride-2 transposed convolutions, as the platform runs them best.

On CPU, XLA runs its own convolution inside a loop body about ten times slower than outside one, and
the inner loop is a loop; written as matrix products, convolutions keep their speed in loops and
under `vmap` over tasks (each with its own kernel). On GPU and TPU, XLA's own convolution is the
default.

Images are (B, H, W, C), 3x3 kernels (3, 3, C, D), zero padding keeps H and W.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from fscs.errors import InputError
from fscs.models.winograd import winograd

Lowering = Literal['auto', 'xla', 'patches', 'project', 'winograd']


def xla(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """XLA's own convolution."""
  return lax.conv_general_dilated(
    images, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def patches(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Nine shifted copies side by side, then one matrix product."""
  _, height, width, channels = images.shape
  padded = _pad(images)
  columns = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
  columns = jnp.concatenate(columns, axis=-1).reshape(-1, 9 * channels)
  return (columns @ kernel.reshape(9 * channels, -1)).reshape(*images.shape[:3], -1)


def project(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """One product to nine maps per output channel, shifted and added: for few output channels."""
  _, height, width, channels = images.shape
  maps = images.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  maps = _pad(maps.reshape(*images.shape[:3], 3, 3, -1))
  return sum(maps[:, i : i + height, j : j + width, i, j] for i in range(3) for j in range(3))


def _pad(images: jax.Array) -> jax.Array:
  border = [(0, 0), (1, 1), (1, 1)] + [(0, 0)] * (images.ndim - 3)
  return jnp.pad(images, border)


_LOWERINGS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
  'xla': xla,
  'patches': patches,
  'project': project,
  'winograd': winograd,
}


def best_lowering(kernel_shape: tuple[int, ...], backend: str, dtype: str = 'float32') -> str:
  """The fastest lowering measured for a kernel (3, 3, C, D) inside a training loop.

  Winograd adds numbers of either sign before it multiplies, which leaves little of the accuracy of
  less than float32: there it is left out.
  """
  if backend != 'cpu':
    return 'xla'
  _, _, channels, features = kernel_shape
  if features <= 4 < channels:
    return 'project'
  return 'winograd' if min(channels, features) >= 16 and dtype == 'float32' else 'patches'


def convolve(images: jax.Array, kernel: jax.Array, lowering: Lowering = 'auto') -> jax.Array:
  """(B, H, W, C) with a (3, 3, C, D) kernel to (B, H, W, D), by the lowering named.

  Raises:
    InputError: `lowering` is not one of `Lowering`.
  """
  if lowering not in get_args(Lowering):
    raise InputError(
      f'lowering {lowering!r} is unknown: use one of {", ".join(get_args(Lowering))}'
    )
  if lowering == 'auto':
    lowering = best_lowering(kernel.shape, jax.default_backend(), images.dtype.name)
  return _LOWERINGS[lowering](images, kernel)


def transposed_convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """2x2 stride-2 transposed convolution: windows do not overlap, so it is one matrix product.

  Args:
    images: (B, H, W, C).
    kernel: (2, 2, C, D).

  Returns:
    (B, 2H, 2W, D) with out[2i + a, 2j + b] = images[i, j] @ kernel[a, b].
  """
  batch, height, width, channels = images.shape
  features = kernel.shape[-1]
  blocks = images.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
  blocks = blocks.reshape(batch, height, width, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
  return blocks.reshape(batch, 2 * height, 2 * width, features)
