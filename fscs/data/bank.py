"""Banks of images on the device, and episodes drawn from them inside jit.

All sources lie in one flat array of pixels, whatever the sizes of their images; a table says where
each admissible crop begins and how long its image's rows are. So one dynamic index names a source,
and drawing crops is the same code for one task, for `vmap` and for `lax.map`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fscs.data.preprocessing import GreySet, crop_corners
from fscs.errors import InputError
from fscs.typing import Episode


class Bank(NamedTuple):
  """P pixels, C admissible crops and S sources."""

  pixels: jax.Array  # (P,) uint8: grey values of all images, row by row
  masks: jax.Array  # (P,) uint8 in {0, 1}
  corner: jax.Array  # (C,) int32: index into pixels of the crop's upper left pixel
  pitch: jax.Array  # (C,) int32: length of a row of the crop's image
  first: jax.Array  # (S,) int32: the source's first crop
  count: jax.Array  # (S,) int32: how many crops it has


def make_bank(
  grey_sets: Sequence[GreySet],
  *,
  crop_size: int,
  strides: Sequence[tuple[int, int]],
  min_foreground: int,
) -> Bank:
  """Put the sets on the device, one source each, with tables of their admissible crops.

  Args:
    grey_sets: the sources.
    crop_size: side of the crops in pixels.
    strides: (rows, columns) between crops, one pair per source.
    min_foreground: foreground pixels that a crop needs at least.

  Raises:
    InputError: a source has no admissible crop, or crops are larger than its images.
  """
  tables = []
  for grey_set, stride in zip(grey_sets, strides, strict=True):
    try:
      table = crop_corners(grey_set.masks, crop_size, stride, min_foreground)
    except InputError as error:
      raise InputError(f'{grey_set.code}: {error}') from error
    if not len(table):
      raise InputError(
        f'{grey_set.code}: no crop of {crop_size} x {crop_size} pixels has {min_foreground}'
        ' foreground pixels: lower --min-foreground'
      )
    tables.append(table)
  return bank_of(grey_sets, tables)


def bank_of(grey_sets: Sequence[GreySet], tables: Sequence[np.ndarray]) -> Bank:
  """Put the sets on the device, one source each, with a table (C, 3) of crops for each.

  Raises:
    InputError: the sets are too large.
  """
  offset, corners, pitches, counts = 0, [], [], []
  for grey_set, table in zip(grey_sets, tables, strict=True):
    _, height, width = grey_set.masks.shape
    image, row, column = table.T.astype(np.int64)
    corners.append(offset + (image * height + row) * width + column)
    pitches.append(np.full(len(table), width))
    counts.append(len(table))
    offset += grey_set.masks.size
  if offset > np.iinfo(np.int32).max:
    raise InputError(f'the sources have {offset:,} pixels, more than 2**31: raise --downscale')
  counts = np.array(counts)
  return Bank(
    pixels=jnp.asarray(np.concatenate([s.images.ravel() for s in grey_sets])),
    masks=jnp.asarray(np.concatenate([s.masks.ravel() for s in grey_sets])),
    corner=jnp.asarray(np.concatenate(corners), jnp.int32),
    pitch=jnp.asarray(np.concatenate(pitches), jnp.int32),
    first=jnp.asarray(counts.cumsum() - counts, jnp.int32),
    count=jnp.asarray(counts, jnp.int32),
  )


def normalise(pixels: jax.Array) -> jax.Array:
  """uint8 grey values to float32 in [-1, 1]: (x / 255 - 0.5) / 0.5."""
  return pixels.astype(jnp.float32) / 127.5 - 1.0


def take_crops(bank: Bank, crops: jax.Array, crop_size: int) -> tuple[jax.Array, jax.Array]:
  """Crops of the table by number.

  Args:
    bank: the images.
    crops: (B,) int32, rows of the bank's table.
    crop_size: side of the crops; the one the bank was made for.

  Returns:
    images (B, crop_size, crop_size, 1) float32 in [-1, 1] and masks alike in {0, 1}.
  """
  starts = bank.corner[crops][:, None] + bank.pitch[crops][:, None] * jnp.arange(crop_size)

  def rows_of(flat: jax.Array) -> jax.Array:
    row = lambda start: jax.lax.dynamic_slice(flat, (start,), (crop_size,))  # noqa: E731
    return jax.vmap(jax.vmap(row))(starts)[..., None]

  return normalise(rows_of(bank.pixels)), rows_of(bank.masks).astype(jnp.float32)


def sample_crops(
  key: jax.Array, bank: Bank, source: jax.Array, num_crops: int, crop_size: int
) -> tuple[jax.Array, jax.Array]:
  """`num_crops` crops of one source, drawn uniformly with replacement; shapes as `take_crops`."""
  number = jax.random.randint(key, (num_crops,), 0, bank.count[source])
  return take_crops(bank, bank.first[source] + number, crop_size)


def sample_episode(
  key: jax.Array, bank: Bank, source: jax.Array, *, num_crops: int, crop_size: int
) -> Episode:
  """An episode of one source, with crops of two other sources, drawn independently, beside it.

  The two may coincide but are never `source` itself, unless the bank has no other.
  """
  own_key, *other_keys = jax.random.split(key, 3)
  images, masks = sample_crops(own_key, bank, source, num_crops, crop_size)

  def crops_of_another(key: jax.Array) -> jax.Array:
    num_sources = bank.first.shape[0]
    source_key, crop_key = jax.random.split(key)
    shift = jax.random.randint(source_key, (), 1, max(num_sources, 2))
    other = (source + shift) % num_sources
    return sample_crops(crop_key, bank, other, num_crops, crop_size)[0]

  return Episode(images, masks, *map(crops_of_another, other_keys))
