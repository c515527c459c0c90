"""Pairs images with their masks by file name; no file is opened.

The mask of cell.tif has the name of the image, cell, or that name with one of `MASK_ENDINGS` added:
cell_mask, cell-labels, ... The mask of cell_img.tif may also be named as if the image were cell.
Names are compared without suffix (.tif, .ome.tif), case-sensitively, and after Unicode
normalisation, as macOS spells accents differently.

Of several files of one annotation, as Cellpose and `fscs predict` write them, labels come before
outlines and outlines before masks.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from fscs.errors import InputError
from fscs.io.files import CELLPOSE_ENDING, OUTLINE_SUFFIXES, suffix_of

_LABELS = ('_label', '_labels', '_seg', '_segmentation', '_cp_masks')
_ENDINGS = ('_mask', '_masks', *_LABELS, '_gt', '_GT', '_roi', '_rois', '_RoiSet')

MASK_ENDINGS = (*_ENDINGS, *(ending.replace('_', '-') for ending in _ENDINGS), '-cp_masks')
IMAGE_ENDINGS = ('_img', '_image', '-img', '-image')

# Other files that Cellpose and `fscs predict` write for an image: neither images nor masks.
RESULT_ENDINGS = ('_flows', '_cp_output', '_probability', '_overlay')
_NUM_EXAMPLES = 3  # names of each kind in a message


class Named(Protocol):
  """What is paired: a path, or an `ImageRef`."""

  @property
  def name(self) -> str: ...

  @property
  def stem(self) -> str: ...

  def __fspath__(self) -> str: ...


Image = TypeVar('Image', bound=Named)
Mask = TypeVar('Mask', bound=Named)


class NothingPairedError(InputError):
  """No image has a mask."""


class Pair(NamedTuple, Generic[Image]):
  """An image and its mask."""

  image: Image
  mask: Path
  others: tuple[Path, ...] = ()  # of the same annotation, not used


def match(images: Sequence[Image], masks: Sequence[Path]) -> tuple[list[Pair[Image]], list[Image]]:
  """Pair images with masks.

  A file in both lists, as where images and masks share a folder, is a mask if it is named as the
  mask of another image, and an image otherwise. A mask with exactly the name of an image belongs to
  that image only.

  Args:
    images: paths or `ImageRef`s, in the order wanted.
    masks: files; masks without an image are left out.

  Returns:
    The pairs in the order of `images`, and the images without a mask.

  Raises:
    NothingPairedError: no image has a mask.
    InputError: two images share a name or a mask, or an image has two masks of one kind.

  >>> pairs, without_mask = match([Path('a.tif'), Path('b.tif')], [Path('a_mask.png')])
  >>> [(p.image.name, p.mask.name) for p in pairs], [image.name for image in without_mask]
  ([('a.tif', 'a_mask.png')], ['b.tif'])
  """
  images, masks = separate(images, masks)
  by_name: dict[str, Image] = {}
  for image in images:
    other = by_name.setdefault(_stem(image), image)
    if other is not image:
      raise _ambiguous(other, image, 'images of one name', 'rename or remove one of the two')
  by_stem: dict[str, list[Path]] = {}
  for mask in masks:
    by_stem.setdefault(_stem(mask), []).append(mask)
  pairs: list[Pair[Image]] = []
  without_mask: list[Image] = []
  image_of: dict[Path, Image] = {}
  for name, image in by_name.items():
    free = (other for other in _mask_names(name) if other == name or other not in by_name)
    every = [mask for other in free for mask in by_stem.get(other, [])]
    found = _preferred(every)
    if len(found) > 1:
      raise _ambiguous(found[0], found[1], f'masks for {image}', 'keep one of the two')
    if not found:
      without_mask.append(image)
      continue
    other = image_of.setdefault(found[0], image)
    if other is not image:
      raise _ambiguous(other, image, f'images for the mask {found[0]}', 'rename one of the two')
    pairs.append(Pair(image, found[0], tuple(mask for mask in every if mask != found[0])))
  if not pairs:
    raise _unmatched(images, masks)
  return pairs, without_mask


def _preferred(masks: list[Path]) -> list[Path]:
  """Those of the kind that says most."""
  best = min(map(_rank, masks), default=0)
  return [mask for mask in masks if _rank(mask) == best]


def _rank(mask: Path) -> int:
  if mask.name.endswith(CELLPOSE_ENDING):
    return 1  # the labels that Cellpose exports are newer, if there are any
  if suffix_of(mask) in OUTLINE_SUFFIXES:
    return 2
  return 0 if _stem(mask).replace('-', '_').endswith(_LABELS) else 3


def separate(images: Sequence[Image], masks: Sequence[Mask]) -> tuple[list[Image], list[Mask]]:
  """Decide for files in both lists whether they are images or masks; never fails.

  Files that Cellpose or `fscs predict` wrote for another image are neither.

  Args:
    images: paths or `ImageRef`s.
    masks: the same. A file in both lists is a mask if it is named as the mask of another image, and
      an image otherwise. So `separate(files, files)` sorts a folder of both.

  Returns:
    The images and the masks, in their order.

  >>> both = [Path('a.tif'), Path('a_mask.tif'), Path('b.tif')]
  >>> [[path.name for path in kind] for kind in separate(both, both)]
  [['a.tif', 'b.tif'], ['a_mask.tif']]
  """
  shared = {os.path.realpath(path) for path in images} & {os.path.realpath(path) for path in masks}
  named_as_mask = {
    other for image in images for other in _mask_names(_stem(image)) if other != _stem(image)
  }

  results = {_stem(image) + ending for image in images for ending in RESULT_ENDINGS}

  def kept(path: Named, as_mask: bool) -> bool:
    if _stem(path) in results:
      return False
    return os.path.realpath(path) not in shared or (_stem(path) in named_as_mask) == as_mask

  return [p for p in images if kept(p, False)], [p for p in masks if kept(p, True)]


def _stem(path: Named) -> str:
  return unicodedata.normalize('NFC', path.stem).removesuffix('.ome')


def _mask_names(image: str) -> list[str]:
  """Names that the mask of an image may have."""
  bases = [image]
  for ending in IMAGE_ENDINGS:
    if image.endswith(ending) and image != ending:
      bases.append(image.removesuffix(ending))
  return [base + ending for base in bases for ending in ('', *MASK_ENDINGS)]


def _ambiguous(first: Named, second: Named, what: str, remedy: str) -> InputError:
  return InputError(f'{first}, {second}: found two {what}, expected one; {remedy}')


def _unmatched(images: Sequence[Named], masks: Sequence[Named]) -> NothingPairedError:
  found = [
    ', '.join(path.name for path in paths[:_NUM_EXAMPLES]) or 'nothing' for paths in (images, masks)
  ]
  if not masks:
    return NothingPairedError(
      f'no masks: all of {found[0]} are images; give the folder of the masks, or name them as'
      f' {_stem(images[0])}_mask.tif',
      arguments=('masks',),
    )
  return NothingPairedError(
    f'no mask belongs to an image: found the images {found[0]} and the masks {found[1]}, expected '
    f'masks named as the images, or with one of {", ".join(_ENDINGS)} added; rename them'
  )
