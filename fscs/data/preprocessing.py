"""From annotated images as they are on disk to 8-bit grey arrays and tables of crops. NumPy only.

Images become uint8 (N, H, W); positions are (row, column).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from skimage.transform import downscale_local_mean

from fscs.data.channels import LUMA
from fscs.errors import InputError
from fscs.typing import ImageSet

Protocol = Literal['corrected', 'paper']

# Grey values that become 0 and 255 in the corrected protocol. BBBC039's 12-bit camera has its
# background near 160 and 0.1 % of its pixels above 1,455; the whole range in 8 bits would leave
# dim nuclei only a few grey levels above the background.
INTENSITY_LIMITS = {'B39': (100, 1500)}

SOME_CROPS = 64  # that stand for all

# Distance between crops at full resolution in (rows, columns): the paper's.
SOURCE_STRIDES = {
  'B5': (140, 140),
  'B39': (55, 55),
  'EM': (85, 85),
  'TNBC': (20, 20),
  'ssTEM': (32, 32),
}
FINETUNE_STRIDES = {
  'B5': (30, 30),
  'B39': (50, 26),
  'EM': (30, 30),
  'TNBC': (28, 28),
  'ssTEM': (30, 30),
}


class GreySet(NamedTuple):
  """Annotated images of one kind and one size, ready for the device."""

  code: str
  images: np.ndarray  # (N, H, W) uint8
  masks: np.ndarray  # (N, H, W) uint8 in {0, 1}
  names: tuple[str, ...]


def grey(image: np.ndarray, code: str, protocol: Protocol = 'corrected') -> np.ndarray:
  """(H, W) or (H, W, 3 or 4) of 8 or 16 bits to (H, W) uint8.

  RGB(A) goes to luma. 16-bit values are scaled from the limits of `INTENSITY_LIMITS` (the whole
  range for other codes, which leaves cameras of 12 bits few grey values; see
  `fscs.data.scaling.stretch`) in the corrected protocol and clipped at 255 in the paper's.

  Raises:
    InputError: another shape or type.
  """
  if image.dtype not in (np.uint8, np.uint16) or image.shape[2:] not in ((), (3,), (4,)):
    raise InputError(
      f'{code}: an image of shape {image.shape} and type {image.dtype}: (H, W), RGB or RGBA of'
      ' uint8 or uint16 are needed; fscs.data.scaling.stretch makes them of other grey values'
    )
  if image.ndim == 3:
    luma = np.rint(image[..., :3] @ np.array(LUMA, np.float32))
    image = luma.astype(image.dtype)
  if image.dtype == np.uint8:
    return image
  if protocol == 'paper':
    return np.minimum(image, 255).astype(np.uint8)
  low, high = INTENSITY_LIMITS.get(code, (0, np.iinfo(image.dtype).max))
  scaled = (image.astype(np.float32) - low) * (255.0 / (high - low))
  return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
  """(H, W) to (H // factor, W // factor) float: means of blocks; what fills none is cut off.

  Channels, a third axis, are left apart.
  """
  height, width = (size // factor * factor for size in image.shape[:2])
  blocks = (factor, factor, 1)[: image.ndim]
  return downscale_local_mean(image[:height, :width], blocks)


def prepare(
  image_set: ImageSet, *, protocol: Protocol = 'corrected', downscale: int = 1
) -> GreySet:
  """Grey, scale and stack the images of one set.

  Args:
    image_set: images of one size; what is not 0 in a mask is foreground.
    protocol: see `grey`.
    downscale: whole factor by which images shrink; a mask pixel is foreground where at least half
      of its block is.

  Raises:
    InputError: the images or masks differ in size, or images are of another type, see `grey`.
  """
  images = [grey(image, image_set.code, protocol) for image in image_set.images]
  masks = [mask > 0 for mask in image_set.masks]
  shapes = {image.shape for image in (*images, *masks)}
  if len(shapes) != 1:
    raise InputError(
      f'{image_set.code}: images and masks of one size are needed, found {sorted(shapes)}'
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


def split(grey_set: GreySet, indices: np.ndarray | list[int]) -> GreySet:
  """The images of those indices, in that order."""
  names = tuple(grey_set.names[i] for i in indices)
  return GreySet(grey_set.code, grey_set.images[indices], grey_set.masks[indices], names)


def crop_corners(
  masks: np.ndarray, crop_size: int, stride: tuple[int, int], min_foreground: int
) -> np.ndarray:
  """Upper left corners of the crops that have enough foreground.

  Args:
    masks: (N, H, W) in {0, 1}.
    crop_size: side of the square crops in pixels.
    stride: distance between crops in rows and in columns.
    min_foreground: foreground pixels that a crop needs at least.

  Returns:
    (C, 3) int32: image, row, column.

  Raises:
    InputError: crops are larger than the images.
  """
  _, height, width = masks.shape
  if crop_size > min(height, width):
    raise InputError(
      f'crops of {crop_size} x {crop_size} pixels are larger than the images of {height} x {width}:'
      ' choose a smaller --crop-size or --downscale'
    )
  integral = np.pad(masks, ((0, 0), (1, 0), (1, 0))).cumsum(1, np.int32).cumsum(2, np.int32)
  rows = np.arange(0, height - crop_size + 1, stride[0])
  columns = np.arange(0, width - crop_size + 1, stride[1])
  top, bottom = integral[:, rows], integral[:, rows + crop_size]
  foreground = (
    bottom[..., columns + crop_size]
    - bottom[..., columns]
    - top[..., columns + crop_size]
    + top[..., columns]
  )
  image, row, column = np.nonzero(foreground >= min_foreground)
  return np.stack([image, rows[row], columns[column]], axis=-1).astype(np.int32)


def some_crops(
  images: Sequence[np.ndarray], corners: np.ndarray, crop_size: int, count: int = SOME_CROPS
) -> np.ndarray:
  """Crops (count, crop_size, crop_size) that stand for all; some twice where there are fewer.

  Args:
    images: (H, W) each.
    corners: (C, 3) image, row, column of all crops, C > 0.
    crop_size: their side.
    count: how many to take, evenly over the corners.
  """
  chosen = corners[np.linspace(0, len(corners) - 1, count).round().astype(int)]
  return np.stack([images[i][r : r + crop_size, c : c + crop_size] for i, r, c in chosen])
