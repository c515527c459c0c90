"""Predictions of a study, kept beside the files of its cells."""

import zipfile
from pathlib import Path

import numpy as np

from fscs.errors import InputError


def keep(path: Path, predictions: np.ndarray) -> None:
  """(N, H, W) booleans beside the file of a cell, a bit per pixel."""
  path.parent.mkdir(parents=True, exist_ok=True)
  packed = np.packbits(predictions)
  np.savez_compressed(path.with_suffix('.npz'), packed=packed, shape=predictions.shape)


def read(path: Path) -> np.ndarray:
  """What `keep` wrote beside the file of a cell.

  Raises:
    InputError: the file is damaged.
  """
  path = path.with_suffix('.npz')
  try:
    with np.load(path) as content:
      shape = tuple(content['shape'])
      return np.unpackbits(content['packed'])[: np.prod(shape)].reshape(shape).astype(bool)
  except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
    raise InputError(
      f'{path} is damaged ({error}): remove it and the .json beside it to do this part again'
    ) from error
