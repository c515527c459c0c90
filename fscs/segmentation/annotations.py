"""Annotated images as the network sees them: checked, 8-bit grey values, at the working scale."""

import warnings
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
  foreground: int | None = None,
) -> Annotations:
  """Check images and masks, choose the channel and convert to 8-bit grey values.

  Args:
    images: (H, W) or (H, W, channels) each, any numbers, any sizes.
    masks: (H, W) each, 0 for background; several positive values tell objects apart. A mask of 0
      alone says that there is no object.
    names: of the images, for messages.
    channel: see `fscs.data.choose_channel`.
    foreground: the value of the foreground in masks, see `label_mask`.

  Raises:
    InputError: names the image and what is wrong with it or its mask, or no object is marked.
  """
  if not len(images) or len(images) != len(masks):
    raise InputError(
      f'{len(images)} images and {len(masks)} masks: expected one mask per image, and one image at'
      ' least',
      arguments=('images', 'masks'),
    )
  images = [np.asarray(image) for image in images]
  if names is None:
    names = [f'image {i}' for i in range(len(images))]
  elif len(names) != len(images):
    raise InputError(
      f'{len(names)} names and {len(images)} images: expected one name per image',
      arguments=('names',),
    )
  learned = isinstance(channel, str) and channel == 'learned'
  if learned:
    images = [drop_alpha(image) for image in images]
  found = [_label(mask, name, foreground) for mask, name in zip(masks, names, strict=True)]
  if not any(labels.any() for labels, _ in found):
    raise InputError('no object is marked in any mask: mark some', arguments=('masks',))
  labels = [labels for labels, _ in found]

  def with_channel(chosen: Channel) -> list[AnnotatedImage]:
    triples = zip(images, labels, names, strict=True)
    return [_read_annotation(*triple, channel=chosen) for triple in triples]

  # First with the plain channel: weights are learned only from arrays that were checked.
  plain = choose_channel(images, labels, 'luma' if learned else channel)
  annotated = with_channel(plain)
  chosen = choose_channel(images, labels, channel)
  if chosen != plain:
    annotated = with_channel(chosen)
  return Annotations(tuple(annotated), _tell_objects_apart(found), chosen)


def _label(mask: np.ndarray, name: str, foreground: int | None) -> tuple[np.ndarray, bool]:
  try:
    return label_mask(mask, foreground)
  except InputError as error:
    raise InputError(f'{name}: {error}', arguments=error.arguments) from error


def _read_annotation(
  image: np.ndarray, labels: np.ndarray, name: str, channel: Channel
) -> AnnotatedImage:
  """The image at its own scale."""
  try:
    grey = to_grey(image, channel)
  except InputError as error:
    raise InputError(f'{name}: {error}', arguments=error.arguments) from error
  if grey.shape != labels.shape:
    raise InputError(f'{name}: the image is {grey.shape} and its mask {labels.shape} pixels')
  limits = grey_limits(grey)
  if limits[1] <= limits[0]:
    raise InputError(f'{name}: all pixels have the same grey value: leave it out')
  return AnnotatedImage(name, stretch(grey, limits), labels, grey.shape)


def _tell_objects_apart(found: Sequence[tuple[np.ndarray, bool]]) -> bool:
  """Whether some masks have a value per object, and all others have one object at most."""
  binary = [labels for labels, instances in found if not instances]
  return len(binary) < len(found) and all(labels.max() <= 1 for labels in binary)


def label_mask(mask: np.ndarray, foreground: int | None = None) -> tuple[np.ndarray, bool]:
  """Labels of a mask, and whether the mask told objects apart.

  A mask with three values or more, 0 among them, has a value per object. Of two values the larger
  is foreground; a warning says so if neither is 0. Objects are then connected components.

  Args:
    mask: (H, W) bool, integers, or whole numbers as floats; 0 alone means that nothing is there.
    foreground: the value of the foreground; other values are then background.

  Returns:
    (H, W) int32 labels, and whether they are those of the mask.

  Raises:
    InputError: another shape or type, negative values, or no background.

  >>> label_mask(np.array([[0, 1, 0, 1]]))
  (array([[0, 1, 0, 2]], dtype=int32), False)
  >>> label_mask(np.array([[2, 1, 2, 1]]), foreground=1)
  (array([[0, 1, 0, 2]], dtype=int32), False)
  """
  mask = np.asarray(mask)
  whole = mask.dtype.kind in 'bui' or (mask.dtype.kind == 'f' and np.all(mask == np.rint(mask)))
  if mask.ndim != 2 or not mask.size or not whole:
    raise InputError(
      f'mask of shape {mask.shape} and type {mask.dtype}: expected (H, W) of bool or whole numbers,'
      ' 0 for background'
    )
  values = np.unique(mask)
  if foreground is not None:
    if foreground not in values and values.any():
      raise InputError(
        f'mask has no value {foreground}: expected one of its values for the foreground',
        arguments=('foreground',),
      )
    return _components(mask == foreground), False
  if values[0] < 0:
    raise InputError(
      f'mask has negative values, down to {values[0]}: expected numbers above 0 for objects and 0'
      ' elsewhere'
    )
  if len(values) == 2:
    if values[0]:
      warnings.warn(
        f'of two values in a mask the larger is taken for objects, here {values[1]:g} rather than'
        f' {values[0]:g}; foreground= chooses',
        stacklevel=2,
      )
    return _components(mask == values[1]), False
  if values[0]:
    raise InputError('mask has no background: mark it by 0')
  if len(values) == 1:
    return np.zeros(mask.shape, np.int32), False
  return np.searchsorted(values, mask).astype(np.int32), True


def _components(foreground: np.ndarray) -> np.ndarray:
  return label(foreground, connectivity=1).astype(np.int32)


def at_scale(image: AnnotatedImage, scale: float) -> AnnotatedImage:
  """The image and its labels resampled.

  Raises:
    InputError: no object is left.
  """
  shape = scaled_shape(image.shape, scale)
  labels = rescale_labels(image.labels, shape)
  if image.labels.any() and not labels.any():
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
  filled = [len(table) for table, image in zip(tables, images, strict=True) if image.labels.any()]
  for index, image in enumerate(images):
    if not image.labels.any():  # as much of an image without objects as of one with objects
      tables[index] = _evenly(tables[index], round(np.mean(filled)))
  corners = [
    np.concatenate([np.full((len(table), 1), index), table[:, 1:]], axis=1)
    for index, table in enumerate(tables)
  ]
  greys = [grey_set.images[0] for grey_set in sets]
  bank = pad_bank(bank_from_corners(sets, tables))  # other images then take the same program
  return SupportCrops(bank, np.concatenate(corners), greys)


def _crops_of(mask: np.ndarray, crop_size: int, stride: int) -> np.ndarray:
  """(C, 3) 0, row, column: all crops with foreground, and some evenly spaced ones without.

  All crops if there is no foreground.
  """
  strides = (stride, stride)
  every, filled = (crop_corners(mask[None], crop_size, strides, least) for least in (0, 1))
  if not len(filled):
    return every
  index = every[:, 1] * mask.shape[1] + every[:, 2]
  filled_index = filled[:, 1] * mask.shape[1] + filled[:, 2]
  empty = every[~np.isin(index, filled_index)]
  return np.concatenate([filled, _evenly(empty, -(-len(filled) // FILLED_PER_EMPTY))])


def _evenly(crops: np.ndarray, count: int) -> np.ndarray:
  """At most `count` evenly spaced crops."""
  chosen = np.linspace(0, len(crops) - 1, min(len(crops), count)).round().astype(int)
  return crops[chosen]
