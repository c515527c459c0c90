"""Lists image files, and turns what readers raise into `InputError`."""

import contextlib
import importlib.util
import logging
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from fscs.errors import InputError
from fscs.messages import counted

_KINDS_OF_TIFF = ('.btf', '.tf2', '.tf8', '.lsm', '.stk', '.qptiff', '.svs', '.ndpi')
TIFF_SUFFIXES = ('.tif', '.tiff', *_KINDS_OF_TIFF)
JPEG_SUFFIXES = ('.jpg', '.jpeg', '.jfif')
_PLAIN_SUFFIXES = (*TIFF_SUFFIXES, *JPEG_SUFFIXES, '.png', '.bmp', '.gif', '.webp', '.jp2', '.npy')

ZARR_SUFFIXES = ('.zarr', '.zarr.zip', '.ozx')
LIBRARIES = {'.nd2': 'nd2', '.lif': 'liffile'}  # of the extra `formats`, by suffix
IMAGE_SUFFIXES = (*_PLAIN_SUFFIXES, '.czi', *LIBRARIES, *ZARR_SUFFIXES)

ROI_SUFFIXES = ('.roi', '.zip')  # of ImageJ
GEOJSON_SUFFIX = '.geojson'
CELLPOSE_ENDING = '_seg.npy'  # of the file in which Cellpose keeps its own data
OUTLINE_SUFFIXES = (*ROI_SUFFIXES, GEOJSON_SUFFIX)
MASK_SUFFIXES = (*_PLAIN_SUFFIXES, *OUTLINE_SUFFIXES)

_OTHER_PICTURES = ('.heic', '.dcm', '.tga', '.ppm', '.pgm', '.nii', '.nrrd', '.mrc', '.mhd', '.npz')
_VENDOR_FILES = ('.oib', '.oif', '.vsi', '.ims', '.mrxs', '.scn', '.dv')
_CONTAINERS = ('.h5', '.hdf5', '.ilp', '.mat', '.avi', '.mp4')
UNSUPPORTED_SUFFIXES = (*_OTHER_PICTURES, *_VENDOR_FILES, *_CONTAINERS)

_DOUBLE_SUFFIXES = ('.ome.zarr.zip', '.zarr.zip', '.ome.zarr')
_SCHEME = re.compile('[a-z][a-z0-9]+')  # of an address; one letter is a drive of Windows
_MAX_REASON = 200  # characters of another library's error in a message


def split_name(name: str) -> tuple[str, str]:
  """A file's name without its suffix, and the suffix as it is written.

  >>> split_name('a.tif'), split_name('a.ome.zarr')
  (('a', '.tif'), ('a', '.ome.zarr'))
  """
  for suffix in _DOUBLE_SUFFIXES:
    if name.lower().endswith(suffix):
      return name[: -len(suffix)], name[-len(suffix) :]
  path = Path(name)
  return path.stem, path.suffix


def suffix_of(path: Path) -> str:
  """The suffix of a file in lower case, with the dot; .zarr of .ome.zarr.

  >>> suffix_of(Path('a.TIF')), suffix_of(Path('a.ome.zarr.zip'))
  ('.tif', '.zarr.zip')
  """
  return split_name(path.name)[1].lower().removeprefix('.ome')


def is_file(path: Path) -> bool:
  """Whether this may be read as a file; of Zarr, a folder is."""
  return path.is_dir() if suffix_of(path) == '.zarr' else not path.is_dir()


def missing_library(path: Path) -> str | None:
  """The library that reads a kind of file, if it is needed and not installed."""
  library = LIBRARIES.get(suffix_of(path))
  return library if library and importlib.util.find_spec(library) is None else None


def address_of(path: Path) -> str | None:
  """The address that a path was made of, which lost a slash; None for paths.

  >>> address_of(Path('https://host/a.zarr')), address_of(Path('a.zarr'))
  ('https://host/a.zarr', None)
  """
  scheme, colon, rest = path.as_posix().partition(':/')
  return f'{scheme}://{rest.lstrip("/")}' if colon and _SCHEME.fullmatch(scheme) else None


def find_files(
  folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, besides: Sequence[Path] = ()
) -> list[Path]:
  """Files of some kinds in a folder, sorted by name.

  Hidden files (leading dot) are left out. Images in sub-folders and in unsupported formats are left
  out with a warning.

  Args:
    folder: where to look. A Zarr, on disk or at an address, is taken as the only file.
    suffixes: in lower case, with the dot. The case of the files' suffixes does not matter.
    besides: other folders that are read; they may be sub-folders without a warning.

  Raises:
    InputError: the folder does not exist, cannot be read, or has no such file; or all need a
      library that is not installed.
  """
  if suffix_of(folder) in ZARR_SUFFIXES and suffix_of(folder) in suffixes:
    return [folder]
  kinds = ', '.join(suffixes)
  entries = _entries(folder, kinds)
  files = [path for path in entries if suffix_of(path) in suffixes and is_file(path)]
  lacking = [path for path in files if missing_library(path)]
  files = [path for path in files if path not in lacking]
  unsupported = [path.name for path in entries if suffix_of(path) in UNSUPPORTED_SUFFIXES]
  read = {os.path.realpath(other) for other in besides}
  nested = [
    path
    for path in entries
    if path.is_dir() and os.path.realpath(path) not in read and _has_files(path, suffixes)
  ]
  if not files and lacking:
    raise no_library(lacking[0])
  if not files and unsupported:
    raise InputError(
      f'{folder}: found only images in unsupported formats, such as {unsupported[0]}; save them as'
      ' TIFF'
    )
  if not files:
    found = f'{len(entries)} entries, none' if entries else 'nothing, no file'
    raise InputError(
      f'{folder}: found {found} of the kinds {kinds}; put the files directly into this folder, or '
      f'choose another one{f", such as {nested[0]}" if nested else ""}'
    )
  if unsupported:
    warnings.warn(
      f'{folder}: {len(unsupported)} images in unsupported formats are left out, such as'
      f' {unsupported[0]}: save them as TIFF',
      stacklevel=2,
    )
  if lacking:
    warnings.warn(
      f'{counted(len(lacking), "image")} left out: {no_library(lacking[0])}', stacklevel=2
    )
  if nested:
    warnings.warn(
      f'{folder}: images in {len(nested)} sub-folders are left out, such as {nested[0].name}: give'
      ' each folder by itself',
      stacklevel=2,
    )
  return files


def _entries(folder: Path, kinds: str) -> list[Path]:
  """What is in a folder and not hidden, sorted by name."""
  try:
    return sorted(path for path in folder.iterdir() if not path.name.startswith('.'))
  except FileNotFoundError as error:
    raise InputError(
      f'{folder}: no such folder, expected one with files of the kinds {kinds}; correct the path'
    ) from error
  except NotADirectoryError as error:
    raise InputError(
      f'{folder}: found a file, expected a folder with files of the kinds {kinds}; give the folder '
      'that holds it'
    ) from error
  except OSError as error:
    raise InputError(
      f'{folder}: the folder cannot be read ({error.strerror}), expected files of the kinds '
      f'{kinds}; change its permissions, or choose another folder'
    ) from error


def _has_files(folder: Path, suffixes: Sequence[str]) -> bool:
  if suffix_of(folder) in (*UNSUPPORTED_SUFFIXES, *ZARR_SUFFIXES):  # counted as one
    return False
  with contextlib.suppress(OSError):
    return any(suffix_of(path) in suffixes for path in folder.iterdir())
  return False


def require_usable(path: Path, suffixes: Sequence[str]) -> None:
  """Check that a file can be opened.

  Raises:
    InputError: the file does not exist, cannot be read, is empty, has another suffix, or needs a
      library that is not installed.
  """
  if suffix_of(path) not in suffixes:
    raise InputError(
      f'{path}: found the unknown suffix {suffix_of(path)!r}, expected one of'
      f' {", ".join(suffixes)}; save it as one of these'
    )
  if missing_library(path):
    raise no_library(path)
  if address_of(path):
    return
  if suffix_of(path) == '.zarr':
    _require_folder(path)
    return
  try:
    with path.open('rb') as file:
      empty = not file.read(1)
  except FileNotFoundError as error:
    if path.is_symlink():
      raise InputError(f'{path}: a link to a missing file; repair or remove it') from error
    raise InputError(f'{path}: no such file; correct the path') from error
  except IsADirectoryError as error:
    raise InputError(f'{path}: found a folder, expected a file; correct the path') from error
  except OSError as error:
    raise InputError(
      f'{path}: the file cannot be read ({error.strerror}); change its permissions, or copy it'
    ) from error
  if empty:
    raise InputError(f'{path}: found an empty file of 0 bytes; copy or save it again')


def no_library(path: Path) -> InputError:
  """The error to raise if the library that reads a file is not installed."""
  return InputError(
    f'{path}: found {suffix_of(path)}, which the library {LIBRARIES[suffix_of(path)]} reads, and it'
    " is not installed; install the extra: pip install 'fscs[formats]'"
  )


def _require_folder(path: Path) -> None:
  if not path.is_dir():
    found = 'found a file' if path.exists() else 'no such folder'
    raise InputError(f'{path}: {found}, expected a folder of Zarr; correct the path')


@contextlib.contextmanager
def as_input_error(path: Path) -> Iterator[None]:
  """Turn whatever is raised while a file is read into an `InputError` that names the file."""
  try:
    yield
  except InputError:
    raise
  except Exception as error:  # for damaged files decoders raise almost anything
    raise undecodable(path, str(error) or type(error).__name__) from error


def undecodable(path: Path, reason: str) -> InputError:
  """The error to raise for a damaged file.

  Args:
    path: the file.
    reason: shown on one line, and shortened.
  """
  reason = ' '.join(reason.split())
  if len(reason) > _MAX_REASON:
    reason = reason[:_MAX_REASON] + '...'
  return InputError(
    f'{path}: the file cannot be decoded as {suffix_of(path)} ({reason}); copy it again, or save'
    ' its pixels as an uncompressed TIFF'
  )


@contextlib.contextmanager
def logged_errors(library: str = 'tifffile') -> Iterator[list[str]]:
  """Collect the errors that a library logs instead of raising them; its warnings are dropped."""
  errors = []

  def collect(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.ERROR:
      errors.append(record.getMessage())
    return False

  logger = logging.getLogger(library)
  logger.addFilter(collect)
  try:
    yield errors
  finally:
    logger.removeFilter(collect)
