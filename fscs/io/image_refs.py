"""Names images: a file may hold one, or several scenes, which are images of their own."""

import dataclasses
import functools
import hashlib
import os
from pathlib import Path

from fscs.io.files import address_of, split_name


@dataclasses.dataclass(frozen=True, order=True)
class ImageRef:
  """An image: a file, or one of the scenes of a file with several.

  >>> ImageRef(Path('folder/plate.czi'), 'A/1').name
  'plate_A-1.czi'
  """

  path: Path
  scene: str | None = None  # None if the file holds one image

  @property
  def name(self) -> str:
    """Of the file, with the name of the scene before the suffix."""
    stem, suffix = split_name(self.path.name)
    if self.scene is None:
      return self.path.name
    return f'{stem}_{file_name_of(self.scene)}{suffix}'

  @property
  def stem(self) -> str:
    """The name without suffix, with which masks and results begin."""
    return split_name(self.name)[0]

  def __fspath__(self) -> str:
    return os.fspath(self.path)

  def __str__(self) -> str:
    return str(self.path.with_name(self.name))

  def digest(self) -> str:
    """16 hexadecimal digits that change with the contents of the file.

    Of a folder of Zarr: with the names, sizes and times of its files. Of an address: that alone.

    Raises:
      OSError: the file cannot be read.
    """
    if address := address_of(self.path):  # what is there is not read again to see a change
      return hashlib.sha256(address.encode()).hexdigest()[:16]
    if self.path.is_dir():
      return _folder_digest(self.path)
    status = self.path.stat()
    return _file_digest(self.path, status.st_size, status.st_mtime_ns)


def file_name_of(scene: str) -> str:
  """The name of a scene without what file systems refuse.

  >>> file_name_of('Project/Series: 1')
  'Project-Series- 1'
  """
  return ''.join('-' if c in '/\\:*?"<>|' or not c.isprintable() else c for c in scene).strip()


@functools.lru_cache  # the scenes of a file have one
def _file_digest(path: Path, _size: int, _changed: int) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()[:16]


def _folder_digest(folder: Path) -> str:
  digest = hashlib.sha256()
  for parent, folders, names in os.walk(folder):
    folders.sort()
    for name in sorted(names):
      path = Path(parent, name)
      status = path.stat()
      facts = (str(path.relative_to(folder)), status.st_size, status.st_mtime_ns)
      digest.update(repr(facts).encode())
  return digest.hexdigest()[:16]
