"""Grey values: from the channels of an image to 8 bits, and from 8 bits to the network's input."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from fscs.data.channels import Channel, luma, weighted_sum
from fscs.errors import InputError

PERCENTILES = (0.1, 99.9)  # of the grey values; they become 0 and 255
INNER_PERCENTILES = (1, 99)
MAX_TAIL = 3.0  # length of the tails between the two, relative to the inner range; else hot pixels
MIN_GAP = 2.0  # between a negative value without data and the others, relative to their range


def to_grey(image: np.ndarray, channel: Channel = None) -> np.ndarray:
  """One value per pixel, in the range of the image's own values.

  Args:
    image: (H, W) or (H, W, channels), bool, integers or floats.
    channel: number of a channel, counted from 0; weights of all channels; or None for the luma of
      RGB and RGBA (ITU-R BT.601).

  Returns:
    (H, W).

  Raises:
    InputError: another shape, no such channel, another number of channels than of weights, or
      values that are not finite.

  >>> to_grey(np.ones((2, 3, 3))).shape
  (2, 3)
  """
  image = np.asarray(image)
  if image.dtype.kind not in 'buif' or image.ndim not in (2, 3) or not image.size:
    raise InputError(
      f'image of shape {image.shape} and type {image.dtype}: expected numbers of shape (H, W) or'
      ' (H, W, channels)'
    )
  if image.dtype.kind == 'f' and not np.isfinite(image).all():
    count = np.count_nonzero(~np.isfinite(image))
    raise InputError(f'image has {count} pixels that are NaN or infinite: replace them')
  if image.ndim == 2:
    return image
  channels = image.shape[-1]
  if isinstance(channel, tuple):
    return weighted_sum(image, channel)
  if channel is not None:
    if not 0 <= channel < channels:
      raise InputError(
        f'channel {channel}: the image has {channels}, counted from 0', arguments=('channel',)
      )
    return image[..., channel]
  if channels == 1:
    return image[..., 0]
  if channels not in (3, 4):
    raise InputError(
      f'image has {channels} channels: choose one by its number, as channel=0',
      arguments=('channel',),
    )
  return luma(image)


def grey_limits(grey: np.ndarray) -> tuple[float, float]:
  """The grey values that become black and white; equal if the image is constant.

  They are the 0.1st and 99.9th percentile, or the extremes if fewer than 0.1 % of pixels differ.
  Negative pixels of one value far below all others, which hold no data, do not count. Nor do single
  hot or dead pixels if they alone would decide: percentiles are then those of medians over 3 x 3
  pixels.

  >>> np.round(grey_limits(np.arange(1001)), 3)
  array([  1., 999.])
  """
  values = _as_float(grey)
  low, inner_low, inner_high, high = _percentiles(values)
  tail = MAX_TAIL * (inner_high - inner_low)
  if high - inner_high > tail or inner_low - low > tail:
    low, _, _, high = _percentiles(ndimage.median_filter(values, 3))
  if high <= low:
    low, high = grey.min(), grey.max()
  return float(low), float(high)


def _percentiles(values: np.ndarray) -> tuple[float, float, float, float]:
  """The outer and inner percentiles of the pixels that hold data, ascending."""
  lowest = values.min()
  if lowest < 0:
    others = values[values > lowest]
    if len(others) and others.min() - lowest > MIN_GAP * (others.max() - others.min()):
      values = others
  (low, high), (inner_low, inner_high) = PERCENTILES, INNER_PERCENTILES
  found = np.percentile(values, (low, inner_low, inner_high, high))
  return tuple(float(value) for value in found)  # type: ignore[return-value]


def stretch(grey: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
  """Linear contrast stretching to 8 bits.

  Args:
    grey: (H, W), any numbers.
    limits: the grey values that become 0 and 255; by default `grey_limits` of the image.

  Returns:
    (H, W) uint8; zeros if the limits are equal.

  >>> stretch(np.array([[0, 5, 10]]), (0, 10))
  array([[  0, 128, 255]], dtype=uint8)
  """
  low, high = limits or grey_limits(grey)
  if high <= low:
    return np.zeros(grey.shape, np.uint8)
  scaled = (_as_float(grey) - low) * (255.0 / (high - low))
  return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _as_float(values: np.ndarray) -> np.ndarray:
  """float32, or float64 where float32 would round the values."""
  return values.astype(np.result_type(values.dtype, np.float32), copy=False)


def normalise(pixels: jax.Array) -> jax.Array:
  """Input of the networks: uint8 grey values to float32 in [-1, 1], (x / 255 - 0.5) / 0.5.

  >>> normalise(jnp.array([0, 255], jnp.uint8))
  Array([-1.,  1.], dtype=float32)
  """
  return pixels.astype(jnp.float32) / 127.5 - 1.0
