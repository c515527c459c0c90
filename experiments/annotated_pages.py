"""Reads a user's annotated images: pages with their masks, and the grey values to learn from."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from fscs import images as files
from fscs.channels import Channel, choose, weighted
from fscs.errors import InputError
from fscs.images import Pair

ChannelName = Literal['learned', 'luma']


def find_pairs(images: str, masks: str) -> list[Pair]:
  """Images of a folder with their masks in another, or in the same; shown to the user."""
  found = files.find_files(Path(images), files.IMAGE_SUFFIXES)
  pairs, without_mask = files.match(found, files.find_files(Path(masks), files.MASK_SUFFIXES))
  for pair in pairs:
    print(f'{pair.image.name} with {pair.mask.name}')
  if without_mask:
    print(f'without a mask, left out: {len(without_mask)} of {len(found)} images')
  return pairs


class Page(NamedTuple):
  """An annotated image."""

  name: str
  grey: np.ndarray  # (H, W)
  channels: np.ndarray  # (H, W, channels); of no account unless grey values are learned
  mask: np.ndarray  # (H, W) labels, or booleans where objects are not told apart
  rgb: bool  # the channels are red, green and blue
  note: str  # how the grey values were made


def read_all(pairs: list[Pair], choice: int | ChannelName) -> tuple[list[Page], Channel]:
  """Every page that can be used, and which channel its grey values are; others go to stderr.

  Raises:
    InputError: there is none.
  """
  usable: list[Page] = []
  for pair in pairs:
    try:
      usable += _read_pages(pair, choice)
    except InputError as error:
      print(f'left out: {error}', file=sys.stderr)
  if not usable:
    folder = pairs[0].image.parent
    raise InputError(f'--images={folder}: no image with its mask can be used; see above')
  channel = _channel(usable, choice)
  if isinstance(channel, tuple):
    print('grey values: weighted sum of the channels,', *(f'{weight:+.2f}' for weight in channel))
    usable = [page._replace(grey=weighted(page.channels, channel)) for page in usable]
  else:
    for page in usable:
      if page.note:
        print(f'{page.name}: {page.note}')
  return usable, channel


def _channel(pages: list[Page], choice: int | ChannelName) -> Channel:
  if choice != 'learned':
    return None if choice == 'luma' else choice
  images, masks = ([getattr(page, of) for page in pages] for of in ('channels', 'mask'))
  learned = choose(images, masks, colour=all(page.rgb for page in pages))
  return learned if isinstance(learned, tuple) else None


def _read_pages(pair: Pair, choice: int | ChannelName) -> Iterator[Page]:
  """Every page that can be used; others are named on stderr."""
  with files.open_image(pair.image, None if isinstance(choice, str) else choice) as image:
    pages, height, width = image.shape
    mask_pages = files.mask_pages(pair.mask)
    if mask_pages != pages:
      raise InputError(
        f'{pair.mask}: found {mask_pages} pages, expected {pages} as in {pair.image.name}'
      )
    for page in range(pages):
      name = pair.image.name if pages == 1 else f'{pair.image.name}, page {page}'
      whole = (page, slice(0, height), slice(0, width))
      grey = image.read(*whole)
      channels = grey[..., None]
      if choice == 'learned' and image.channels > 1:
        channels = image.read_channels(*whole)
      files.require_finite(channels, pair.image)
      mask = files.read_mask(pair.mask, (height, width), page, allow_empty=pages > 1)
      if not mask.labels.any() or channels.min() == channels.max():
        why = 'all pixels have the same grey value' if mask.labels.any() else 'nothing is marked'
        print(f'left out: {name}: {why}', file=sys.stderr)
        continue
      labels = mask.labels if mask.instances else mask.labels > 0
      yield Page(name, grey, channels, labels, image.colour, image.note)
