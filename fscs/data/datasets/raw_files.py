"""Finds the raw files of a data set, in unpacked folders and in zip archives.

Paths are '/'-separated and relative to the raw folder. Archives are read in place.
"""

import contextlib
import functools
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fscs.data.datasets.sources import Source
from fscs.errors import InputError

# What damaged archives raise when opened or read; RuntimeError is for encrypted members.
DAMAGED_ARCHIVE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class RawFile(NamedTuple):
  """An image file, in a folder or in an archive."""

  path: str  # relative to the raw folder; the archive counts as a folder
  location: str  # for messages
  read: Callable[[], bytes]


class RawFiles(NamedTuple):
  """The files of a source by pairing key."""

  images: dict[str, RawFile]
  masks: dict[str, RawFile]


def find_files(source: Source, raw_dir: Path, archives: contextlib.ExitStack) -> RawFiles:
  """Find the images and masks of a source.

  Unpacked files are preferred to archives, separately for images and masks.

  Args:
    source: what to look for.
    raw_dir: folder that holds `source.folder`, or the archives themselves.
    archives: keeps the opened archives open while files are read.

  Returns:
    The files by pairing key; at least one image and one mask.

  Raises:
    InputError: there are no images or no masks, two files have one key, or an archive is damaged or
      has a member whose path leads out of it.
  """
  candidates = _loose_files(source, raw_dir)
  images = _by_key(source, source.image_pattern, candidates)
  masks = _by_key(source, source.mask_pattern, candidates)
  if not (images and masks):
    packed = []
    for path in _archive_paths(source, raw_dir):
      if path.suffix == '.zip':
        packed.extend(_members(path, raw_dir, archives))
    images = images or _by_key(source, source.image_pattern, packed)
    masks = masks or _by_key(source, source.mask_pattern, packed)
  for kind, files in (('images', images), ('masks', masks)):
    if not files:
      raise _nothing_found(source, raw_dir, kind)
  return RawFiles(images, masks)


def raw_fingerprint(source: Source, raw_dir: Path) -> str:
  """Hash of the raw files of a source, by path, size and modification time; none is read.

  Returns:
    16 hexadecimal digits.

  Raises:
    InputError: the folder does not exist, or has no file of the source.
  """
  if not raw_dir.is_dir():
    raise InputError(
      f'{raw_dir}: no such folder, expected the folder that holds {source.folder}/; correct the'
      ' path, or leave raw_dir out to download',
      arguments=('raw_dir',),
    )
  paths = [raw_dir / path for path in _loose_paths(source, raw_dir)]
  paths += _archive_paths(source, raw_dir)
  if not paths:
    raise _nothing_found(source, raw_dir, 'images and masks')
  digest = hashlib.sha256(source.code.encode())
  for path in sorted(set(paths)):
    try:
      status = path.stat()
    except OSError as error:
      raise InputError(
        f'{path}: {error.strerror}, expected a readable file; download it again, or remove it if it'
        ' is a broken link'
      ) from error
    name = path.relative_to(raw_dir).as_posix()
    digest.update(f'{name}\0{status.st_size}\0{status.st_mtime_ns}\0'.encode())
  return digest.hexdigest()[:16]


def _loose_paths(source: Source, raw_dir: Path) -> list[str]:
  """Relative paths of the unpacked files that match a pattern, sorted."""
  paths = []
  for folder, _, names in os.walk(raw_dir / source.folder, followlinks=True):
    paths += [(Path(folder) / name).relative_to(raw_dir).as_posix() for name in names]
  # Stacks are published without an archive, so like archives they may lie in the raw folder itself.
  bare = [path for path in _archive_paths(source, raw_dir) if path.suffix != '.zip']
  paths += [path.relative_to(raw_dir).as_posix() for path in bare]
  patterns = (source.image_pattern, source.mask_pattern)
  return sorted({p for p in paths if _is_data(p) and any(source.key(q, p) for q in patterns)})


def _loose_files(source: Source, raw_dir: Path) -> list[RawFile]:
  return [
    RawFile(path, str(raw_dir / path), (raw_dir / path).read_bytes)
    for path in _loose_paths(source, raw_dir)
  ]


def _archive_paths(source: Source, raw_dir: Path) -> list[Path]:
  """The published archives that exist; those in the source's own folder are preferred."""
  paths = []
  for archive in source.archives:
    names = (archive.name, *archive.aliases)
    places = [folder / name for folder in (raw_dir / source.folder, raw_dir) for name in names]
    paths += [place for place in places if place.is_file()][:1]
  return paths


def _members(path: Path, raw_dir: Path, archives: contextlib.ExitStack) -> list[RawFile]:
  """The files in a zip archive."""
  try:
    archive = archives.enter_context(zipfile.ZipFile(path))
  except DAMAGED_ARCHIVE as error:
    raise InputError(
      f'{path}: found {path.stat().st_size:,} bytes that are no complete zip archive ({error}), '
      'expected the published archive; delete the file and download it again'
    ) from error
  prefix = path.relative_to(raw_dir).as_posix()
  files = []
  for name in archive.namelist():
    parts = PurePosixPath(name.replace('\\', '/')).parts
    if '..' in parts or name.startswith(('/', '\\')) or ':' in name:
      raise InputError(
        f'{path}: found the member {name!r}, whose path leads out of the archive, expected the '
        'published archive; delete the file and download it again'
      )
    if not name.endswith('/') and _is_data(name):
      # The archive's stem counts as a folder: some archives hold their files without one.
      relative = f'{prefix.removesuffix(".zip")}/{name}'
      files.append(RawFile(relative, f'{path}/{name}', functools.partial(archive.read, name)))
  return files


def _is_data(path: str) -> bool:
  """False for hidden files and for the resource forks that macOS adds to archives."""
  return not any(part.startswith(('.', '__MACOSX')) for part in path.split('/'))


def _by_key(source: Source, pattern: str, files: list[RawFile]) -> dict[str, RawFile]:
  found: dict[str, RawFile] = {}
  for file in files:
    key = source.key(pattern, file.path)
    if key is None:
      continue
    if key in found:
      raise InputError(
        f'{file.location}: found the same name again in {found[key].location}, expected each once; '
        'remove one of the two'
      )
    found[key] = file
  return dict(sorted(found.items()))


def _nothing_found(source: Source, raw_dir: Path, kind: str) -> InputError:
  archives = ', '.join(archive.name for archive in source.archives)
  return InputError(
    f'{raw_dir / source.folder}: found no {kind} of {source.code}, expected {archives} or their'
    ' contents; put them there, or leave raw_dir out to download',
    arguments=('raw_dir',),
  )
