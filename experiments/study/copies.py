"""Which copies of the data sets the results of a study are of, kept beside them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.common import data
from experiments.common.options import DataOptions
from experiments.study.cells import FOLDER, Cell
from experiments.study.contestants import CONTESTANTS
from fscs.data import datasets
from fscs.data.datasets import CODES
from fscs.errors import InputError
from fscs.io.atomic import write_text

FILE = 'copies.json'

Copies = Mapping[str, str]  # {code: fingerprint}, of the data sets that matter


def codes_of(cell: Cell) -> set[str]:
  """The data sets that a result depends on: its target, and the sources of what is trained."""
  return _codes_of(cell.target, cell.contestant)


def _codes_of(target: str, contestant: str) -> set[str]:
  known = CONTESTANTS.get(contestant)
  return set(CODES) if known and known.training else {target}


def fingerprints(cells: Iterable[Cell], options: DataOptions) -> dict[str, str]:
  """Of the data sets that cells depend on, as they are on disk; reads them."""
  codes = set().union(*map(codes_of, cells))
  return {code: datasets.fingerprint(data.load_set(code, options)) for code in sorted(codes)}


def unlike(there: Copies, here: Copies) -> set[str]:
  """The data sets that are here and of which there are other copies there, or who knows which."""
  return {code for code in here if there.get(code) != here[code]}


def read(workdir: Path) -> dict[str, str]:
  """Those of a study; none if it has no results yet.

  Raises:
    InputError: the file is damaged.
  """
  path = workdir / FILE
  if not path.exists():
    return {}
  try:
    return as_copies(json.loads(path.read_text()))
  except ValueError as error:
    raise InputError(f'{path} is damaged ({error}): give another --workdir') from error


def _of_results(workdir: Path) -> dict[str, str]:
  """Those of a study that any of its results depends on."""
  folders = {path.parent for path in (workdir / FOLDER).glob('*/*/*.json')}
  codes = set().union(*(_codes_of(folder.parent.name, folder.name) for folder in folders))
  return {code: digest for code, digest in read(workdir).items() if code in codes}


def as_copies(content: object) -> dict[str, str]:
  """Raises ValueError where JSON values are no such table."""
  if isinstance(content, dict) and all(isinstance(v, str) for v in content.values()):
    return content
  raise ValueError('it has no fingerprints of data sets')


def keep(workdir: Path, copies: Copies) -> None:
  """Write which copies results are about to be of; those of results there must be the same.

  Raises:
    InputError: the folder has results of other copies.
  """
  there = _of_results(workdir)
  if others := sorted(code for code in copies if there.get(code, copies[code]) != copies[code]):
    raise InputError(
      f'{workdir} has results of other copies of {", ".join(others)}, with more, fewer or other'
      ' images: give the --raw-dir that they were made with, or another --workdir'
    )
  workdir.mkdir(parents=True, exist_ok=True)
  write_text(workdir / FILE, json.dumps({**there, **copies}, indent=1) + '\n')
