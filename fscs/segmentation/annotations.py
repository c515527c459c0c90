"""Annotated images as the network sees them: checked, 8-bit grey values, at the working scale."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from skimage.measure import label

from fscs.data.bank import Bank, bank_from_corners, pad_bank
from fscs.data.channels import Channel, ChannelChoice, choose_channel, drop_alpha
from fscs.data.crops import crop_corners, pad_to_crops
from fscs.data.image_sets import GreySet
from fscs.data.intensity import grey_limits, stretch, to_grey
from fscs.data.scaling import rescale, rescale_labels, scaled_shape
from fscs.errors import InputError

CROPS_PER_SIDE = 8  # the grid of crops has a spacing of an eighth of their side
FILLED_PER_EMPTY = 3  # crops with foreground, per crop without


class AnnotatedImage(NamedTuple):
  """An image with its mask."""

  name: str
  grey: np.ndarray  # (H, W) uint8, at the working scale
  labels: np.ndarray  # (H, W) int32, at the working scale; 0 is background
  shape: tuple[int, int]  # of the image before scaling


class Annotations(NamedTuple):
  """All annotated images at their own scale."""

  images: tuple[AnnotatedImage, ...]
  instances: bool  # the masks tell touching objects apart
  channel: Channel  # what the grey values are


def read_annotations(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  names: Sequence[str] | None = None,
  channel: ChannelChoice = 'learned',
) -> Annotations:
  """Check images and masks, choose the channel and convert to 8-bit grey values.

  Args:
    images: (H, W) or (H, W, channels) each, any numbers, any sizes.
    masks: (H, W) each, 0 for background; several positive values tell objects apart.
    names: of the images, for messages.
    channel: see `fscs.data.choose_channel`.

  Raises:
    InputError: names the image and what is wrong with it or its mask.
  """
  if not len(images) or len(images) != len(masks):
    raise InputError(
      f'{len(images)} images and {len(masks)} masks: expected one mask per image, and one image at'
      ' least',
      arguments=('images', 'masks'),
    )
  images, masks = [np.asarray(image) for image in images], [np.asarray(mask) for mask in masks]
  if names is None:
    names = [f'image {i}' for i in range(len(images))]
  elif len(names) != len(images):
    raise InputError(
      f'{len(names)} names and {len(images)} images: expected one name per image',
      arguments=('names',),
    )
  if channel == 'learned':
    images = [drop_alpha(image) for image in images]

  def with_channel(chosen: Channel) -> list[tuple[AnnotatedImage, bool]]:
    triples = zip(images, masks, names, strict=True)
    return [_read_annotation(*triple, channel=chosen) for triple in triples]

  # First with the plain channel: weights are learned only from arrays that were checked.
  plain = choose_channel(images, masks, 'luma' if channel == 'learned' else channel)
  found = with_channel(plain)
  chosen = choose_channel(images, masks, channel)
  if chosen != plain:
    found = with_channel(chosen)
  return Annotations(tuple(image for image, _ in found), _tell_objects_apart(found), chosen)


def _read_annotation(
  image: np.ndarray, mask: np.ndarray, name: str, channel: Channel
) -> tuple[AnnotatedImage, bool]:
  """The image at its own scale, and whether its mask has a value per object."""
  try:
    grey = to_grey(image, channel)
    labels, instances = label_mask(mask)
  except InputError as error:
    raise InputError(f'{name}: {error}', arguments=error.arguments) from error
  if grey.shape != labels.shape:
    raise InputError(f'{name}: the image is {grey.shape} and its mask {labels.shape} pixels')
  limits = grey_limits(grey)
  if limits[1] <= limits[0]:
    raise InputError(f'{name}: all pixels have the same grey value: leave it out')
  return AnnotatedImage(name, stretch(grey, limits), labels, grey.shape), instances


def _tell_objects_apart(found: Sequence[tuple[AnnotatedImage, bool]]) -> bool:
  """Whether some masks have a value per object, and all others have one object at most."""
  binary = [image for image, instances in found if not instances]
  return len(binary) < len(found) and all(image.labels.max() <= 1 for image in binary)


def label_mask(mask: np.ndarray) -> tuple[np.ndarray, bool]:
  """Labels of a mask, and whether the mask told objects apart.

  A mask of integers with several positive values has a value per object. Otherwise objects are the
  connected components of the foreground.

  Args:
    mask: (H, W) bool or integers, 0 for background.

  Returns:
    (H, W) int32 labels, and whether they are those of the mask.

  Raises:
    InputError: another shape or type, negative values, or no background or no foreground.

  >>> label_mask(np.array([[0, 1, 0, 1]]))
  (array([[0, 1, 0, 2]], dtype=int32), False)
  """
  mask = np.asarray(mask)
  if mask.ndim != 2 or mask.dtype.kind not in 'bui':
    raise InputError(
      f'mask of shape {mask.shape} and type {mask.dtype}: expected (H, W) of bool or integers, 0'
      ' for background'
    )
  values = np.unique(mask)
  if values[0] < 0:
    raise InputError(
      f'mask has negative values, down to {values[0]}: expected numbers above 0 for objects and 0'
      ' elsewhere'
    )
  if values[0] != 0 or len(values) == 1:
    raise InputError('mask is all foreground or all background: mark objects, and 0 elsewhere')
  if len(values) > 2:
    return np.searchsorted(values, mask).astype(np.int32), True
  return label(mask > 0, connectivity=1).astype(np.int32), False


def at_scale(image: AnnotatedImage, scale: float) -> AnnotatedImage:
  """The image and its labels resampled.

  Raises:
    InputError: no object is left.
  """
  shape = scaled_shape(image.shape, scale)
  labels = rescale_labels(image.labels, shape)
  if not labels.any():
    raise InputError(
      f'{image.name}: no object is left after resizing by {scale:.3g}: raise the scale, or leave'
      ' the image out',
      arguments=('scale',),
    )
  return image._replace(grey=rescale(image.grey, shape), labels=labels)


class SupportCrops(NamedTuple):
  """All crops of the annotated images."""

  bank: Bank  # on the device, padded; crops are numbered as in `corners`
  corners: np.ndarray  # (C, 3) image, row, column
  images: list[np.ndarray]  # (H, W) uint8, padded to whole strides


def cut_crops(images: Sequence[AnnotatedImage], crop_size: int) -> SupportCrops:
  """The crops that fine-tuning learns from."""
  stride = max(1, crop_size // CROPS_PER_SIDE)
  sets, tables = [], []
  for image in images:
    grey, labels = (pad_to_crops(x, crop_size, stride) for x in (image.grey, image.labels))
    mask = (labels > 0).astype(np.uint8)
    sets.append(GreySet(image.name, grey[None], mask[None], (image.name,)))
    tables.append(_crops_of(mask, crop_size, stride))
  corners = [
    np.concatenate([np.full((len(table), 1), index), table[:, 1:]], axis=1)
    for index, table in enumerate(tables)
  ]
  greys = [grey_set.images[0] for grey_set in sets]
  bank = pad_bank(bank_from_corners(sets, tables))  # other images then take the same programs
  return SupportCrops(bank, np.concatenate(corners), greys)


def _crops_of(mask: np.ndarray, crop_size: int, stride: int) -> np.ndarray:
  """(C, 3) 0, row, column: all crops with foreground, and some evenly spaced ones without."""
  strides = (stride, stride)
  every, filled = (crop_corners(mask[None], crop_size, strides, least) for least in (0, 1))
  index = every[:, 1] * mask.shape[1] + every[:, 2]
  filled_index = filled[:, 1] * mask.shape[1] + filled[:, 2]
  empty = every[~np.isin(index, filled_index)]
  count = min(len(empty), -(-len(filled) // FILLED_PER_EMPTY))
  chosen = np.linspace(0, len(empty) - 1, count).round().astype(int)
  return np.concatenate([filled, empty[chosen]])
