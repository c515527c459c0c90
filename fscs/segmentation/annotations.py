"""A user's annotated images: checked, grey, stretched, and at the scale that the network knows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fscs.data.channels import Channel, Choice, choose, without_alpha
from fscs.data.scaling import (
  grey_limits,
  objects_of,
  rescale,
  rescale_labels,
  scaled_shape,
  stretch,
  to_grey,
)
from fscs.errors import InputError


class Annotated(NamedTuple):
  """A user's image with its mask, as the network sees them."""

  name: str
  grey: np.ndarray  # (H, W) uint8, at the working scale
  labels: np.ndarray  # (H, W) int32, alike; 0 is background
  shape: tuple[int, int]  # of the image before scaling


def annotate_all(
  images: Sequence, masks: Sequence, names: Sequence[str] | None, choice: Choice
) -> tuple[list[Annotated], bool, Channel]:
  """The images with their masks, whether these tell objects apart, and what grey values are.

  Args:
    images: (H, W) or (H, W, channels) each, any numbers, of any sizes.
    masks: (H, W) each, 0 for background; several positive values tell objects apart.
    names: of the images, for messages.
    choice: what becomes the grey value of a pixel; see `fscs.data.channels.choose`.

  Raises:
    InputError: names the image and what is wrong with it or its mask.
  """
  if not len(images) or len(images) != len(masks):
    raise InputError(
      f'{len(images)} images and {len(masks)} masks: one mask for each image is needed, and one'
      ' image at least'
    )
  images, masks = ([np.asarray(array) for array in arrays] for arrays in (images, masks))
  if choice == 'learned':
    images = [without_alpha(image) for image in images]
  names = names or [f'image {i}' for i in range(len(images))]
  plain = choose(images, masks, 'luma' if choice == 'learned' else choice)
  found = [annotate(*one, channel=plain) for one in zip(images, masks, names, strict=True)]
  channel = choose(images, masks, choice)  # of what has turned out to be images with their masks
  if channel != plain:
    found = [annotate(*one, channel=channel) for one in zip(images, masks, names, strict=True)]
  return [image for image, _ in found], _tell_apart(found), channel


def _tell_apart(found: Sequence[tuple[Annotated, bool]]) -> bool:
  """Whether some masks hold a value per object, and all others are of one object at most."""
  plain = [image for image, instances in found if not instances]
  return len(plain) < len(found) and all(image.labels.max() <= 1 for image in plain)


def annotate(
  image: np.ndarray, mask: np.ndarray, name: str, *, channel: Channel = None
) -> tuple[Annotated, bool]:
  """An image with its mask at its own scale, and whether the mask tells objects apart.

  Raises:
    InputError: names the image; see `to_grey` and `objects_of`.
  """
  try:
    grey = to_grey(image, channel)
    labels, instances = objects_of(mask)
  except InputError as error:
    raise InputError(f'{name}: {error}') from error
  if grey.shape != labels.shape:
    raise InputError(f'{name}: the image is {grey.shape} and its mask {labels.shape} pixels')
  limits = grey_limits(grey)
  if limits[1] <= limits[0]:
    raise InputError(f'{name}: all pixels have the same grey value: leave it out')
  return Annotated(name, stretch(grey, limits), labels, grey.shape), instances


def at_scale(annotated: Annotated, scale: float) -> Annotated:
  """The image and its labels resampled.

  Raises:
    InputError: no object is left.
  """
  shape = scaled_shape(annotated.shape, scale)
  labels = rescale_labels(annotated.labels, shape)
  if not labels.any():
    raise InputError(
      f'{annotated.name}: resized by {scale:.3g}, it has no object left: raise the scale (--scale),'
      ' or leave the image out'
    )
  return annotated._replace(grey=rescale(annotated.grey, shape), labels=labels)
