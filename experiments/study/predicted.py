"""Predictions of a study, kept beside the files of its cells; some of them are published."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from experiments.study.cells import Cell
from fscs.errors import InputError
from fscs.io.atomic import write_bytes

PUBLISHED = 'predictions.zip'  # beside the results.jsonl that they belong to


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


def pack(workdir: Path, cells: Iterable[Cell], path: Path) -> None:
  """Write what a workdir keeps of cells into one file, or remove that where it keeps nothing."""
  files = [cell.file.with_suffix('.npz') for cell in sorted(cells)]
  if not (found := [file for file in files if (workdir / file).exists()]):
    path.unlink(missing_ok=True)
    return
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as packed:
    for file in found:  # without its time, so that the same predictions make the same file
      packed.writestr(zipfile.ZipInfo(file.as_posix()), (workdir / file).read_bytes())
  write_bytes(path, content.getvalue())


def unpack(path: Path, workdir: Path, cells: Iterable[Cell]) -> None:
  """Keep in a workdir what such a file has of cells.

  Raises:
    InputError: the file is damaged.
  """
  try:
    with zipfile.ZipFile(path) as packed:
      names = set(packed.namelist())
      for file in (cell.file.with_suffix('.npz') for cell in cells):
        if file.as_posix() in names:
          (workdir / file).parent.mkdir(parents=True, exist_ok=True)
          write_bytes(workdir / file, packed.read(file.as_posix()))
  except zipfile.BadZipFile as error:
    raise InputError(f'{path} is damaged ({error}): remove it, or copy it again') from error
