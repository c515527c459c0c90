"""From a user's arrays to what the network sees: grey values of 8 bits at the scale it knows."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt
from skimage.measure import label, regionprops_table
from skimage.transform import resize

from fscs.data.channels import LUMA, Channel, weighted
from fscs.data.preprocessing import GreySet
from fscs.errors import InputError

DiameterRange = tuple[float, float]  # least and most of typical objects, in pixels

PERCENTILES = (0.1, 99.9)  # of grey values, which become 0 and 255
SCALES = (1 / 8, 8.0)  # smallest and largest factor that object sizes may ask for
TOLERANCE = 1.25  # beyond a range of diameters that is not worth resampling


def to_grey(image: np.ndarray, channel: Channel = None) -> np.ndarray:
  """(H, W) or (H, W, channels) to (H, W), in the range of its own values.

  Args:
    image: bool, integers or floats.
    channel: which channel to take, from 0, or weights of all; luma of RGB(A) by default.

  Raises:
    InputError: another shape, no such channel, another number of them than weights, or values that
      are not finite.
  """
  image = np.asarray(image)
  if image.dtype.kind not in 'buif' or image.ndim not in (2, 3) or not image.size:
    raise InputError(
      f'an image of shape {image.shape} and type {image.dtype}: (H, W) or (H, W, channels) of'
      ' numbers is needed'
    )
  if image.dtype.kind == 'f' and not np.isfinite(image).all():
    count = np.count_nonzero(~np.isfinite(image))
    raise InputError(f'an image has {count} pixels that are NaN or infinite: replace them')
  if image.ndim == 2:
    return image
  channels = image.shape[-1]
  if isinstance(channel, tuple):
    return weighted(image, channel)
  if channel is not None:
    if not 0 <= channel < channels:
      raise InputError(f'channel {channel}: an image has {channels}, counted from 0')
    return image[..., channel]
  if channels == 1:
    return image[..., 0]
  if channels not in (3, 4):
    raise InputError(f'an image has {channels} channels: say which to take (channel=0, ...)')
  return image[..., :3].astype(np.float32) @ np.array(LUMA, np.float32)


def grey_limits(grey: np.ndarray) -> tuple[float, float]:
  """The grey values that become 0 and 255; equal where the image is constant."""
  low, high = np.percentile(_floats(grey), PERCENTILES)
  if high <= low:  # fewer than a thousandth of the pixels differ
    low, high = grey.min(), grey.max()
  return float(low), float(high)


def stretch(grey: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
  """Grey values of any range to uint8: the limits (the image's own by default) to 0 and 255."""
  low, high = limits or grey_limits(grey)
  if high <= low:
    return np.zeros(grey.shape, np.uint8)
  scaled = (_floats(grey) - low) * (255.0 / (high - low))
  return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _floats(values: np.ndarray) -> np.ndarray:
  """float32, or float64 where that would round them."""
  return values.astype(np.result_type(values.dtype, np.float32), copy=False)


def scaled_shape(shape: Sequence[int], scale: float) -> tuple[int, int]:
  """The size of an image after scaling, at least one pixel."""
  return tuple(max(1, round(size * scale)) for size in shape)


def scaled_stride(stride: tuple[int, int], scale: float) -> tuple[int, int]:
  """The distances between crops of an image, in rows and in columns, after scaling."""
  rows, columns = (max(1, round(distance * scale)) for distance in stride)
  return rows, columns


def rescale(grey: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) uint8 at another size, smoothed before it shrinks."""
  if grey.shape == tuple(shape):
    return grey
  return np.rint(rescale_probability(grey.astype(np.float32), shape)).astype(np.uint8)


def rescale_probability(probability: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) float at another size, smoothed before it shrinks."""
  if probability.shape == tuple(shape):
    return probability
  smaller = shape[0] < probability.shape[0] or shape[1] < probability.shape[1]
  return resize(probability, shape, order=1, anti_aliasing=smaller)


def rescale_labels(labels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
  """(H, W) labels at another size: the nearest pixel's."""
  if labels.shape == tuple(shape):
    return labels
  rows, columns = (
    np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
    for new, old in zip(shape, labels.shape, strict=True)
  )
  return labels[np.ix_(rows, columns)]


def resize_set(grey_set: GreySet, scale: float, crop_size: int = 1) -> GreySet:
  """All images and masks of a set resampled; sides that shrink below a crop's are filled up."""
  if scale == 1:
    return grey_set
  shape = scaled_shape(grey_set.images.shape[1:], scale)
  resized = (
    [rescale(image, shape) for image in grey_set.images],
    [rescale_labels(mask, shape) for mask in grey_set.masks],
  )
  images, masks = (np.stack([fill_up(x, crop_size) for x in part]) for part in resized)
  return grey_set._replace(images=images, masks=masks)


def fill_up(image: np.ndarray, size: int, stride: int | None = None) -> np.ndarray:
  """(H, W) mirrored at bottom and right to `size` at least, and to whole strides beyond it."""
  missing = []
  for length in image.shape:
    beyond = max(0, length - size)
    wanted = size + (beyond if stride is None else -(-beyond // stride) * stride)
    missing.append((0, wanted - length))
  return np.pad(image, missing, mode='symmetric')


def objects_of(mask: np.ndarray) -> tuple[np.ndarray, bool]:
  """Labels (H, W) int32 of a mask, and whether the mask itself told objects apart.

  Integer masks of several positive values hold a value per object; all others are foreground and
  background, and their connected regions are the objects.

  Raises:
    InputError: the mask is no array of whole numbers from 0, or all foreground or all background.
  """
  mask = np.asarray(mask)
  if mask.ndim != 2 or mask.dtype.kind not in 'bui':
    raise InputError(
      f'a mask of shape {mask.shape} and type {mask.dtype}: (H, W) of bool or whole numbers is'
      ' needed, 0 for background'
    )
  values = np.unique(mask)
  if values[0] < 0:
    raise InputError(
      f'a mask has negative values, {values[0]} the least: mark objects by numbers above 0, and 0'
      ' elsewhere'
    )
  if values[0] != 0 or len(values) == 1:
    raise InputError('a mask is all foreground or all background: mark objects, and 0 elsewhere')
  if len(values) > 2:
    return np.searchsorted(values, mask).astype(np.int32), True
  return label(mask > 0, connectivity=1).astype(np.int32), False


def object_diameters(labels: np.ndarray) -> np.ndarray:
  """Diameters in pixels of the disks that have the objects' areas."""
  table = regionprops_table(labels, properties=('equivalent_diameter_area',))
  return table['equivalent_diameter_area']


def typical_diameter(labels: Sequence[np.ndarray]) -> float:
  """The median diameter of the objects, each counted by its area, so that specks hardly count.

  Raises:
    InputError: there is no object.
  """
  diameters = np.sort(np.concatenate([object_diameters(image) for image in labels]))
  if not len(diameters):
    raise InputError('no object is left to measure: annotate some, or shrink the images less')
  areas = np.cumsum(diameters**2)
  return float(diameters[np.searchsorted(areas, areas[-1] / 2)])


def typical_thickness(labels: Sequence[np.ndarray]) -> float:
  """The diameter of disks as thick as the foreground: six times its mean distance to background.

  Objects that touch without being told apart hardly change it. At the border of an image what lies
  beyond counts as no background.
  """
  distances = [distance_transform_edt(image > 0)[image > 0] for image in labels]
  return 6 * float(np.concatenate(distances).mean() - 0.5)  # from centres of pixels to an edge


def choose_scale(labels: Sequence[np.ndarray], diameter_range: DiameterRange) -> float:
  """The factor that brings the typical object to the nearest diameter that an initialisation knows.

  Small objects grow, for the network's pooling to leave enough of them; large ones shrink, to fit
  into its context, but no further than needed, since outlines lose by shrinking: what looks large
  may be a clump of touching objects, and shrinks only as far as its thickness asks for. Without
  objects there is nothing to go by, and it is 1.
  """
  if not any(image.any() for image in labels):
    return 1.0
  least, most = diameter_range
  typical = typical_diameter(labels)
  if typical > most:
    typical = min(typical, max(typical_thickness(labels), most))
  if least / TOLERANCE <= typical <= most * TOLERANCE:
    return 1.0
  return float(np.clip((least if typical < least else most) / typical, *SCALES))
