"""Random changes of crops that keep a microscopy image plausible, inside jit.

Images are (B, H, H, 1) float32 in [-1, 1], and may slightly exceed it afterwards; masks have the
same shape and values in {0, 1}. Every crop of a batch is changed independently.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from fscs.errors import lookup

Augment = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]  # key, crops
AugmentationName = Literal['none', 'mild']

GAMMA = 1.4  # grey values are raised to a power between 1 / GAMMA and GAMMA
CONTRAST = 1.3  # their distance from the crop's mean is multiplied, 1 / CONTRAST to CONTRAST
NOISE = 0.05  # largest standard deviation of the added noise
ZOOM = 1.25  # crops are shown between 1 / ZOOM and ZOOM times as large


def make_augment(name: AugmentationName) -> Augment | None:
  """An augmentation by name: 'mild' is `augment`, 'none' is None.

  Raises:
    InputError: there is no such augmentation.
  """
  table: dict[str, Augment | None] = {'none': None, 'mild': augment}
  return lookup(table, name, 'augmentation')


def augment(key: jax.Array, images: jax.Array, masks: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Flips, quarter turns, zoom, gamma, contrast and noise.

  Args:
    key: random key.
    images: (B, H, H, 1) float32 in [-1, 1].
    masks: (B, H, H, 1) in {0, 1}.

  Returns:
    Images and masks of the same shapes.
  """
  return jax.vmap(_augment_one)(jax.random.split(key, len(images)), images, masks)


def _augment_one(key: jax.Array, image: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
  turn_key, zoom_key, grey_key = jax.random.split(key, 3)
  both = jnp.concatenate([image, mask], axis=-1)
  both = _zoom(zoom_key, _turn(turn_key, both))
  return _change_grey(grey_key, both[..., :1]), (both[..., 1:] >= 0.5).astype(mask.dtype)


def _turn(key: jax.Array, image: jax.Array) -> jax.Array:
  """One of the eight symmetries of the square."""
  horizontal, vertical, transposed = jax.random.bernoulli(key, shape=(3,))
  image = jnp.where(horizontal, image[:, ::-1], image)
  image = jnp.where(vertical, image[::-1], image)
  return jnp.where(transposed, image.swapaxes(0, 1), image)


def _zoom(key: jax.Array, image: jax.Array) -> jax.Array:
  """The image enlarged or shrunk about a random point, reflected at its edges."""
  zoom_key, shift_key = jax.random.split(key)
  size = image.shape[0]
  border = int(size * (ZOOM - 1) / 2) + 1
  padded = jnp.pad(image, ((border, border), (border, border), (0, 0)), mode='reflect')
  zoom = ZOOM ** jax.random.uniform(zoom_key, minval=-1.0, maxval=1.0)
  room = jnp.maximum(size * (zoom - 1) / 2, 0.0)
  shift = jax.random.uniform(shift_key, (2,), minval=-1.0, maxval=1.0) * room
  centre = border + size / 2
  return jax.image.scale_and_translate(
    padded,
    (size, size, image.shape[-1]),
    (0, 1),
    jnp.full(2, zoom),
    size / 2 - centre * zoom + shift,
    method='linear',
    antialias=False,
  )


def _change_grey(key: jax.Array, image: jax.Array) -> jax.Array:
  gamma_key, contrast_key, sigma_key, noise_key = jax.random.split(key, 4)
  gamma = GAMMA ** jax.random.uniform(gamma_key, minval=-1.0, maxval=1.0)
  contrast = CONTRAST ** jax.random.uniform(contrast_key, minval=-1.0, maxval=1.0)
  grey = 2 * jnp.clip((image + 1) / 2, 0.0, 1.0) ** gamma - 1
  grey = grey.mean() + contrast * (grey - grey.mean())
  sigma = jax.random.uniform(sigma_key, maxval=NOISE)
  return grey + sigma * jax.random.normal(noise_key, image.shape)
