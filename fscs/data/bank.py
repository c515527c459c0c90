"""Banks: the images of all sources on the device, from which crops are cut inside jit.

All images lie in one flat array of pixels, whatever their sizes. A table says where each admissible
crop begins and how long the rows of its image are. One dynamic index then names a source, and the
same code cuts crops for one task, under `vmap` and in loops.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fscs.data.crops import crop_corners
from fscs.data.image_sets import GreySet
from fscs.data.intensity import normalise
from fscs.errors import InputError


class Bank(NamedTuple):
  """P pixels, C admissible crops and S sources."""

  pixels: jax.Array  # (P,) uint8: grey values of all images, row by row
  masks: jax.Array  # (P,) uint8 in {0, 1}
  corner: jax.Array  # (C,) int32: index into pixels of the crop's upper left pixel
  pitch: jax.Array  # (C,) int32: row length of the crop's image
  first: jax.Array  # (S,) int32: number of the source's first crop
  count: jax.Array  # (S,) int32: number of its crops


# Of the arrays of a padded bank: four million pixels, 16 thousand crops, 16 sources.
_LEAST_SIZES = (2**22, 2**22, 2**14, 2**14, 2**4, 2**4)


def make_bank(
  grey_sets: Sequence[GreySet],
  *,
  crop_size: int,
  strides: Sequence[tuple[int, int]],
  min_foreground: int,
) -> Bank:
  """A bank of the sets, one source each.

  Args:
    grey_sets: the sources.
    crop_size: side of the crops in pixels.
    strides: (rows, columns) between crops, one pair per source.
    min_foreground: least number of foreground pixels in a crop.

  Raises:
    InputError: a source has no admissible crop, or crops are larger than its images.
  """
  tables = []
  for grey_set, stride in zip(grey_sets, strides, strict=True):
    try:
      table = crop_corners(grey_set.masks, crop_size, stride, min_foreground)
    except InputError as error:
      raise InputError(f'{grey_set.code}: {error}', arguments=error.arguments) from error
    if not len(table):
      raise InputError(
        f'{grey_set.code}: no crop of {crop_size} x {crop_size} pixels has {min_foreground}'
        ' foreground pixels: lower min_foreground',
        arguments=('min_foreground',),
      )
    tables.append(table)
  return bank_from_corners(grey_sets, tables)


def bank_from_corners(grey_sets: Sequence[GreySet], corners: Sequence[np.ndarray]) -> Bank:
  """A bank of the sets, one source each, with the crops given.

  Args:
    grey_sets: the sources.
    corners: (C, 3) image, row, column of the crops of each source.

  Raises:
    InputError: the sources have 2**31 pixels or more.
  """
  offset, starts, pitches, counts = 0, [], [], []
  for grey_set, table in zip(grey_sets, corners, strict=True):
    _, height, width = grey_set.masks.shape
    image, row, column = table.T.astype(np.int64)
    starts.append(offset + (image * height + row) * width + column)
    pitches.append(np.full(len(table), width))
    counts.append(len(table))
    offset += grey_set.masks.size
  if offset > np.iinfo(np.int32).max:
    raise InputError(
      f'the sources have {offset:,} pixels, more than 2**31: shrink the images',
      arguments=('downscale',),
    )
  count = np.array(counts)
  arrays = (
    np.concatenate([s.images.ravel() for s in grey_sets]),
    np.concatenate([s.masks.ravel() for s in grey_sets]),
    np.concatenate(starts).astype(np.int32),
    np.concatenate(pitches).astype(np.int32),
    (count.cumsum() - count).astype(np.int32),
    count.astype(np.int32),
  )
  return Bank(*jax.device_put(arrays))


def pad_bank(bank: Bank) -> Bank:
  """The bank with its arrays padded to few sizes, so that most banks share one program.

  The sizes are `_LEAST_SIZES`, and these times powers of four.
  """

  def pad(array: jax.Array, size: int) -> np.ndarray:
    while size < len(array):
      size *= 4
    return np.pad(array, (0, size - len(array)))  # jnp.pad would be compiled for every length

  return Bank(*jax.device_put([pad(*pair) for pair in zip(bank, _LEAST_SIZES, strict=True)]))


def take_crops(bank: Bank, crops: jax.Array, crop_size: int) -> tuple[jax.Array, jax.Array]:
  """Crops by their numbers.

  Args:
    bank: the images.
    crops: (B,) int32, rows of the bank's table.
    crop_size: side of the crops, as the bank was made for.

  Returns:
    images (B, crop_size, crop_size, 1) float32 in [-1, 1], and masks of that shape in {0, 1}.
  """
  starts = bank.corner[crops][:, None] + bank.pitch[crops][:, None] * jnp.arange(crop_size)

  def cut(flat: jax.Array) -> jax.Array:
    def row(start: jax.Array) -> jax.Array:
      return jax.lax.dynamic_slice(flat, (start,), (crop_size,))

    return jax.vmap(jax.vmap(row))(starts)[..., None]

  return normalise(cut(bank.pixels)), cut(bank.masks).astype(jnp.float32)


def sample_crops(
  key: jax.Array, bank: Bank, source: jax.Array, num_crops: int, crop_size: int
) -> tuple[jax.Array, jax.Array]:
  """Crops of one source, drawn uniformly with replacement.

  Args:
    key: random key.
    bank: the images.
    source: number of the source; may be traced.
    num_crops: crops to draw.
    crop_size: side of the crops, as the bank was made for.

  Returns:
    images and masks, as `take_crops`.
  """
  number = jax.random.randint(key, (num_crops,), 0, bank.count[source])
  return take_crops(bank, bank.first[source] + number, crop_size)
