"""One experiment of a study each: a contestant that adapts to some images and is scored on others.

A cell is a file, written whole once it is done; so a study goes on where it stopped, and several
processes may share the work.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fscs.errors import InputError
from fscs.io.atomic import write_text

FOLDER = 'cells'


class Cell(NamedTuple):
  """What makes an experiment different from others."""

  target: str
  contestant: str
  shots: int
  selection: int
  seed: int
  steps: int  # of adaptation; 0 for contestants that take none

  @property
  def place(self) -> tuple[str, int, int, int]:
    """(target, shots, selection, seed): where contestants are compared."""
    return self.target, self.shots, self.selection, self.seed

  @property
  def file(self) -> Path:
    """Where it is kept, below the folder of the study."""
    name = f'K{self.shots}-selection{self.selection}-s{self.seed}-{self.steps}steps.json'
    return Path(FOLDER, self.target, self.contestant, name)


class Result(NamedTuple):
  """What came of a cell."""

  cell: Cell
  support: tuple[str, ...]  # names of the annotated images
  images: tuple[str, ...]  # and of those scored
  iou: tuple[float, ...]  # of each
  sections: tuple[int, ...] | None  # from each to the nearest annotated one; None: no stack
  average_precision: tuple[float, ...] | None  # at IoU 0.5; None where objects are not told apart
  seconds: float  # to adapt, compilation included
  seconds_per_image: float  # to predict
  peak_mb: float  # of the process until then
  losses: tuple[float, ...]  # the first and the mean of the last ten
  machine: str = ''  # that seconds and memory were measured on; empty: it was not written down
  start: str = ''  # digest of the parameters that adapted; empty: none, or it was not written down


def to_json(result: Result) -> dict[str, Any]:
  """A table of JSON values, see `from_json`."""
  return {**result._asdict(), 'cell': result.cell._asdict()}


def from_json(content: Any) -> Result:
  """The result that `to_json` made a table of.

  Raises:
    ValueError, TypeError, KeyError: it is no table, or of something else.
  """
  if not isinstance(content, dict):
    raise TypeError('it is no table of a result')
  lists = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
  cell = Cell(**content['cell'])
  if not all(re.fullmatch(r'[\w-]+', name) for name in cell[:2]):  # they become folders
    raise ValueError(f'{cell.target!r} and {cell.contestant!r} are no target and contestant')
  if not all(isinstance(number, int) for number in cell[2:]):
    raise ValueError(f'{tuple(cell[2:])} are no whole numbers')
  result = Result(**{**content, **lists, 'cell': cell})
  num_scores = len(np.asarray(result.iou, float))
  if num_scores != len(result.images) or not num_scores:
    raise ValueError(f'{num_scores} scores of {len(result.images)} images')
  return result


def of_same_images(workdir: Path, cell: Cell) -> Result | None:
  """A known result of any contestant that must be of the same images as a cell; None: none is."""
  names = f'*/K{cell.shots}-selection{cell.selection}-*.json'
  return next(map(read, sorted((workdir / FOLDER / cell.target).glob(names))), None)


def write(workdir: Path, result: Result) -> None:
  """Keep a result."""
  path = workdir / result.cell.file
  path.parent.mkdir(parents=True, exist_ok=True)
  write_text(path, json.dumps(to_json(result), indent=1) + '\n')


def read(path: Path) -> Result:
  """Raises InputError where the file is damaged."""
  try:
    return from_json(json.loads(path.read_text()))
  except (ValueError, TypeError, KeyError) as error:
    raise InputError(f'{path} is damaged ({error}): remove it to do this part again') from error


def read_all(workdir: Path) -> list[Result]:
  """All results of a study, in the order of their names."""
  return [read(path) for path in sorted((workdir / FOLDER).glob('*/*/*.json'))]
