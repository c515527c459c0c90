"""From annotated images as they are on disk to sets of 8-bit grey values."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from skimage.transform import downscale_local_mean

from fscs.data.channels import luma
from fscs.data.image_sets import GreySet, ImageSet
from fscs.data.intensity import stretch
from fscs.errors import InputError

Protocol = Literal['corrected', 'paper']

# Grey values that become 0 and 255 in the corrected protocol. In BBBC039 (12-bit camera) the
# background is near 160 and 0.1 % of the pixels are above 1,455. Scaling the full 16-bit range
# would leave dim nuclei a few grey levels above the background.
INTENSITY_LIMITS = {'B39': (100, 1500)}


def to_grey8(image: np.ndarray, code: str, protocol: Protocol = 'corrected') -> np.ndarray:
  """8-bit grey values of an image of a data set.

  Args:
    image: (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16. Colours become their luma.
    code: of the data set, for `INTENSITY_LIMITS` and messages.
    protocol: 'corrected' scales 16-bit values from `INTENSITY_LIMITS`, or else from the full range;
      'paper' clips them at 255, as the published code does.

  Returns:
    (H, W) uint8.

  Raises:
    InputError: another shape or type.
  """
  if image.dtype not in (np.uint8, np.uint16) or image.shape[2:] not in ((), (3,), (4,)):
    raise InputError(
      f'{code}: image of shape {image.shape} and type {image.dtype}: expected (H, W), RGB or RGBA'
      ' of uint8 or uint16; fscs.data.stretch converts other grey values'
    )
  if image.ndim == 3:
    image = luma(image)
  if image.dtype == np.uint8:
    return image
  if protocol == 'paper':
    return np.minimum(image, 255).astype(np.uint8)
  return stretch(image, INTENSITY_LIMITS.get(code, (0, np.iinfo(image.dtype).max)))


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
  """Means over blocks of `factor` x `factor` pixels.

  Rows and columns that fill no block are cut off; channels are kept apart.

  Args:
    image: (H, W) or (H, W, channels).
    factor: whole number.

  Returns:
    (H // factor, W // factor) or with channels, float.

  >>> shrink(np.array([[0, 4], [8, 4]]), 2)
  array([[4.]])
  """
  height, width = (size // factor * factor for size in image.shape[:2])
  blocks = (factor, factor, 1)[: image.ndim]
  return downscale_local_mean(image[:height, :width], blocks)


def prepare(
  image_set: ImageSet, *, protocol: Protocol = 'corrected', downscale: int = 1
) -> GreySet:
  """8-bit grey values, scaled and stacked.

  Args:
    image_set: images of one size; mask values other than 0 are foreground.
    protocol: see `to_grey8`.
    downscale: whole factor by which images shrink. A mask pixel is foreground if at least half of
      its block is.

  Raises:
    InputError: images or masks differ in size, or as `to_grey8`.
  """
  images = [to_grey8(image, image_set.code, protocol) for image in image_set.images]
  masks = [mask > 0 for mask in image_set.masks]
  shapes = {image.shape for image in (*images, *masks)}
  if len(shapes) != 1:
    raise InputError(
      f'{image_set.code}: expected images and masks of one size, found {sorted(shapes)}'
    )
  if downscale > 1:
    images = [np.rint(shrink(image, downscale)) for image in images]
    masks = [shrink(mask, downscale) >= 0.5 for mask in masks]
  return GreySet(
    image_set.code,
    np.stack(images).astype(np.uint8),
    np.stack(masks).astype(np.uint8),
    image_set.names,
  )


def select_images(grey_set: GreySet, indices: Sequence[int] | np.ndarray) -> GreySet:
  """The images of these indices, in this order."""
  names = tuple(grey_set.names[i] for i in indices)
  return GreySet(grey_set.code, grey_set.images[indices], grey_set.masks[indices], names)
