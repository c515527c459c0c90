"""Finds the raw files of a data set: in unpacked folders and in zip archives, read in place.

Paths are '/'-separated and relative to the raw folder. Nothing is ever unpacked to disk. What is
missing, ambiguous or damaged raises InputError with one line that names the file.
"""

import contextlib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fscs.data.datasets.sources import Source
from fscs.errors import InputError

# What opening and reading damaged archives raises; RuntimeError is for encrypted members.
DAMAGED_ARCHIVE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


class RawFile(NamedTuple):
  """One image file, in a folder or in an archive."""

  path: str  # relative to the raw folder; the archive's name is one of its parts
  location: str  # for messages
  read: Callable[[], bytes]


class RawFiles(NamedTuple):
  """The files of one source by pairing key."""

  images: dict[str, RawFile]
  masks: dict[str, RawFile]


def find_files(source: Source, raw_dir: Path, archives: contextlib.ExitStack) -> RawFiles:
  """Finds the images and masks of a source.

  Unpacked files go before archives, separately for images and for masks.

  Args:
    source: what to look for.
    raw_dir: folder with `source.folder` in it, or with the archives directly in it.
    archives: keeps opened archives open for as long as the files are read.

  Returns:
    The files by pairing key; neither side is empty.

  Raises:
    InputError: if there are no images or no masks, if two files have the same key, or if an
      archive is damaged or holds a member name that leads out of it.
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
      raise InputError(_nothing_found(source, raw_dir, kind))
  return RawFiles(images, masks)


def raw_fingerprint(source: Source, raw_dir: Path) -> str:
  """16 hexadecimal digits that change when the raw files of a source do.

  They cover relative path, size and time of change of each file that the source may read; contents
  are not read.

  Raises:
    InputError: if the folder does not exist or holds no file of the source.
  """
  if not raw_dir.is_dir():
    raise InputError(
      f'{raw_dir}: no such folder; expected the folder that holds {source.folder}/; give --raw-dir '
      'the right path, or leave it out to download'
    )
  paths = [raw_dir / path for path in _loose_paths(source, raw_dir)]
  paths += _archive_paths(source, raw_dir)
  if not paths:
    raise InputError(_nothing_found(source, raw_dir, 'images and masks'))
  digest = hashlib.sha256(source.code.encode())
  for path in sorted(set(paths)):
    try:
      status = path.stat()
    except OSError as error:
      raise InputError(
        f'{path}: {error.strerror}; expected a readable file: fetch it, or remove it if it is a'
        ' broken link'
      ) from error
    name = path.relative_to(raw_dir).as_posix()
    digest.update(f'{name}\0{status.st_size}\0{status.st_mtime_ns}\0'.encode())
  return digest.hexdigest()[:16]


def _loose_paths(source: Source, raw_dir: Path) -> list[str]:
  """Relative paths of the unpacked files that match one of the patterns, sorted."""
  paths = []
  for folder, _, names in os.walk(raw_dir / source.folder, followlinks=True):
    paths += [(Path(folder) / name).relative_to(raw_dir).as_posix() for name in names]
  # Stacks are published bare, so they may lie in the raw folder itself as archives may.
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
  """The published archives that are there; those in the source's own folder go first."""
  paths = []
  for archive in source.archives:
    names = (archive.name, *archive.aliases)
    places = [folder / name for folder in (raw_dir / source.folder, raw_dir) for name in names]
    paths += [place for place in places if place.is_file()][:1]
  return paths


def _members(path: Path, raw_dir: Path, archives: contextlib.ExitStack) -> list[RawFile]:
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
        f'{path}: found the member name {name!r}, which leads out of the archive; expected the '
        'published archive; delete the file and download it again'
      )
    if not name.endswith('/') and _is_data(name):
      # The archive's stem counts as a folder: some archives hold their files without one.
      relative = f'{prefix.removesuffix(".zip")}/{name}'
      files.append(RawFile(relative, f'{path}/{name}', _member_reader(archive, name)))
  return files


def _member_reader(archive: zipfile.ZipFile, name: str) -> Callable[[], bytes]:
  return lambda: archive.read(name)


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


def _nothing_found(source: Source, raw_dir: Path, kind: str) -> str:
  archives = ', '.join(archive.name for archive in source.archives)
  return (
    f'{raw_dir / source.folder}: found no {kind} of {source.code}, expected {archives} or what '
    'they unpack to; put them there, or leave --raw-dir out to download'
  )
