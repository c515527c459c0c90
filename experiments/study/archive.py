"""All results of a study in one file, a line each, to publish and to go on from.

The first lines are the terms of the contestants, the next which copies of the data sets the
results are of, the others results. Those predictions that the report draws are in a file beside it.
"""

import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.study import cells, copies, predicted, protocols, terms
from experiments.study.cells import Cell, Result
from experiments.study.contestants import CONTESTANTS
from experiments.study.protocols import PROTOCOLS
from fscs.errors import InputError
from fscs.io.atomic import write_text


def pack(workdir: Path, results: Mapping[protocols.Name, Iterable[Result]], path: Path) -> None:
  """Write results of a workdir by protocol, and the terms of all contestants that have any."""
  names = {f'{name}-{r.cell.contestant}' for name, of_it in results.items() for r in of_it}
  tables = terms.read_all(workdir)
  lines = [{'name': name, 'terms': tables[name]} for name in sorted(names & tables.keys())]
  lines.append({'copies': dict(sorted(copies.read(workdir).items()))})
  every = itertools.chain.from_iterable(results.values())
  lines += map(cells.to_json, sorted(every, key=lambda result: result.cell))
  write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))


class Known(NamedTuple):
  """What such a file holds."""

  tables: dict[str, Mapping[str, Any]]  # terms by name
  copies: dict[str, str]
  results: list[Result]


def unpack(path: Path, workdir: Path, here: copies.Copies) -> int:
  """Put the results that the workdir lacks there; returns how many.

  Contestants that were on other terms than they are in this version are left out, and named; so are
  results that depend on other copies of the data sets than those that are here.

  Raises:
    InputError: the file is missing or no such file, its predictions are damaged, or the workdir has
      results on other terms, or of other copies.
  """
  known = _read(path)
  strange = dict(_of_other_terms(known.tables))
  for name, differences in strange.items():
    print(
      f'note: results of {name} in --known={path} are left out, since they are on other terms than'
      f' those of this version: {"; ".join(differences)}',
      file=sys.stderr,
    )
  unlike = copies.unlike(known.copies, here)
  alike = [result for result in known.results if not copies.codes_of(result.cell) & unlike]
  if others := len(known.results) - len(alike):
    print(
      f'note: {others} results in --known={path} are left out, since they depend on other copies of'
      f' {", ".join(sorted(unlike))} than are here, as targets or as sources of what was trained',
      file=sys.stderr,
    )
  missing = [
    result
    for result in alike
    if not (workdir / result.cell.file).exists() and not _names_of(result.cell) & strange.keys()
  ]
  terms.keep_all(workdir, {name: t for name, t in known.tables.items() if name not in strange})
  codes = set().union(*(copies.codes_of(result.cell) for result in missing))
  copies.keep(workdir, {code: known.copies[code] for code in codes & known.copies.keys()})
  if (predictions := path.with_name(predicted.PUBLISHED)).exists():
    predicted.unpack(predictions, workdir, (result.cell for result in missing))
  for result in missing:
    cells.write(workdir, result)
  return len(missing)


def _read(path: Path) -> Known:
  """Raises InputError where the file is missing or holds other things."""
  try:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    tables = dict(_named_terms(line) for line in lines if 'terms' in line)
    found = [copies.as_copies(line['copies']) for line in lines if 'copies' in line]
    results = [cells.from_json(line) for line in lines if not {'terms', 'copies'} & set(line)]
    return Known(tables, found[0] if found else {}, results)
  except OSError as error:
    raise InputError(
      f'--known={path} cannot be read ({error.strerror}): give the results.jsonl of a report'
    ) from error
  except (ValueError, TypeError, KeyError) as error:
    raise InputError(
      f'--known={path} holds no results of a study ({error}): give the results.jsonl of a report'
    ) from error


def _of_other_terms(tables: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
  """The names of terms that are not those of this version, and where they differ."""
  for protocol, name in itertools.product(PROTOCOLS, CONTESTANTS):
    if table := tables.get(f'{protocol}-{name}'):
      simulated = bool(table.get('data', {}).get('simulated'))
      now = terms.of(name, protocol, simulated=simulated)
      if differences := terms.different(table, now):
        yield f'{protocol}-{name}', differences


def _names_of(cell: Cell) -> set[str]:
  """Those of the terms that a cell may be on."""
  return {f'{n}-{cell.contestant}' for n, p in PROTOCOLS.items() if cell.selection in p.selections}


def _named_terms(line: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
  """The name of a line of terms, and the terms. Raises ValueError where they are none."""
  name, table = line['name'], line['terms']
  if not re.fullmatch(r'[\w-]+', name) or not isinstance(table, dict):
    raise ValueError(f'{name!r} are no terms of a contestant')
  return name, table
