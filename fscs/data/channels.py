"""From several channels to one grey value per pixel.

In colour images a single channel, or the luma, may not separate objects from background: stained
nuclei can be as dark as the tissue around them. The weighted sum of the channels that separates
them best is learned from the annotated pixels by linear discriminant analysis.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fscs.errors import InputError

Weights = tuple[float, ...]  # one per channel; their absolute values sum to 1
Channel = int | Weights | None  # a channel, a weighted sum of all, or None: the luma of RGB
ChannelChoice = int | Sequence[float] | Literal['learned', 'luma']  # see `choose_channel`

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)

MIN_GAIN = 1.2  # in Fisher's criterion, over the channel that is taken without learning
MIN_CRITERION = 0.25  # at this value the class means are half a standard deviation apart
SHRINKAGE = 0.01  # of the covariance matrix; keeps nearly equal channels from being subtracted
MAX_PIXELS = 1_000_000  # per image


def luma(colours: np.ndarray) -> np.ndarray:
  """The luma of red, green and blue (ITU-R BT.601).

  Args:
    colours: (..., 3) or more; channels after the third are ignored.

  Returns:
    (...) of the same type, rounded for integers.

  >>> luma(np.array([100, 0, 0], np.uint8))
  np.uint8(30)
  """
  total = weighted_sum(colours[..., :3], LUMA)
  return (total if colours.dtype.kind == 'f' else np.rint(total)).astype(colours.dtype)


def drop_alpha(image: np.ndarray) -> np.ndarray:
  """(H, W) or (H, W, channels) without the fourth of four channels."""
  return image[..., :3] if image.ndim == 3 and image.shape[2] == 4 else image


def choose_channel(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  choice: ChannelChoice = 'learned',
  *,
  rgb: bool = True,
) -> Channel:
  """What becomes the grey value of a pixel.

  Args:
    images: (H, W) or (H, W, channels) each, any numbers.
    masks: (H, W) each; above 0 is foreground.
    choice: a channel counted from 0, or weights of all channels, which are returned as they are;
      'luma' for the luma of RGB and the first channel of others; or 'learned' for the weights of
      `learn_weights`. If the images differ in their number of channels, nothing is learned.
    rgb: whether three channels are red, green and blue.

  Raises:
    InputError: the choice is none of these.

  >>> choose_channel([np.zeros((4, 4, 3))], [np.zeros((4, 4))], 'luma') is None
  True
  """
  if choice is None or isinstance(choice, int | np.integer):
    return None if choice is None else int(choice)
  if not isinstance(choice, str):
    return tuple(float(weight) for weight in choice)
  if choice not in ('learned', 'luma'):
    raise InputError(
      f"channel={choice!r}: expected a number from 0, weights, 'learned' or 'luma'",
      arguments=('channel',),
    )
  counts = {image.shape[2] if image.ndim == 3 else 1 for image in images}
  default = None if counts == {1} or (rgb and counts <= {1, 3}) else 0
  if choice == 'luma' or len(counts) > 1 or counts == {1}:
    return default
  return learn_weights(images, masks, default)


def learn_weights(
  images: Sequence[np.ndarray], masks: Sequence[np.ndarray], default: Channel
) -> Channel:
  """Weights of the channels by which foreground is bright and best separated from background.

  The weights maximise Fisher's criterion: the squared difference of the class means over the mean
  of the class variances.

  Args:
    images: (H, W, channels) each, equally many channels.
    masks: (H, W) each; above 0 is foreground.
    default: returned unless the weights reach `MIN_CRITERION` and `MIN_GAIN` times the criterion of
      the default.

  References:
    Fisher, Annals of Eugenics 7, 1936.
  """
  from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # takes a second to import

  pixels, foreground = _sample_pixels(images, masks)
  if not foreground.any() or foreground.all():
    return default
  analysis = LinearDiscriminantAnalysis(solver='lsqr', shrinkage=SHRINKAGE, priors=[0.5, 0.5])
  analysis.fit(pixels, foreground)
  weights = analysis.coef_[0]
  difference = analysis.means_[1] - analysis.means_[0]

  def criterion(weights: np.ndarray) -> float:
    variance = float(weights @ analysis.covariance_ @ weights)
    return float(weights @ difference) ** 2 / variance if variance else 0.0

  required = max(MIN_CRITERION, MIN_GAIN * criterion(_as_weights(default, len(weights))))
  if not weights.any() or criterion(weights) < required:
    return default
  return tuple(float(f'{weight:.6g}') for weight in weights / np.abs(weights).sum())


def weighted_sum(values: np.ndarray, weights: Weights) -> np.ndarray:
  """(..., channels) to (...), float32, or float64 of float64.

  Raises:
    InputError: the numbers of channels and weights differ; a fourth channel (alpha) is ignored.

  >>> float(weighted_sum(np.array([1.0, 3.0]), (0.5, 0.5)))
  2.0
  """
  count = values.shape[-1]
  if count != len(weights) and (count, len(weights)) != (4, 3):
    raise InputError(
      f'image has {count} channel(s), the annotated images had {len(weights)}: give images of the'
      ' same kind',
      arguments=('channel',),
    )
  # Term by term: a matrix product may round differently for regions of different sizes.
  total = np.zeros(values.shape[:-1], np.result_type(values.dtype, np.float32))
  for index, weight in enumerate(weights):
    total += weight * values[..., index].astype(total.dtype)
  return total


def _sample_pixels(
  images: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
  """(N, channels) float64 of at most `MAX_PIXELS` pixels per image, and (N,) foreground."""
  values, foreground = [], []
  for image, mask in zip(images, masks, strict=True):
    step = -(-mask.size // MAX_PIXELS)
    values.append(image.reshape(mask.size, -1)[::step].astype(np.float64))
    foreground.append(np.ravel(mask)[::step] > 0)
  return np.concatenate(values), np.concatenate(foreground)


def _as_weights(channel: Channel, count: int) -> np.ndarray:
  if channel is None:
    return np.array(LUMA)
  return np.eye(count)[channel] if isinstance(channel, int) else np.array(channel)
