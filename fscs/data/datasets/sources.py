"""Where each data set comes from: published archives, and which of their files belong together."""

import dataclasses
import re
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Archive:
  """One published file of a data set: a zip archive, or the image stack itself."""

  name: str  # file name under <raw_dir>/<folder of the source>/
  address: str  # published address
  size: int | None = None  # bytes, where known
  sha256: str | None = None  # hexadecimal, where known
  aliases: tuple[str, ...] = ()  # names that browsers or other releases give the same file

  @property
  def is_zip(self) -> bool:
    return self.name.endswith('.zip')


@dataclasses.dataclass(frozen=True)
class Source:
  """How to find and read the files of one data set.

  Patterns are searched for in '/'-separated paths relative to the raw folder, without regard to
  case. Their one group is the key that an image and its mask have in common: files are paired by
  it, never by position.
  """

  code: str  # one of fscs.data.datasets.CODES
  folder: str  # sub-folder of the raw folder
  archives: tuple[Archive, ...]
  image_pattern: str
  mask_pattern: str
  image_dtype: Literal['uint8', 'uint16'] = 'uint8'
  channels: Literal[1, 3] = 1
  # How instance labels follow from mask values; None where the source has none.
  # 'regions': every connected region of one value is an object, so that touching objects differ.
  # 'instances': every value is an object; a mask with a single value is binary and then its
  # connected components are the objects.
  labels: Literal['regions', 'instances'] | None = None
  stack: bool = False  # one multi-page file of images and one of masks, paired by page

  def key(self, pattern: str, path: str) -> str | None:
    """The pairing key of `path` under one of the two patterns, None where it does not match."""
    found = re.search(pattern, path, flags=re.IGNORECASE)
    return found.group(1) if found else None
