"""Reads images and masks as microscopists have them: formats, dtypes, axes, names.

`find_files` lists a folder, `separate` tells masks from images, `match` pairs them, `open_image`
reads grey values region by region and `read_mask` tells which pixels are objects. What cannot be
used raises `fscs.errors.InputError` with one line.
"""

from fscs.io.files import IMAGE_SUFFIXES, find_files
from fscs.io.images import ImageFile, open_image, require_finite
from fscs.io.masks import MASK_SUFFIXES, Mask, read_mask, require_pages
from fscs.io.pairing import IMAGE_ENDINGS, MASK_ENDINGS, Pair, match, separate
from fscs.io.pixel_size import PixelSize

__all__ = [
  'IMAGE_ENDINGS',
  'IMAGE_SUFFIXES',
  'MASK_ENDINGS',
  'MASK_SUFFIXES',
  'ImageFile',
  'Mask',
  'Pair',
  'PixelSize',
  'find_files',
  'match',
  'open_image',
  'read_mask',
  'require_finite',
  'require_pages',
  'separate',
]
