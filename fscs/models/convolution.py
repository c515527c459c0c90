"""3x3 convolutions and 2x2 stride-2 transposed convolutions in the fastest form for the platform.

On a CPU, XLA's convolution is about ten times slower inside a loop than outside, and the inner loop
is such a loop. As matrix products, convolutions stay fast in loops and under `vmap` over tasks with
different kernels. On GPU and TPU, XLA's convolution is the default.

Images are (B, H, W, C) and 3x3 kernels (3, 3, C, D); zero padding keeps H and W.
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
  """XLA's convolution."""
  return lax.conv_general_dilated(
    images, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def patches(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Concatenate nine shifted copies, then one matrix product (im2col)."""
  _, height, width, channels = images.shape
  padded = _pad(images)
  columns = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
  columns = jnp.concatenate(columns, axis=-1).reshape(-1, 9 * channels)
  return (columns @ kernel.reshape(9 * channels, -1)).reshape(*images.shape[:3], -1)


def project(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """One matrix product to nine maps per output channel, then shift and add them.

  Fast for few output channels.
  """
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
  """The lowering that measured fastest for a kernel (3, 3, C, D) inside a training loop.

  Winograd is used in float32 only: its sums lose too much accuracy in lower precision.

  >>> best_lowering((3, 3, 32, 64), 'cpu'), best_lowering((3, 3, 32, 1), 'cpu')
  ('winograd', 'project')
  """
  if backend != 'cpu':
    return 'xla'
  _, _, channels, features = kernel_shape
  if features <= 4 < channels:
    return 'project'
  return 'winograd' if min(channels, features) >= 16 and dtype == 'float32' else 'patches'


def convolve(images: jax.Array, kernel: jax.Array, lowering: Lowering = 'auto') -> jax.Array:
  """3x3 convolution of (B, H, W, C) with a (3, 3, C, D) kernel to (B, H, W, D).

  Raises:
    InputError: `lowering` is not one of `Lowering`.
  """
  if lowering not in get_args(Lowering):
    raise InputError(
      f'lowering {lowering!r}: expected one of {", ".join(get_args(Lowering))}',
      arguments=('lowering',),
    )
  name: str = lowering
  if name == 'auto':
    name = best_lowering(kernel.shape, jax.default_backend(), images.dtype.name)
  return _LOWERINGS[name](images, kernel)


def transposed_convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """2x2 stride-2 transposed convolution as one matrix product, since windows do not overlap.

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
