"""Reads a user's annotated images: pages with their masks, and the grey values to learn from."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from skimage.measure import label

from fscs import io as files
from fscs.data.channels import Channel, choose, weighted
from fscs.errors import InputError
from fscs.io import ImageFile, Pair
from fscs.messages import note

MOSTLY_MARKED = 0.75  # share of an image above which its mask may be inverted
ChannelName = Literal['learned', 'luma']


def find_pairs(images: str, masks: str) -> list[Pair]:
  """Images of a folder with their masks in another, or in the same; shown to the user."""
  image_files, mask_files = files.separate(
    files.find_files(Path(images), files.IMAGE_SUFFIXES),
    files.find_files(Path(masks), files.MASK_SUFFIXES),
  )
  pairs, without_mask = files.match(image_files, mask_files)
  for pair in pairs:
    print(f'{pair.image.name} with {pair.mask.name}')
  used = {pair.mask for pair in pairs}
  note('images without a mask, left out', without_mask)
  note('masks without an image, left out', [path for path in mask_files if path not in used])
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
  folder = pairs[0].image.parent
  if not usable:
    raise InputError(f'{folder}: no image with its mask can be used; see above')
  _describe(usable)
  channel = _channel(usable, choice)
  if isinstance(channel, tuple):
    print('grey values: weighted sum of the channels,', *(f'{weight:+.2f}' for weight in channel))
    usable = [page._replace(grey=weighted(page.channels, channel)) for page in usable]
  else:
    for page in usable:
      if page.note:
        print(f'{page.name}: {page.note}')
  return _varied(usable, folder), channel


def _describe(pages: list[Page]) -> None:
  """What is marked, and on which pages it looks as if something else was meant."""
  shares = [np.mean(page.mask > 0) for page in pages]
  print(f'annotated: {len(pages)} images; objects cover {min(shares):.1%} to {max(shares):.1%}')
  full = [page.name for page, share in zip(pages, shares, strict=True) if share > MOSTLY_MARKED]
  note('most of the image is marked; are objects and background exchanged?', full)
  in_pieces = [page.name for page in pages if page.mask.dtype != bool and _in_pieces(page.mask)]
  note('objects are in several pieces; are their values classes, rather than numbers?', in_pieces)


def _in_pieces(labels: np.ndarray) -> bool:
  """Whether objects have two pieces on average, or more."""
  return label(labels, connectivity=2, return_num=True)[1] >= 2 * len(np.unique(labels[labels > 0]))


def _varied(pages: list[Page], folder: Path) -> list[Page]:
  """Those whose grey values tell anything; others are named on stderr.

  Raises:
    InputError: there is none.
  """
  flat = [page.name for page in pages if page.grey.min() == page.grey.max()]
  for name in flat:
    print(f'left out: {name}: all pixels have the same grey value', file=sys.stderr)
  if len(flat) == len(pages):
    raise InputError(
      f'{folder}: no image with its mask can be used; see above. Another channel may show objects'
      ' (--channel, of fscs.cli.finetune)'
    )
  return [page for page in pages if page.name not in flat]


def _channel(pages: list[Page], choice: int | ChannelName) -> Channel:
  if choice != 'learned':
    return None if choice == 'luma' else choice
  images, masks = ([getattr(page, of) for page in pages] for of in ('channels', 'mask'))
  learned = choose(images, masks, colour=all(page.rgb for page in pages))
  return learned if isinstance(learned, tuple) else None


def _read_pages(pair: Pair, choice: int | ChannelName) -> Iterator[Page]:
  """Every page that can be used; others are named on stderr."""
  with files.open_image(pair.image, None if isinstance(choice, str) else choice) as image:
    pages = image.shape[0]
    files.require_pages(pair.mask, pages, pair.image.name)
    wrong: dict[str, list[int]] = {}
    for page in range(pages):
      try:
        yield _read_page(image, pair, page, learned=choice == 'learned')
      except InputError as error:
        wrong.setdefault(str(error), []).append(page + 1)
    for error, numbers in wrong.items():
      which = f', page{"s" * (len(numbers) > 1)} {", ".join(map(str, numbers))}' * (pages > 1)
      print(f'left out: {pair.image.name}{which}: {error}', file=sys.stderr)


def _read_page(image: ImageFile, pair: Pair, page: int, *, learned: bool) -> Page:
  """A page of an open image, with all its channels if grey values are to be learned.

  Raises:
    InputError: it cannot be used.
  """
  pages, height, width = image.shape
  name = pair.image.name if pages == 1 else f'{pair.image.name}, page {page + 1}'
  whole = (page, slice(0, height), slice(0, width))
  grey = image.read(*whole)
  channels = image.read_channels(*whole) if learned and image.channels > 1 else grey[..., None]
  files.require_finite(channels, pair.image)
  mask = files.read_mask(pair.mask, (height, width), page, pages=pages, allow_empty=pages > 1)
  if not mask.labels.any():
    raise InputError('nothing is marked')
  labels = mask.labels if mask.instances else mask.labels > 0
  return Page(name, grey, channels, labels, image.colour, image.note)
