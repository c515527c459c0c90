"""Square crops of annotated images: where they lie, and images padded to hold them.

Positions are (image, row, column) of the upper left pixel.
"""

from collections.abc import Sequence

import numpy as np
from skimage.transform import integral_image

from fscs.errors import InputError


def crop_corners(
  masks: np.ndarray, crop_size: int, stride: tuple[int, int], min_foreground: int
) -> np.ndarray:
  """Corners of all crops on a grid that have enough foreground.

  Args:
    masks: (N, H, W) in {0, 1}.
    crop_size: side of the crops in pixels.
    stride: distance between crops in rows and in columns.
    min_foreground: least number of foreground pixels in a crop.

  Returns:
    (C, 3) int32: image, row, column.

  Raises:
    InputError: crops are larger than the images.

  >>> crop_corners(np.ones((1, 4, 4), np.uint8), 2, (2, 2), 1)[:, 1:].tolist()
  [[0, 0], [0, 2], [2, 0], [2, 2]]
  """
  _, height, width = masks.shape
  if crop_size > min(height, width):
    raise InputError(
      f'crops of {crop_size} x {crop_size} pixels are larger than the images of {height} x {width}:'
      ' choose a smaller crop size, or shrink the images less',
      arguments=('crop_size', 'downscale'),
    )
  rows = np.arange(0, height - crop_size + 1, stride[0])
  columns = np.arange(0, width - crop_size + 1, stride[1])
  corners = []
  for index, mask in enumerate(masks):
    sums = np.pad(integral_image(mask, dtype=np.int32), ((1, 0), (1, 0)))
    top, bottom = sums[rows], sums[rows + crop_size]
    right = columns + crop_size
    foreground = bottom[:, right] - bottom[:, columns] - top[:, right] + top[:, columns]
    row, column = np.nonzero(foreground >= min_foreground)
    corners.append(np.stack([np.full(len(row), index), rows[row], columns[column]], axis=-1))
  return np.concatenate(corners).astype(np.int32)


def sample_evenly(
  images: Sequence[np.ndarray], corners: np.ndarray, crop_size: int, count: int
) -> np.ndarray:
  """A fixed number of crops, evenly spaced over the table of corners.

  Args:
    images: (H, W) each.
    corners: (C, 3) image, row, column, C > 0.
    crop_size: side of the crops in pixels.
    count: number of crops; some are taken several times if there are fewer.

  Returns:
    (count, crop_size, crop_size).
  """
  chosen = corners[np.linspace(0, len(corners) - 1, count).round().astype(int)]
  return np.stack([images[i][r : r + crop_size, c : c + crop_size] for i, r, c in chosen])


def pad_to_crops(image: np.ndarray, crop_size: int, stride: int | None = None) -> np.ndarray:
  """The image reflected at its lower and right edge until crops fit.

  Args:
    image: (H, W).
    crop_size: least size of each side.
    stride: if given, sides also become `crop_size` plus a multiple of it.

  >>> pad_to_crops(np.zeros((5, 9)), 8, 4).shape
  (8, 12)
  """
  missing = []
  for length in image.shape:
    beyond = max(0, length - crop_size)
    wanted = crop_size + (beyond if stride is None else -(-beyond // stride) * stride)
    missing.append((0, max(0, wanted - length)))
  return np.pad(image, missing, mode='symmetric')
