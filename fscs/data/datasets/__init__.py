"""The five public data sets of the paper, as images, masks and file names.

`load` downloads, prepares and reads a data set with TensorFlow Datasets, without TensorFlow.
Importing this module does not import tensorflow-datasets.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from fscs.data.image_sets import ImageSet
from fscs.environment import default_data_dir
from fscs.errors import InputError

Code = Literal['B5', 'B39', 'ssTEM', 'EM', 'TNBC']
CODES: tuple[Code, ...] = get_args(Code)


def load(
  code: str,
  *,
  data_dir: str | os.PathLike | None = None,
  raw_dir: str | os.PathLike | None = None,
) -> ImageSet:
  """Load a public data set; the first call prepares it.

  Images without a mask and masks without an image are left out, with a warning.

  Args:
    code: one of `CODES`.
    data_dir: folder for downloads and prepared data. Default: the environment variable
      FSCS_DATA_DIR, else ~/.cache/fscs.
    raw_dir: folder with the published archives, packed or unpacked, in subfolders BBBC005, BBBC039,
      ssTEM, EM and TNBC. With it nothing is downloaded. If names, sizes or modification times in it
      change, the data are prepared anew.

  Returns:
    The images in their own bit depth, sorted by name: B5, ssTEM and EM (H, W) uint8, B39 (H, W)
    uint16, TNBC (H, W, 3) uint8. B39 and TNBC have instance labels.

  Raises:
    InputError: the code is unknown, or files are missing, damaged or not as published.

  Examples:
    image_set = load('B39', raw_dir='downloads')
    image, mask = image_set.images[0], image_set.masks[0]
  """
  if code not in CODES:
    raise InputError(f'code {code!r}: expected one of {", ".join(CODES)}', arguments=('code',))
  from fscs.data.datasets import preparation  # imports tensorflow-datasets

  data_dir = default_data_dir(data_dir)
  raw_dir = None if raw_dir is None else Path(raw_dir).expanduser().absolute()
  return preparation.read(preparation.prepare(code, data_dir, raw_dir))


def prepared(codes: Iterable[str], data_dir: str | os.PathLike | None = None) -> bool:
  """Whether `load` finds all of these data sets on disk without a `raw_dir`."""
  from fscs.data.datasets import preparation  # imports tensorflow-datasets

  return all(preparation.is_prepared(code, default_data_dir(data_dir)) for code in codes)


def fingerprint(image_set: ImageSet) -> str:
  """Hash of a data set's contents, to record with results.

  Args:
    image_set: any data set. The order of its images counts, its labels do not.

  Returns:
    16 hexadecimal digits of the SHA-256 over code, names, images and masks.

  >>> fingerprint(ImageSet('B5', (), (), ()))
  '8c9b4185ea5b93cc'
  """
  digest = hashlib.sha256()

  def add(content) -> None:
    # The length before each part distinguishes ('ab', 'c') from ('a', 'bc').
    digest.update(len(content).to_bytes(8, 'little'))
    digest.update(content)

  add(image_set.code.encode(errors='surrogateescape'))
  for name, image, mask in zip(image_set.names, image_set.images, image_set.masks, strict=True):
    add(name.encode(errors='surrogateescape'))
    for array in (image, mask):
      add(f'{array.dtype.str} {array.shape}'.encode())
      add(array.tobytes())
  return digest.hexdigest()[:16]


__all__ = ['CODES', 'fingerprint', 'load', 'prepared']
