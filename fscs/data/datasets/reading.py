"""Decodes the image files of the public data sets, and makes instance labels of mask values."""

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
  """Read an image file of one page.

  Returns:
    An array as in `read_pages`.

  Raises:
    InputError: the file is no image, is damaged, or has several pages.
  """
  pages = read_pages(file)
  if len(pages) != 1:
    raise InputError(f'{file.location}: found {len(pages)} pages, expected 1; replace the file')
  return pages[0]


def read_pages(file: RawFile) -> list[np.ndarray]:
  """Read every page of an image file.

  Returns:
    (H, W), (H, W, 3) or (H, W, 4) each; bool, uint8 or uint16 in native byte order.

  Raises:
    InputError: the file is no image, or is damaged.
  """
  try:
    # Pillow warns of odd metadata, which makes no difference to the pixels.
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
  """Make instance labels of mask values.

  Args:
    values: (H, W), bool or unsigned integers; 0 is background.
    method: 'regions' or 'instances'; see `Source.labels`.

  Returns:
    (H, W) uint16; 0 is background.

  >>> instance_labels(np.array([[1, 1, 2, 0, 1]]), 'regions')
  array([[1, 1, 2, 0, 3]], dtype=uint16)
  >>> instance_labels(np.array([[1, 1, 2, 0, 1]]), 'instances')
  array([[1, 1, 2, 0, 1]], dtype=uint16)
  """
  values = values.astype(np.int32)
  binary = len(np.unique(values[values > 0])) < 2
  # Regions have one value each, so touching objects of different values stay apart.
  labels = np.asarray(label(values)) if method == 'regions' or binary else values
  return labels.astype(np.uint16)


def tiffsplit_name(page: int) -> str:
  """File name that libtiff's `tiffsplit` gives to a page, counted from 0.

  >>> tiffsplit_name(0), tiffsplit_name(26), tiffsplit_name(26 * 26)
  ('xaaa.tif', 'xaba.tif', 'xbaa.tif')
  """
  first, rest = divmod(page, 26 * 26)
  return 'x' + ''.join(chr(ord('a') + digit) for digit in (first, *divmod(rest, 26))) + '.tif'


def _to_array(page: Image.Image) -> np.ndarray:
  if page.mode == 'P':
    page = page.convert('RGB')
  pixels = np.array(page)
  if pixels.dtype == np.int32 and pixels.min() >= 0 and pixels.max() <= 0xFFFF:
    return pixels.astype(np.uint16)  # some releases of Pillow read 16-bit PNGs as 32-bit
  pixels = pixels.astype(pixels.dtype.newbyteorder('='), copy=False)
  return pixels[..., 0] if page.mode == 'LA' else pixels
