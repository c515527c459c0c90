"""Finds files by kind, decodes PNG, JPEG and BMP, and says in one line why a file is of no use."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fscs.errors import InputError

IMAGE_SUFFIXES = ('.tif', '.tiff', '.png', '.jpg', '.jpeg', '.bmp', '.npy')

# Kinds of images that people have and that cannot be read here.
OTHER_IMAGE_SUFFIXES = (
  *('.gif', '.webp', '.heic', '.jp2', '.dcm'),
  *('.czi', '.nd2', '.lif', '.lsm', '.oib', '.oif', '.vsi', '.ims', '.svs', '.ndpi', '.mrc'),
)

# More than this many pixels are not decoded whole.
MAX_DECODED_PIXELS = 2**30

_LONGEST_REASON = 200  # characters


def find_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
  """The files of some kinds in a folder, sorted by name.

  Sub-folders and files whose name begins with a dot are left out; of images of other kinds there
  is a warning.

  Args:
    folder: where to look.
    suffixes: lower case, with the dot; files are compared without regard to case.

  Raises:
    InputError: there is no such folder, it cannot be read, or no file is of one of those kinds.
  """
  kinds = ', '.join(suffixes)
  entries = _entries(folder, kinds)
  files = [path for path in entries if path.suffix.lower() in suffixes and not path.is_dir()]
  others = [path.name for path in entries if path.suffix.lower() in OTHER_IMAGE_SUFFIXES]
  if not files and others:
    raise InputError(
      f'{folder}: found images of kinds that cannot be read, such as {others[0]}; save them as TIFF'
    )
  if not files:
    found = f'{len(entries)} entries, none' if entries else 'nothing, no file'
    raise InputError(
      f'{folder}: found {found} of the kinds {kinds}; put the files directly into this folder, or '
      'choose another one'
    )
  if others:
    warnings.warn(
      f'{folder}: {len(others)} of the files cannot be read and are passed over, such as'
      f' {others[0]}: save them as TIFF',
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
      f'{kinds}; allow reading it, or choose another folder'
    ) from error


def require_usable(path: Path, suffixes: Sequence[str]) -> None:
  """Raises InputError unless a file is there, can be read, is not empty and is of a known kind."""
  if path.suffix.lower() not in suffixes:
    raise InputError(
      f'{path}: found the unknown suffix {path.suffix!r}, expected one of {", ".join(suffixes)}; '
      'save it as one of these'
    )
  try:
    with path.open('rb') as file:
      empty = not file.read(1)
  except FileNotFoundError as error:
    if path.is_symlink():
      raise InputError(f'{path}: a link to a file that is not there; mend or remove it') from error
    raise InputError(f'{path}: no such file; correct the path') from error
  except IsADirectoryError as error:
    raise InputError(f'{path}: found a folder, expected a file; correct the path') from error
  except OSError as error:
    raise InputError(
      f'{path}: the file cannot be read ({error.strerror}); allow reading it, or copy it to '
      'where you may'
    ) from error
  if empty:
    raise InputError(f'{path}: found an empty file of 0 bytes; copy or save it again')


@contextlib.contextmanager
def as_input_error(path: Path) -> Iterator[None]:
  """Raises InputError for whatever else is raised while the file is read."""
  try:
    yield
  except InputError:
    raise
  except Exception as error:  # damaged files make decoders raise almost anything
    raise undecodable(path, str(error) or type(error).__name__) from error


def undecodable(path: Path, reason: str) -> InputError:
  """The error to raise for a file that cannot be decoded."""
  reason = ' '.join(reason.split())
  if len(reason) > _LONGEST_REASON:
    reason = reason[:_LONGEST_REASON] + '...'
  return InputError(
    f'{path}: the file cannot be decoded as {path.suffix} ({reason}); copy it again, or save its '
    'pixels as an uncompressed TIFF'
  )


@contextlib.contextmanager
def tifffile_errors() -> Iterator[list[str]]:
  """Collects the errors that tifffile logs; what it logs of odd metadata is dropped."""
  errors = []

  def collect(record: logging.LogRecord) -> bool:
    if record.levelno >= logging.ERROR:
      errors.append(record.getMessage())
    return False

  logger = logging.getLogger('tifffile')
  logger.addFilter(collect)
  try:
    yield errors
  finally:
    logger.removeFilter(collect)


def decode(path: Path) -> np.ndarray:
  """Decodes a PNG, JPEG or BMP file.

  Returns:
    (H, W) bool, uint8 or uint16; (H, W, 3) or (H, W, 4) uint8 of colours, those of a palette too.

  Raises:
    InputError: more than `MAX_DECODED_PIXELS`, or colours of 16 bits.
    Exception: anything that Pillow raises; see `as_input_error`.
  """
  with _no_pixel_limit(), Image.open(path, formats=('PNG', 'JPEG', 'BMP')) as image:
    if image.width * image.height > MAX_DECODED_PIXELS:
      raise InputError(
        f'{path}: found {image.width * image.height:,} pixels, expected at most '
        f'{MAX_DECODED_PIXELS:,} in this kind of file; save it as a tiled TIFF'
      )
    if image.mode.startswith('I'):  # some releases of Pillow widen grey PNGs of 16 bits
      return np.asarray(image).astype(np.uint16)
    if image.tile[0][3] in ('RGB;16B', 'RGBA;16B', 'LA;16B'):  # Pillow drops the lower 8 bits
      raise InputError(
        f'{path}: found a PNG of 16 bits with colours or alpha, expected 8 bits or plain grey; '
        'save it as TIFF'
      )
    if image.mode not in ('1', 'L', 'RGB', 'RGBA'):
      image = image.convert('RGBA' if image.has_transparency_data else 'RGB')
    return np.asarray(image)


@contextlib.contextmanager
def _no_pixel_limit() -> Iterator[None]:
  """Lifts Pillow's own limit, which is far below `MAX_DECODED_PIXELS`."""
  limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
  try:
    yield
  finally:
    Image.MAX_IMAGE_PIXELS = limit
