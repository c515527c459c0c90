"""Resampling of images and labels, and the scale at which objects have a size the network knows."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.measure import regionprops_table
from skimage.transform import resize

from fscs.data.crops import pad_to_crops
from fscs.data.image_sets import GreySet
from fscs.errors import InputError

DiameterRange = tuple[float, float]  # smallest and largest typical diameter, in pixels

SCALE_LIMITS = (1 / 8, 8.0)
TOLERANCE = 1.25  # images are not resampled for objects that are out of range by less than this


def scaled_shape(shape: Sequence[int], scale: float) -> tuple[int, int]:
  """(height, width) after scaling, at least one pixel each."""
  height, width = (max(1, round(size * scale)) for size in shape)
  return height, width


def scaled_stride(stride: tuple[int, int], scale: float) -> tuple[int, int]:
  """(rows, columns) between crops after scaling, at least one pixel each."""
  return scaled_shape(stride, scale)


def rescale(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) uint8 to another size; bilinear, smoothed before it shrinks."""
  if grey.shape == tuple(shape):
    return grey
  return np.rint(rescale_float(grey.astype(np.float32), shape)).astype(np.uint8)


def rescale_float(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) float to another size; bilinear, smoothed before it shrinks."""
  if values.shape == tuple(shape):
    return values
  shrinks = shape[0] < values.shape[0] or shape[1] < values.shape[1]
  return resize(values, shape, order=1, anti_aliasing=shrinks)


def rescale_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) labels to another size, by the nearest neighbour."""
  if labels.shape == tuple(shape):
    return labels
  return resize(labels, shape, order=0, anti_aliasing=False, preserve_range=True).astype(
    labels.dtype
  )


def resize_set(grey_set: GreySet, scale: float, crop_size: int = 1) -> GreySet:
  """All images and masks of a set resampled; sides below `crop_size` are reflected up to it."""
  if scale == 1:
    return grey_set
  shape = scaled_shape(grey_set.images.shape[1:], scale)
  images = [pad_to_crops(rescale(image, shape), crop_size) for image in grey_set.images]
  masks = [pad_to_crops(rescale_labels(mask, shape), crop_size) for mask in grey_set.masks]
  return grey_set._replace(images=np.stack(images), masks=np.stack(masks))


def object_diameters(labels: np.ndarray) -> np.ndarray:
  """Diameters in pixels of the disks whose areas are those of the objects, (N,)."""
  table = regionprops_table(labels, properties=('equivalent_diameter_area',))
  return table['equivalent_diameter_area']


def typical_diameter(labels: Sequence[np.ndarray]) -> float:
  """Median diameter of the objects in pixels, weighted by area, so that specks hardly count.

  Raises:
    InputError: there is no object.
  """
  diameters = np.sort(np.concatenate([object_diameters(image) for image in labels]))
  if not len(diameters):
    raise InputError('no object is left to measure: annotate some, or shrink the images less')
  areas = np.cumsum(diameters**2)
  return float(diameters[np.searchsorted(areas, areas[-1] / 2)])


def typical_thickness(labels: Sequence[np.ndarray]) -> float:
  """Diameter of disks that are as thick as the foreground, in pixels.

  A disk's diameter is six times its mean distance to the background. Touching objects that share a
  label hardly change the estimate. The image border does not count as background.
  """
  distances = [distance_transform_edt(image > 0)[image > 0] for image in labels]
  # Distances are from pixel centres; edges are half a pixel nearer.
  return 6 * float(np.concatenate(distances).mean() - 0.5)


def choose_scale(labels: Sequence[np.ndarray], diameter_range: DiameterRange) -> float:
  """The factor that brings the typical object to the nearest diameter the network knows.

  Small objects are enlarged so that enough of them is left after pooling. Large ones are shrunk to
  fit into the receptive field, but no further than their thickness asks for: a large object may be
  a clump of touching ones, and outlines lose by shrinking.

  Args:
    labels: (H, W) each, 0 is background.
    diameter_range: smallest and largest typical diameter that need no scaling, in pixels.

  Returns:
    A factor within `SCALE_LIMITS`; 1 without objects, or if the objects are within `TOLERANCE`.
  """
  if not any(image.any() for image in labels):
    return 1.0
  smallest, largest = diameter_range
  typical = typical_diameter(labels)
  if typical > largest:
    typical = min(typical, max(typical_thickness(labels), largest))
  if smallest / TOLERANCE <= typical <= largest * TOLERANCE:
    return 1.0
  return float(np.clip((smallest if typical < smallest else largest) / typical, *SCALE_LIMITS))
