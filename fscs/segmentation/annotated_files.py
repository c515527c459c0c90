"""Reads folders of annotated images: which files belong together, and what they hold."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from skimage.measure import label

from fscs.data.channels import Channel, choose_channel, weighted_sum
from fscs.errors import InputError
from fscs.io import (
  IMAGE_SUFFIXES,
  MASK_SUFFIXES,
  ImageFile,
  Pair,
  find_files,
  match,
  open_image,
  read_mask,
  require_finite,
  require_pages,
  separate,
)
from fscs.messages import note

MOSTLY_FOREGROUND = 0.75  # share of an image above which its mask may be inverted
ChannelOption = int | Literal['learned', 'luma']
Log = Callable[[str], None]  # takes a line for the user


class AnnotatedPage(NamedTuple):
  """A page of an image file with its mask."""

  name: str
  grey: np.ndarray  # (H, W)
  channels: np.ndarray  # (H, W, channels); meaningful only if the channel is to be learned
  mask: np.ndarray  # (H, W) labels, or bool if objects are not told apart
  rgb: bool  # the channels are red, green and blue
  source: str  # of the grey values, or ''


class AnnotatedFolder(NamedTuple):
  """All pages that can be used."""

  pages: list[AnnotatedPage]
  channel: Channel  # what the grey values are


def find_pairs(images: str | Path, masks: str | Path, log: Log = print) -> list[Pair]:
  """The images of a folder with their masks in another folder or in the same.

  Raises:
    InputError: a folder is missing or empty, or no mask belongs to an image.
  """
  image_files, mask_files = separate(
    find_files(Path(images), IMAGE_SUFFIXES), find_files(Path(masks), MASK_SUFFIXES)
  )
  pairs, without_mask = match(image_files, mask_files)
  for pair in pairs:
    log(f'{pair.image.name} with {pair.mask.name}')
  used = {pair.mask for pair in pairs}
  unused = [path for path in mask_files if path not in used]
  _log_notes(
    log,
    note('images without a mask, left out', without_mask),
    note('masks without an image, left out', unused),
  )
  return pairs


def _log_notes(log: Log, *notes: str) -> None:
  for line in notes:
    if line:
      log(line)


def read_annotated_folder(
  images: str | Path, masks: str | Path, choice: ChannelOption, log: Log = print
) -> AnnotatedFolder:
  """All annotated pages that can be used; the others are logged.

  Args:
    images: folder of the images.
    masks: folder of the masks, which may be the same.
    choice: a channel counted from 0, 'luma', or 'learned', see `fscs.data.choose_channel`.
    log: called with what was found, left out and looks odd, a line each.

  Raises:
    InputError: no annotated image can be used.
  """
  pairs = find_pairs(images, masks, log)
  pages: list[AnnotatedPage] = []
  for pair in pairs:
    try:
      pages += _read_pages(pair, choice, log)
    except InputError as error:
      log(f'left out: {error}')
  folder = pairs[0].image.parent
  if not pages:
    raise InputError(f'{folder}: no image with its mask can be used; see above')
  _log_annotations(pages, log)
  channel = _choose_channel(pages, choice)
  if isinstance(channel, tuple):
    weights = ' '.join(f'{weight:+.2f}' for weight in channel)
    log(f'grey values: weighted sum of the channels, {weights}')
    pages = [page._replace(grey=weighted_sum(page.channels, channel)) for page in pages]
  else:
    for page in pages:
      if page.source:
        log(f'{page.name}: {page.source}')
  return AnnotatedFolder(_drop_constant(pages, folder, log), channel)


def _log_annotations(pages: Sequence[AnnotatedPage], log: Log) -> None:
  """What is annotated, and which masks look as if something else was meant."""
  shares = [float(np.mean(page.mask > 0)) for page in pages]
  log(f'annotated: {len(pages)} images; objects cover {min(shares):.1%} to {max(shares):.1%}')
  inverted = [
    page.name for page, share in zip(pages, shares, strict=True) if share > MOSTLY_FOREGROUND
  ]
  classes = [page.name for page in pages if page.mask.dtype != bool and _in_pieces(page.mask)]
  _log_notes(
    log,
    note('most of the image is marked; are objects and background exchanged?', inverted),
    note('objects are in several pieces; are their values classes, rather than numbers?', classes),
  )


def _in_pieces(labels: np.ndarray) -> bool:
  """Whether objects have two connected components on average, or more."""
  components = label(labels, connectivity=2, return_num=True)[1]
  return components >= 2 * len(np.unique(labels[labels > 0]))


def _drop_constant(pages: list[AnnotatedPage], folder: Path, log: Log) -> list[AnnotatedPage]:
  """The pages without those of a single grey value.

  Raises:
    InputError: none is left.
  """
  constant = [page.name for page in pages if page.grey.min() == page.grey.max()]
  for name in constant:
    log(f'left out: {name}: all pixels have the same grey value')
  if len(constant) == len(pages):
    raise InputError(
      f'{folder}: no image with its mask can be used; see above. Another channel may show objects',
      arguments=('channel',),
    )
  return [page for page in pages if page.name not in constant]


def _choose_channel(pages: Sequence[AnnotatedPage], choice: ChannelOption) -> Channel:
  if choice != 'learned':
    return None if choice == 'luma' else choice
  colours = [page.rgb for page in pages]
  learned = choose_channel(
    [page.channels for page in pages], [page.mask for page in pages], rgb=all(colours)
  )
  # Files of both kinds: None reads the luma of colours and the first channel of others.
  return learned if isinstance(learned, tuple) or not any(colours) else None


def _read_pages(pair: Pair, choice: ChannelOption, log: Log) -> Iterator[AnnotatedPage]:
  """Every page that can be used; reasons why others cannot are logged once."""
  with open_image(pair.image, None if isinstance(choice, str) else choice) as image:
    pages = image.shape[0]
    require_pages(pair.mask, pages, pair.image.name)
    wrong: dict[str, list[int]] = {}
    for page in range(pages):
      try:
        yield _read_page(image, pair, page, learned=choice == 'learned')
      except InputError as error:
        wrong.setdefault(str(error), []).append(page + 1)
    for reason, numbers in wrong.items():
      where = ''
      if pages > 1:
        where = f', page{"s" if len(numbers) > 1 else ""} {", ".join(map(str, numbers))}'
      log(f'left out: {pair.image.name}{where}: {reason}')


def _read_page(image: ImageFile, pair: Pair, page: int, *, learned: bool) -> AnnotatedPage:
  """A page of an open image, with all its channels if the channel is to be learned.

  Raises:
    InputError: it cannot be used.
  """
  pages, height, width = image.shape
  name = pair.image.name if pages == 1 else f'{pair.image.name}, page {page + 1}'
  region = (page, slice(0, height), slice(0, width))
  grey = image.read(*region)
  channels = image.read_channels(*region) if learned and image.channels > 1 else grey[..., None]
  require_finite(channels, pair.image)
  mask = read_mask(pair.mask, (height, width), page, pages=pages, allow_empty=pages > 1)
  if not mask.labels.any():
    raise InputError('nothing is marked')
  labels = mask.labels if mask.instances else mask.labels > 0
  return AnnotatedPage(name, grey, channels, labels, image.colour, image.source)
