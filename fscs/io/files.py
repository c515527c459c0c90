"""Lists image files, decodes PNG, JPEG and BMP, and turns what readers raise into `InputError`."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fscs.errors import InputError

IMAGE_SUFFIXES = ('.tif', '.tiff', '.png', '.jpg', '.jpeg', '.bmp', '.npy')

_OTHER_PICTURES = ('.gif', '.webp', '.heic', '.jp2', '.dcm')
_VENDOR_FILES = ('.czi', '.nd2', '.lif', '.lsm', '.oib', '.oif', '.vsi', '.ims', '.svs', '.ndpi')
UNSUPPORTED_SUFFIXES = (*_OTHER_PICTURES, *_VENDOR_FILES, '.mrc')

MAX_DECODED_PIXELS = 2**30  # of a file that can only be decoded whole

_MAX_REASON = 200  # characters of another library's error in a message


def find_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
  """Files of some kinds in a folder, sorted by name.

  Subfolders and hidden files (leading dot) are left out. Images in unsupported formats are left out
  with a warning.

  Args:
    folder: where to look.
    suffixes: in lower case, with the dot. The case of the files' suffixes does not matter.

  Raises:
    InputError: the folder does not exist, cannot be read, or has no such file.
  """
  kinds = ', '.join(suffixes)
  entries = _entries(folder, kinds)
  files = [path for path in entries if path.suffix.lower() in suffixes and not path.is_dir()]
  unsupported = [path.name for path in entries if path.suffix.lower() in UNSUPPORTED_SUFFIXES]
  if not files and unsupported:
    raise InputError(
      f'{folder}: found only images in unsupported formats, such as {unsupported[0]}; save them as'
      ' TIFF'
    )
  if not files:
    found = f'{len(entries)} entries, none' if entries else 'nothing, no file'
    raise InputError(
      f'{folder}: found {found} of the kinds {kinds}; put the files directly into this folder, or '
      'choose another one'
    )
  if unsupported:
    warnings.warn(
      f'{folder}: {len(unsupported)} images in unsupported formats are left out, such as'
      f' {unsupported[0]}: save them as TIFF',
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


def require_usable(path: Path, suffixes: Sequence[str]) -> None:
  """Check that a file can be opened.

  Raises:
    InputError: the file does not exist, cannot be read, is empty, or has another suffix.
  """
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
    f'{path}: the file cannot be decoded as {path.suffix} ({reason}); copy it again, or save its '
    'pixels as an uncompressed TIFF'
  )


@contextlib.contextmanager
def tifffile_errors() -> Iterator[list[str]]:
  """Collect the errors that tifffile logs instead of raising them; its warnings are dropped."""
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
  """Decode a PNG, JPEG or BMP file.

  Returns:
    Grey values, (H, W) bool, uint8 or uint16; or colours, (H, W, 3) or (H, W, 4) uint8. Palettes
    are applied.

  Raises:
    InputError: the file has more than `MAX_DECODED_PIXELS`, or colours of 16 bits.
    Exception: whatever Pillow raises for a damaged file; see `as_input_error`.
  """
  with _no_pixel_limit(), Image.open(path, formats=('PNG', 'JPEG', 'BMP')) as image:
    if image.width * image.height > MAX_DECODED_PIXELS:
      raise InputError(
        f'{path}: found {image.width * image.height:,} pixels, expected at most '
        f'{MAX_DECODED_PIXELS:,} in this kind of file; save it as a tiled TIFF'
      )
    if image.mode.startswith('I'):  # some releases of Pillow read 16-bit grey PNGs as 32-bit
      return np.asarray(image).astype(np.uint16)
    if image.tile[0][3] in ('RGB;16B', 'RGBA;16B', 'LA;16B'):  # Pillow drops the lower 8 bits
      raise InputError(
        f'{path}: found a PNG of 16 bits with colours or alpha, expected 8 bits or plain grey; '
        'save it as TIFF'
      )
    if image.mode in ('1', 'L', 'RGB', 'RGBA'):
      return np.asarray(image)
    return np.asarray(image.convert('RGBA' if image.has_transparency_data else 'RGB'))


@contextlib.contextmanager
def _no_pixel_limit() -> Iterator[None]:
  """Lift Pillow's own limit, which is far below `MAX_DECODED_PIXELS`."""
  limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
  try:
    yield
  finally:
    Image.MAX_IMAGE_PIXELS = limit
