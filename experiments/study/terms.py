"""What the results of a study depend on, kept beside them, so that no folder mixes two recipes."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiments.runs import write_text
from experiments.study import protocols
from experiments.study.protocols import CONTESTANTS, PROTOCOLS, TRAININGS
from fscs.errors import InputError

FOLDER = 'terms'

# Of a protocol: what decides the result of one experiment, not how many there are.
_OF_PROTOCOL = (
  'preset',
  'shots',
  'max_test_images',
  'training_steps',
  'training_crops',
  'inner_steps',
  'batch_size',
  'rehearsal',
)


def of(name: str, protocol: protocols.Name, *, simulated: bool) -> dict[str, Any]:
  """The terms of a contestant under a protocol, as JSON values."""
  contestant = CONTESTANTS[name]
  training = contestant.training and TRAININGS[contestant.training]._asdict()
  tuning = contestant.tuning and contestant.tuning._asdict()
  network = {'kernel_init': contestant.kernel_init, 'arch': contestant.arch}
  lengths = {field: getattr(PROTOCOLS[protocol], field) for field in _OF_PROTOCOL}
  groups = {'network': network, 'training': training, 'tuning': tuning, 'protocol': lengths}
  return json.loads(json.dumps({**groups, 'data': {'simulated': simulated}}))


def keep(
  workdir: Path, contestants: Iterable[str], protocol: protocols.Name, *, simulated: bool
) -> None:
  """Write the terms of what is about to be done; those that are there must be the same.

  Raises:
    InputError: the folder has results of a contestant on other terms.
  """
  keep_all(
    workdir,
    {f'{protocol}-{name}': of(name, protocol, simulated=simulated) for name in contestants},
  )


def keep_all(workdir: Path, tables: Mapping[str, Mapping[str, Any]]) -> None:
  """Write {protocol-contestant: terms}; those that are there must be the same.

  Raises:
    InputError: the folder has results of a contestant on other terms.
  """
  folder = workdir / FOLDER
  folder.mkdir(parents=True, exist_ok=True)
  for name, wanted in tables.items():
    path = folder / f'{name}.json'
    if not path.exists():
      write_text(path, json.dumps(wanted, indent=1) + '\n')
    elif differences := list(_differences(_read(path), wanted)):
      raise InputError(
        f'{workdir} has results of {name} on other terms: {"; ".join(differences)}. Give another'
        ' --workdir'
      )


def read_all(workdir: Path) -> dict[str, dict[str, Any]]:
  """{protocol-contestant: terms} of a study."""
  return {path.stem: _read(path) for path in sorted((workdir / FOLDER).glob('*.json'))}


def _read(path: Path) -> dict[str, Any]:
  try:
    content = json.loads(path.read_text())
    if isinstance(content, dict):
      return content
    raise ValueError('it is no table of terms')
  except ValueError as error:
    raise InputError(f'{path} is damaged ({error}): give another --workdir') from error


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], of: str = ''):
  """Where two tables of terms differ, in words."""
  for name in sorted(found.keys() | wanted.keys()):
    there, now = found.get(name), wanted.get(name)
    if isinstance(there, dict) and isinstance(now, dict):
      yield from _differences(there, now, f'{of}{name} ')
    elif there != now:
      yield f'{of}{name} is {there!r} there and {now!r} now'
