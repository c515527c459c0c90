"""Reads the masks in NAME_seg.npy, the file in which Cellpose keeps its own data.

The file is a pickled dictionary. A pickle can run any code, so only NumPy arrays and plain values
are made of it, and everything else becomes an empty placeholder.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from fscs.errors import InputError
from fscs.io.files import CELLPOSE_ENDING, as_input_error

_NUMPY = {
  'numpy': ('ndarray', 'dtype'),
  'numpy.core.multiarray': ('_reconstruct', 'scalar'),
  'numpy._core.multiarray': ('_reconstruct', 'scalar'),
  '_codecs': ('encode',),
}


class _Placeholder:
  """Stands for an object that is not needed."""

  def __init__(self, *_args: Any, **_options: Any) -> None:
    pass

  def __setstate__(self, _state: Any) -> None:
    pass


class _Unpickler(pickle.Unpickler):
  """Makes NumPy arrays, plain values and placeholders."""

  def find_class(self, module: str, name: str) -> Any:
    """The class or function of a name in the file."""
    if name in _NUMPY.get(module, ()):
      return super().find_class(module, name)
    return _Placeholder


def is_own_file(path: Path) -> bool:
  """Whether a file is named as Cellpose's own and holds Python objects."""
  if not path.name.endswith(CELLPOSE_ENDING):
    return False
  with as_input_error(path), path.open('rb') as file:
    return _dtype_of(file).hasobject


def read_masks(path: Path) -> np.ndarray:
  """(H, W) integers: 0 is background, objects are 1 to n.

  Raises:
    InputError: the file is damaged, or is not Cellpose's.
  """
  with as_input_error(path), path.open('rb') as file:
    _dtype_of(file)
    found = _Unpickler(file, encoding='latin1').load()
    content = found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else None
    masks = content.get('masks') if isinstance(content, dict) else None
    if not isinstance(masks, np.ndarray) or masks.ndim != 2 or masks.dtype.kind not in 'iu':
      raise InputError(
        f'{path}: found Python objects without masks, expected what Cellpose saves; save the masks'
        ' as PNG or TIFF'
      )
  return masks


def _dtype_of(file) -> np.dtype:
  """Reads the header of an NPY file, up to its data."""
  version = np.lib.format.read_magic(file)
  reader = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
  }[version]
  return reader(file)[2]
