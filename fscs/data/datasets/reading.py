"""Reads images as they are on disk, and makes instance labels of mask values.

Images are arrays (H, W) or (H, W, channels) in the bit depth of the file. What cannot be read
raises InputError with one line that names the file.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageSequence
from skimage.measure import label

from fscs.data.datasets.raw_files import DAMAGED_ARCHIVE, RawFile
from fscs.errors import InputError

# Pillow raises SyntaxError for broken PNGs.
_DAMAGED = (*DAMAGED_ARCHIVE, SyntaxError, Image.DecompressionBombError)


def read_image(file: RawFile) -> np.ndarray:
  """Reads a file of one page; see `read_pages`."""
  pages = read_pages(file)
  if len(pages) != 1:
    raise InputError(f'{file.location}: found {len(pages)} pages, expected 1; replace the file')
  return pages[0]


def read_pages(file: RawFile) -> list[np.ndarray]:
  """Reads every page of an image file.

  Returns:
    Arrays (H, W), (H, W, 3) or (H, W, 4), bool, uint8 or uint16 in native byte order.

  Raises:
    InputError: if the file is not an image or is damaged.
  """
  try:
    # Pillow warns about odd metadata, which is of no account here; damaged pixels raise.
    with warnings.catch_warnings():
      warnings.filterwarnings('ignore', module='PIL')
      with Image.open(io.BytesIO(file.read())) as image:
        pages = [_to_array(page) for page in ImageSequence.Iterator(image)]
  except _DAMAGED as error:
    reason = ' '.join(str(error).split()) or type(error).__name__
    raise InputError(
      f'{file.location}: found a damaged or unknown image file ({reason}), expected TIFF or PNG; '
      'copy or download it again'
    ) from error
  return pages


def instance_labels(values: np.ndarray, method: str) -> np.ndarray:
  """Instance labels from mask values.

  Args:
    values: (H, W), bool or unsigned integers, 0 is background.
    method: 'regions' or 'instances'; see `Source.labels`.

  Returns:
    (H, W) uint16, 0 is background.
  """
  values = values.astype(np.int32)
  binary = len(np.unique(values[values > 0])) < 2
  # skimage labels regions of equal value, so touching objects of different value stay apart.
  labels = label(values) if method == 'regions' or binary else values
  return labels.astype(np.uint16)


def tiffsplit_name(page: int) -> str:
  """Name that libtiff's `tiffsplit` gives to a page, counted from 0: xaaa.tif, xaab.tif, ..."""
  first, rest = divmod(page, 26 * 26)
  return 'x' + ''.join(chr(ord('a') + digit) for digit in (first, *divmod(rest, 26))) + '.tif'


def _to_array(page: Image.Image) -> np.ndarray:
  if page.mode == 'P':
    page = page.convert('RGB')
  pixels = np.array(page)
  if pixels.dtype == np.int32 and pixels.min() >= 0 and pixels.max() <= 0xFFFF:
    return pixels.astype(np.uint16)  # some releases of Pillow widen 16-bit PNGs
  pixels = pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
  return pixels[..., 0] if page.mode == 'LA' else pixels
