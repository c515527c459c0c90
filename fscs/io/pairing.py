"""Pairs images with their masks by name.

The mask of cell.tif is any file named cell, or cell with one of `MASK_ENDINGS`; that of
cell_img.tif may also be named as if the image were cell. Names are compared without suffix (one
such as .ome.tif too), with regard to case, and after Unicode normalisation, since macOS spells
accents differently. Nothing is read.
"""

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from fscs.errors import InputError

_ENDINGS = (
  *('_mask', '_masks', '_label', '_labels', '_seg', '_segmentation', '_gt', '_GT', '_cp_masks'),
  *('_roi', '_rois', '_RoiSet'),
)

MASK_ENDINGS = (*_ENDINGS, *(ending.replace('_', '-') for ending in _ENDINGS), '-cp_masks')
CELLPOSE_ENDING = '_seg.npy'  # Python objects, which are not read
IMAGE_ENDINGS = ('_img', '_image', '-img', '-image')

_EXAMPLES = 3  # names of each side in a message


class Pair(NamedTuple):
  """An image and its mask."""

  image: Path
  mask: Path


def match(images: Sequence[Path], masks: Sequence[Path]) -> tuple[list[Pair], list[Path]]:
  """Pairs images with masks.

  Files on both sides, as where both are in one folder, are masks if they are named as the mask of
  another image, and images otherwise. A mask with exactly the name of an image is for that image
  only.

  Args:
    images: files, in the order wanted.
    masks: files; those that belong to no image are left out.

  Returns:
    The pairs in the order of `images`, and the images without a mask.

  Raises:
    InputError: two images have one name or one mask, an image has two masks, or none has a mask.
  """
  images, masks = separate(images, masks)
  by_name: dict[str, Path] = {}
  for image in images:
    if (other := by_name.setdefault(_stem(image), image)) is not image:
      _fail_twice(other, image, 'images of one name', 'rename or remove one of the two')
  of_stem: dict[str, list[Path]] = {}
  for mask in masks:
    of_stem.setdefault(_stem(mask), []).append(mask)
  pairs, without_mask, image_of = [], [], {}
  for name, image in by_name.items():
    free = (other for other in _mask_names(name) if other == name or other not in by_name)
    found = _exported([mask for other in free for mask in of_stem.get(other, [])])
    if len(found) > 1:
      _fail_twice(*found[:2], f'masks for {image}', 'keep one of the two')
    if not found:
      without_mask.append(image)
      continue
    if (other := image_of.setdefault(found[0], image)) is not image:
      _fail_twice(other, image, f'images for the mask {found[0]}', 'rename one of the two')
    pairs.append(Pair(image, found[0]))
  if not pairs:
    _fail_unmatched(images, masks)
  return pairs, without_mask


def _exported(masks: list[Path]) -> list[Path]:
  """Without the file that Cellpose keeps for itself, where there are others beside it."""
  return [mask for mask in masks if not mask.name.endswith(CELLPOSE_ENDING)] or masks


def separate(images: Sequence[Path], masks: Sequence[Path]) -> tuple[list[Path], list[Path]]:
  """Takes the files that are on both sides out of one of them; never fails.

  Args:
    images: files.
    masks: files. Those that are among the images too are masks if they are named as the mask of
      another image, and images otherwise; so `separate(files, files)` sorts a folder of both.

  Returns:
    The images and the masks, in their order.
  """
  shared = {path.resolve() for path in images} & {path.resolve() for path in masks}
  named_as_mask = {
    other for image in images for other in _mask_names(_stem(image)) if other != _stem(image)
  }

  def kept(path: Path, as_mask: bool) -> bool:
    return path.resolve() not in shared or (_stem(path) in named_as_mask) == as_mask

  return [p for p in images if kept(p, False)], [p for p in masks if kept(p, True)]


def _stem(path: Path) -> str:
  return unicodedata.normalize('NFC', path.stem).removesuffix('.ome')


def _mask_names(image: str) -> list[str]:
  """Names that a mask of the image of that name may have."""
  bases = [image]
  for ending in IMAGE_ENDINGS:
    if image.endswith(ending) and image != ending:
      bases.append(image.removesuffix(ending))
  return [base + ending for base in bases for ending in ('', *MASK_ENDINGS)]


def _fail_twice(first: Path, second: Path, what: str, mend: str) -> NoReturn:
  raise InputError(f'{first}, {second}: found two {what}, expected one; {mend}')


def _fail_unmatched(images: Sequence[Path], masks: Sequence[Path]) -> NoReturn:
  names = [
    ', '.join(path.name for path in paths[:_EXAMPLES]) or 'nothing' for paths in (images, masks)
  ]
  raise InputError(
    f'no mask belongs to an image: found the images {names[0]} and the masks {names[1]}, expected '
    f'masks named as the images, or with one of {", ".join(_ENDINGS)} added; rename them'
  )
