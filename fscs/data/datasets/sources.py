"""Descriptions of the data sets: the published archives, and which of their files form pairs."""

import dataclasses
import re
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Archive:
  """One published file of a data set: a zip archive, or the image stack itself."""

  name: str  # file name under <raw_dir>/<folder of the source>/
  address: str  # published address
  size: int | None = None  # bytes, if known
  sha256: str | None = None  # hexadecimal, if known
  aliases: tuple[str, ...] = ()  # names that browsers or other releases give the same file

  @property
  def is_zip(self) -> bool:
    """Whether it holds other files.

    >>> Archive('images.zip', 'https://example.org/images.zip').is_zip
    True
    """
    return self.name.endswith('.zip')


@dataclasses.dataclass(frozen=True)
class Source:
  """How to find and read the files of one data set.

  The patterns are searched, case-insensitively, in '/'-separated paths relative to the raw folder.
  Their one group is the key that an image and its mask share. Files are paired by this key, never
  by position.
  """

  code: str  # one of fscs.data.datasets.CODES
  folder: str  # subfolder of the raw folder
  archives: tuple[Archive, ...]
  image_pattern: str
  mask_pattern: str
  image_dtype: Literal['uint8', 'uint16'] = 'uint8'
  channels: Literal[1, 3] = 1
  # How instance labels follow from mask values; None if the source has none.
  # 'regions': every connected region of one value is an object, which separates touching objects.
  # 'instances': every value is an object; in a mask of a single value, which is binary, every
  # connected component is one.
  labels: Literal['regions', 'instances'] | None = None
  stack: bool = False  # one multi-page file of images and one of masks, paired by page

  def key(self, pattern: str, path: str) -> str | None:
    """The pairing key of a path, or None if the pattern does not match.

    >>> source = Source('X', 'X', (), r'images/([^/]+)[.]tif$', r'masks/([^/]+)[.]png$')
    >>> source.key(source.image_pattern, 'X/images/a1.tif')
    'a1'
    """
    found = re.search(pattern, path, flags=re.IGNORECASE)
    return found.group(1) if found else None
