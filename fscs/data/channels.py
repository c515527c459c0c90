"""One value per pixel of an image with several channels. NumPy only.

Colours tell stained nuclei from pink tissue that is as dark, which no single channel and no luma
does. Which weighted sum of the channels tells best is learned from the annotated images, in closed
form.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import numpy as np

from fscs.errors import InputError

Weights = tuple[float, ...]  # of the channels, their absolute values sum to 1
Channel = int | Weights | None  # one of them, a weighted sum, or None: luma of colours
Choice = int | Sequence[float] | Literal['learned', 'luma']  # see `choose`

# ITU-R BT.601 weights of red, green and blue.
LUMA = (0.299, 0.587, 0.114)

LEAST_GAIN = 1.2  # in Fisher's criterion, over what is taken without learning
LEAST_CRITERION = 0.25  # below, the means differ by less than half a standard deviation
SHRINKAGE = 0.01  # of the covariance towards a multiple of the identity
MAX_PIXELS = 1_000_000  # per image, that are learned from


def without_alpha(image: np.ndarray) -> np.ndarray:
  """(H, W) or (H, W, channels) without the fourth of four channels."""
  return image[..., :3] if image.ndim == 3 and image.shape[2] == 4 else image


def choose(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  choice: Choice = 'learned',
  *,
  colour: bool = True,
) -> Channel:
  """What becomes the grey value of a pixel.

  Args:
    images: (H, W) or (H, W, channels) each, of any numbers.
    masks: (H, W) each, above 0 is foreground.
    choice: a channel from 0 or weights, which are given back; 'luma' (of colours, and else the
      first channel); or 'learned': the weighted sum of `learn`, where it tells foreground clearly
      better than that. Where images differ in their number of channels, nothing is learned.
    colour: whether 3 channels are red, green and blue.

  Raises:
    InputError: the choice is none of these.
  """
  if choice is None or isinstance(choice, Integral):
    return None if choice is None else int(choice)
  if not isinstance(choice, str):
    return tuple(float(weight) for weight in choice)
  if choice not in ('learned', 'luma'):
    raise InputError(f"channel={choice!r}: a number from 0, weights, 'learned' or 'luma' is needed")
  counts = {image.shape[2] if image.ndim == 3 else 1 for image in images}
  plain = None if counts == {1} or (colour and counts <= {1, 3}) else 0
  if choice == 'luma' or len(counts) > 1 or counts == {1}:
    return plain
  return learn(images, masks, plain)


def learn(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], plain: Channel) -> Channel:
  """Weights of the channels by which foreground is bright and differs most from background.

  They maximise Fisher's criterion, the squared difference of the two means over the mean of the two
  variances (Fisher, Annals of Eugenics 7, 1936), with a covariance that is shrunk a little, so that
  channels which are nearly copies of each other are not subtracted.

  Args:
    images: (H, W, channels) each, as many channels in all.
    masks: (H, W) each, above 0 is foreground.
    plain: what is taken unless weights have `LEAST_GAIN` times its criterion, and tell anything.
  """
  pixels, truth = _pixels(images, masks)
  if not truth.any() or truth.all():
    return plain
  inside, outside = pixels[truth], pixels[~truth]
  difference = inside.mean(0) - outside.mean(0)
  covariance = (_covariance(inside) + _covariance(outside)) / 2
  count = len(difference)
  covariance += SHRINKAGE * max(np.trace(covariance) / count, 1e-12) * np.eye(count)
  weights = np.linalg.solve(covariance, difference)

  def criterion(weights: np.ndarray) -> float:
    return float((weights @ difference) ** 2 / (weights @ covariance @ weights))

  if not weights.any():
    return plain
  if criterion(weights) < max(LEAST_CRITERION, LEAST_GAIN * criterion(_as_weights(plain, count))):
    return plain
  return tuple(float(f'{weight:.6g}') for weight in weights / np.abs(weights).sum())


def weighted(values: np.ndarray, weights: Weights) -> np.ndarray:
  """(..., channels) to (...) float32 (float64 of float64): the weighted sum.

  Raises:
    InputError: another number of channels than weights; alpha, a fourth, may be besides.
  """
  count = values.shape[-1]
  if count != len(weights) and (count, len(weights)) != (4, 3):
    raise InputError(
      f'an image has {count} channel(s), and the annotated ones had {len(weights)}: give images of'
      ' the same kind'
    )
  # Term by term, because the rounding of a matrix product may depend on the size of the region.
  dtype = np.result_type(values.dtype, np.float32)
  return sum(weight * values[..., i].astype(dtype) for i, weight in enumerate(weights))


def _pixels(images, masks) -> tuple[np.ndarray, np.ndarray]:
  """(N, channels) float64 of some pixels of all images, and (N,) whether they are foreground."""
  values, truth = [], []
  for image, mask in zip(images, masks, strict=True):
    step = -(-mask.size // MAX_PIXELS)
    values.append(image.reshape(mask.size, -1)[::step].astype(np.float64))
    truth.append(np.ravel(mask)[::step] > 0)
  return np.concatenate(values), np.concatenate(truth)


def _covariance(pixels: np.ndarray) -> np.ndarray:
  """(channels, channels)."""
  centred = pixels - pixels.mean(0)
  return centred.T @ centred / len(pixels)


def _as_weights(channel: Channel, count: int) -> np.ndarray:
  if channel is None:
    return np.array(LUMA)
  return np.eye(count)[channel] if isinstance(channel, int) else np.array(channel)
