"""Random changes of crops that leave a microscopy image plausible, inside jit.

Images are (B, H, H, 1) float32 in [-1, 1], and a little beyond once they are changed, masks alike
in {0, 1}; every crop of a batch is changed by itself.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from fscs.errors import named

Augment = Callable[[jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]  # key, crops
AugmentationName = Literal['none', 'mild', 'strong']


class Strength(NamedTuple):
  """How far crops are changed, beside flips and quarter turns."""

  gamma: float = 1.4  # grey values are raised to a power between 1 / gamma and gamma
  contrast: float = 1.3  # and their distance from the crop's mean multiplied, 1 / contrast to this
  noise: float = 0.05  # largest standard deviation of the noise added
  zoom: float = 1.25  # and crops shown between 1 / zoom and zoom times as large
  inversion: float = 0.0  # probability that dark and bright are exchanged
  blur: float = 0.0  # largest standard deviation of a Gaussian blur, in pixels


MILD = Strength()

# mild keeps a crop an image of its own kind, for fine-tuning; strong makes other kinds of it, for
# training on sources.
STRENGTHS: dict[AugmentationName, Strength | None] = {
  'none': None,
  'mild': MILD,
  'strong': Strength(gamma=2.0, contrast=2.0, noise=0.1, zoom=1.6, inversion=0.3, blur=1.5),
}


def make_augment(name: AugmentationName) -> Augment | None:
  """The augmentation of that name, a function of (key, images, masks); None for none.

  Raises:
    InputError: there is no such augmentation.
  """
  strength = named(STRENGTHS, name, 'augmentation')
  return strength and functools.partial(augment, strength=strength)


def augment(
  key: jax.Array, images: jax.Array, masks: jax.Array, strength: Strength = MILD
) -> tuple[jax.Array, jax.Array]:
  """Flips, quarter turns, zoom, gamma, contrast and noise; inversion and blur where asked for."""
  one = functools.partial(_augment_one, strength=strength)
  return jax.vmap(one)(jax.random.split(key, len(images)), images, masks)


def _augment_one(
  key: jax.Array, image: jax.Array, mask: jax.Array, strength: Strength
) -> tuple[jax.Array, jax.Array]:
  turn_key, zoom_key, grey_key = jax.random.split(key, 3)
  both = jnp.concatenate([image, mask], axis=-1)
  both = _zoom(zoom_key, _turn(turn_key, both), strength.zoom)
  return _change_grey(grey_key, both[..., :1], strength), (both[..., 1:] >= 0.5).astype(mask.dtype)


def _turn(key: jax.Array, image: jax.Array) -> jax.Array:
  """One of the eight symmetries of the square."""
  across, down, transposed = jax.random.bernoulli(key, shape=(3,))
  image = jnp.where(across, image[:, ::-1], image)
  image = jnp.where(down, image[::-1], image)
  return jnp.where(transposed, image.swapaxes(0, 1), image)


def _zoom(key: jax.Array, image: jax.Array, largest: float) -> jax.Array:
  """The image enlarged or shrunk about a random point; what is missing is mirrored."""
  zoom_key, shift_key = jax.random.split(key)
  size = image.shape[0]
  border = int(size * (largest - 1) / 2) + 1
  padded = jnp.pad(image, ((border, border), (border, border), (0, 0)), mode='reflect')
  zoom = largest ** jax.random.uniform(zoom_key, minval=-1.0, maxval=1.0)
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


def _change_grey(key: jax.Array, image: jax.Array, strength: Strength) -> jax.Array:
  keys = jax.random.split(key, 6)
  gamma_key, contrast_key, sigma_key, noise_key, inversion_key, blur_key = keys
  if strength.inversion:
    inverted = jax.random.bernoulli(inversion_key, strength.inversion)
    image = jnp.where(inverted, -image, image)
  if strength.blur:
    image = _blur(blur_key, image, strength.blur)
  gamma = strength.gamma ** jax.random.uniform(gamma_key, minval=-1.0, maxval=1.0)
  contrast = strength.contrast ** jax.random.uniform(contrast_key, minval=-1.0, maxval=1.0)
  grey = 2 * jnp.clip((image + 1) / 2, 0.0, 1.0) ** gamma - 1
  grey = grey.mean() + contrast * (grey - grey.mean())
  sigma = jax.random.uniform(sigma_key, maxval=strength.noise)
  return grey + sigma * jax.random.normal(noise_key, image.shape)


def _blur(key: jax.Array, image: jax.Array, largest: float) -> jax.Array:
  """The image under a Gaussian of random width, mirrored at its edges: two banded products."""
  sigma = jax.random.uniform(key, minval=0.1, maxval=largest)
  radius = int(3 * largest)
  weights = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1) / sigma) ** 2)
  weights = weights / weights.sum()
  size = image.shape[0]
  places = jnp.arange(size)[:, None] + jnp.arange(-radius, radius + 1)
  mirrored = size - 1 - jnp.abs(size - 1 - jnp.abs(places))
  band = jnp.zeros((size, size)).at[jnp.arange(size)[:, None], mirrored].add(weights)
  return (band @ image[..., 0] @ band.T)[..., None]
