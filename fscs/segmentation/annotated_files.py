"""Reads folders of annotated images: which files belong together, and what they hold."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.measure import label

from fscs.data.channels import Channel, choose_channel, weighted_sum
from fscs.errors import InputError
from fscs.io import (
  IMAGE_SUFFIXES,
  MASK_SUFFIXES,
  ImageFile,
  ImageRef,
  Pair,
  find_files,
  images_of,
  match,
  open_image,
  read_mask,
  require_finite,
  require_pages,
  separate,
)
from fscs.messages import Notes, add_notes, counted, examples, note

MOSTLY_FOREGROUND = 0.5  # share of an image from which on its mask may be inverted
ChannelOption = int | str  # a number from 0, 'learned', 'luma', or the name of a channel
Log = Callable[[str], None]  # takes a line for the user


class AnnotatedPage(NamedTuple):
  """A page of an image file with its mask."""

  name: str
  grey: np.ndarray  # (H, W)
  channels: np.ndarray  # (H, W, channels); meaningful only if the channel is to be learned
  mask: np.ndarray  # (H, W) labels, or bool if objects are not told apart
  values: tuple[int, ...]  # of the objects in the file, if there are few
  rgb: bool  # the channels are red, green and blue
  source: str  # of the grey values, or ''
  channel: int | None = None  # that the grey values are, if it is one


class AnnotatedFolder(NamedTuple):
  """All pages that can be used."""

  pages: list[AnnotatedPage]
  channel: Channel  # what the grey values are
  channel_name: str | None = None  # if the user named the channel


class ReadOptions(NamedTuple):
  """What the user says about the files."""

  channel: ChannelOption = 'learned'  # see `fscs.data.choose_channel`
  axes: str | None = None  # of arrays, see `fscs.io.open_image`
  foreground: int | None = None  # its value in masks, see `fscs.io.read_mask`
  scene: str | None = None  # of files with several, see `fscs.io.images_of`


_AS_STATED = ReadOptions()


def find_pairs(
  images: str | Path, masks: str | Path, log: Log = print, scene: str | None = None
) -> list[Pair[ImageRef]]:
  """The images of a folder with their masks in another folder or in the same.

  Args:
    images: folder.
    masks: folder.
    log: called with every pair and with what is left out.
    scene: see `fscs.io.images_of`.

  Raises:
    InputError: a folder is missing or empty, there is no such scene, or no mask belongs to an
      image.
  """
  images, masks = Path(images), Path(masks)
  found = images_of(find_files(images, IMAGE_SUFFIXES, besides=[masks]), scene)
  image_files, mask_files = separate(found, find_files(masks, MASK_SUFFIXES, besides=[images]))
  pairs, without_mask = match(image_files, mask_files)
  for pair in pairs:
    instead = f', rather than {examples(pair.others)}' if pair.others else ''
    log(f'{pair.image.name} with {pair.mask.name}{instead}')
  used = {mask for pair in pairs for mask in (pair.mask, *pair.others)}
  named = {ref.path for ref in image_files} | set(mask_files)
  results = sorted({ref.path for ref in found} - named)
  unused = [path for path in mask_files if path not in used]
  _log_notes(
    log,
    note('images without a mask, left out', [image.name for image in without_mask]),
    note('masks without an image, left out', unused),
    note('results of other images, left out', results),
  )
  return pairs


def _log_notes(log: Log, *notes: str) -> None:
  for line in notes:
    if line:
      log(line)


def read_annotated_folder(
  images: str | Path, masks: str | Path, options: ReadOptions = _AS_STATED, log: Log = print
) -> AnnotatedFolder:
  """All annotated pages that can be used; the others are logged.

  Args:
    images: folder of the images.
    masks: folder of the masks, which may be the same. An image whose mask is empty has no objects;
      an empty page of a stack is not annotated.
    options: how files are read.
    log: called with what was found, left out and looks odd, a line each.

  Raises:
    InputError: no annotated image can be used.
  """
  pairs = find_pairs(images, masks, log, options.scene)
  pages: list[AnnotatedPage] = []
  notes: Notes = {}
  errors: list[InputError] = []
  for pair in pairs:
    try:
      pages += _read_pages(pair, options, log, notes, errors)
    except InputError as error:
      errors.append(error)
      log(f'left out: {error}')
  folder = pairs[0].image.path.parent
  if pages and not any(page.mask.any() for page in pages):
    raise InputError(
      f'{masks}: no object is marked in any mask; annotate some', arguments=('masks',)
    )
  if not pages:
    named = dict.fromkeys(name for error in errors for name in error.arguments)
    raise InputError(
      f'{folder}: no image with its mask can be used; see above', arguments=tuple(named)
    )
  _log_notes(log, *(note(text, names) for text, names in notes.items()))
  _log_annotations(pages, log)
  channel = _choose_channel(pages, options.channel)
  if isinstance(channel, tuple):
    weights = ' '.join(f'{weight:+.2f}' for weight in channel)
    log(f'grey values: weighted sum of the channels, {weights}')
    pages = [page._replace(grey=weighted_sum(page.channels, channel)) for page in pages]
  else:
    for page in pages:
      if page.source:
        log(f'{page.name}: {page.source}')
  return AnnotatedFolder(_drop_constant(pages, folder, log), channel, _name_of(options.channel))


def _name_of(channel: ChannelOption) -> str | None:
  """The name of the channel, if the user gave one."""
  return channel if isinstance(channel, str) and channel not in ('learned', 'luma') else None


def _log_annotations(pages: Sequence[AnnotatedPage], log: Log) -> None:
  """What is annotated, and which masks look as if something else was meant."""
  shares = [float(np.mean(page.mask > 0)) for page in pages]
  log(f'annotated: {counted(len(pages), "image")}; objects cover {_range_of(shares)}')
  inverted = [
    page.name for page, share in zip(pages, shares, strict=True) if share >= MOSTLY_FOREGROUND
  ]
  pieces = [page.name for page in pages if page.mask.dtype != bool and _in_pieces(page.mask)]
  classes = _recurring_values(pages)
  _log_notes(
    log,
    note('half of the image or more is marked; are objects and background exchanged?', inverted),
    note('objects are in several pieces; are their values classes, rather than numbers?', pieces),
    note(
      f'the same values mark objects in every mask ({", ".join(map(str, classes))}); are they'
      ' classes, rather than numbers? Naming the foreground takes one of them',
      [page.name for page in pages] if classes else [],
    ),
    note('no object is marked: all is background', [p.name for p in pages if not p.mask.any()]),
  )


def _range_of(shares: Sequence[float]) -> str:
  low, high = f'{min(shares):.1%}', f'{max(shares):.1%}'
  return low if low == high else f'{low} to {high}'


def _recurring_values(pages: Sequence[AnnotatedPage]) -> tuple[int, ...]:
  """The values of the objects if they are the same few in every mask.

  Two images may both have two objects, so numbers from 1 on count only from three images on.
  """
  found = {page.values for page in pages if page.mask.any()}
  values = next(iter(found)) if len(found) == 1 else ()
  counted_from_1 = values == tuple(range(1, len(values) + 1))
  least = 3 if counted_from_1 else 2
  return values if len(values) > 1 and len(pages) >= least else ()


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
  if _name_of(choice) is not None:
    return pages[0].channel
  if choice != 'learned':
    return choice if isinstance(choice, int) else None
  colours = [page.rgb for page in pages]
  learned = choose_channel(
    [page.channels for page in pages], [page.mask for page in pages], rgb=all(colours)
  )
  # Files of both kinds: None reads the luma of colours and the first channel of others.
  return learned if isinstance(learned, tuple) or not any(colours) else None


def _read_pages(
  pair: Pair[ImageRef], options: ReadOptions, log: Log, notes: Notes, errors: list[InputError]
) -> Iterator[AnnotatedPage]:
  """Every page that can be used; reasons why others cannot are logged once.

  Args:
    pair: of files.
    options: how they are read.
    log: takes a line for the user.
    notes: gets what was guessed or changed.
    errors: gets the reasons why pages cannot be used.
  """
  choice = options.channel
  channel = choice if isinstance(choice, int) else _name_of(choice)
  with open_image(pair.image.path, channel, options.axes, pair.image.scene) as image:
    if image.part_of:
      log(f'left out: {pair.image.name}: part of {image.part_of.name}, which is read as a whole')
      return
    add_notes(notes, image.notes, pair.image.name)
    pages = image.shape[0]
    require_pages(pair.mask, pages, pair.image.name)
    wrong: dict[str, list[int]] = {}
    for page in range(pages):
      try:
        read, found = _read_page(image, pair, page, options)
      except InputError as error:
        errors.append(error)
        wrong.setdefault(str(error), []).append(page + 1)
      else:
        add_notes(notes, found, pair.mask.name)
        yield read
    for reason, numbers in wrong.items():
      where = ''
      if pages > 1:
        where = f', page{"s" if len(numbers) > 1 else ""} {", ".join(map(str, numbers))}'
      log(f'left out: {pair.image.name}{where}: {reason}')


def _read_page(
  image: ImageFile, pair: Pair[ImageRef], page: int, options: ReadOptions
) -> tuple[AnnotatedPage, tuple[str, ...]]:
  """A page of an open image, with all its channels if the channel is to be learned; and notes.

  Raises:
    InputError: it cannot be used.
  """
  pages, height, width = image.shape
  name = pair.image.name if pages == 1 else f'{pair.image.name}, page {page + 1}'
  region = (page, slice(0, height), slice(0, width))
  grey = image.read(*region)
  learned = options.channel == 'learned' and image.channels > 1
  channels = image.read_channels(*region) if learned else grey[..., None]
  require_finite(channels, pair.image.path)
  mask = read_mask(
    pair.mask,
    (height, width),
    page,
    pages=pages,
    place=image.place_of(page),
    foreground=options.foreground,
    allow_empty=True,
  )
  if pages > 1 and not mask.labels.any():  # of a stack often only some pages are annotated
    raise InputError('nothing is marked')
  labels = mask.labels if mask.instances else mask.labels > 0
  found = AnnotatedPage(
    name, grey, channels, labels, mask.values, image.colour, image.source, image.channel
  )
  return found, mask.notes
