"""Episodes: what one task of the inner loop sees."""

import jax

from fscs.data.bank import Bank, sample_crops
from fscs.typing import Episode


def sample_episode(
  key: jax.Array, bank: Bank, source: jax.Array, *, num_crops: int, crop_size: int
) -> Episode:
  """Crops of one source, with crops of two other sources for the regularisers.

  S_p and S_n are drawn independently and uniformly from the other sources, so they may coincide.
  They are the source itself only if the bank has no other.

  Args:
    key: random key.
    bank: the sources.
    source: number of the task's source; may be traced.
    num_crops: crops per field, B.
    crop_size: side of the crops, as the bank was made for.

  Returns:
    Episode of (B, crop_size, crop_size, 1) arrays.

  References:
    Dawoud et al., ECML-PKDD 2020, section 3.
  """
  own_key, *other_keys = jax.random.split(key, 3)
  images, masks = sample_crops(own_key, bank, source, num_crops, crop_size)

  def crops_of_another(key: jax.Array) -> jax.Array:
    num_sources = bank.first.shape[0]
    source_key, crop_key = jax.random.split(key)
    shift = jax.random.randint(source_key, (), 1, max(num_sources, 2))
    other = (source + shift) % num_sources
    return sample_crops(crop_key, bank, other, num_crops, crop_size)[0]

  distillation_images, entropy_images = map(crops_of_another, other_keys)
  return Episode(images, masks, distillation_images, entropy_images)
