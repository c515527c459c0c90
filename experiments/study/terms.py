"""What the results of a study depend on, kept beside them, so that no folder mixes two recipes."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from experiments.common.options import DataOptions
from experiments.study import cells, networks, protocols
from experiments.study.contestants import CONTESTANTS, TRAININGS, Tuning
from experiments.study.protocols import PROTOCOLS
from fscs.errors import InputError
from fscs.io.atomic import write_text
from fscs.io.workdirs import PLACES

FOLDER = 'terms'
VERSION = 1  # to be raised where code, and no option, changes what comes out

# Of a protocol: what decides the result of one experiment, not how many there are. The sizes are
# the same for all that a folder holds, since its trainings serve all of its protocols.
_SIZES = (
  'preset',
  'training_steps',
  'training_crops',
  'inner_steps',
  'batch_size',
)
_NOT_KEPT = {*PLACES, 'target', 'seed', 'data'}  # places, and what is said elsewhere
_OF_PROTOCOL = (*_SIZES, 'shots', 'max_test_images', 'rehearsal')


def of(name: str, protocol: protocols.Name, *, simulated: bool) -> dict[str, Any]:
  """The terms of a contestant under a protocol, as JSON values."""
  contestant = CONTESTANTS[name]
  options = protocols.data_options(PROTOCOLS[protocol], simulated=simulated)
  training = contestant.training and TRAININGS[contestant.training]._asdict()
  if training:
    config = networks.training_config(name, PROTOCOLS[protocol], options)
    training['config'] = _without_places(config)
  tuning = contestant.tuning and protocols.tuning_of(name, PROTOCOLS[protocol])._asdict()
  network = {'kernel_init': contestant.kernel_init, 'arch': contestant.arch}
  lengths = {field: getattr(PROTOCOLS[protocol], field) for field in _OF_PROTOCOL}
  if contestant.colours:
    network['colours'] = True
  groups = {'network': network, 'training': training, 'tuning': tuning, 'protocol': lengths}
  data = {'simulated': simulated, **_without_places(options)}
  return _as_json({'version': VERSION, **groups, 'data': data})


def _without_places(options: Any) -> dict[str, Any]:
  return _kept(dataclasses.asdict(options))


def _kept(options: Mapping[str, Any]) -> dict[str, Any]:
  return {name: value for name, value in options.items() if name not in _NOT_KEPT}


def _as_json(values: Any) -> Any:
  return json.loads(json.dumps(values))


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
    InputError: the folder has results of a contestant on other terms, or of other sizes.
  """
  there = of_results(workdir)
  for name, wanted in tables.items():
    check_sizes(workdir, there, wanted)
    if name in there and (differences := different(there[name], wanted)):
      raise InputError(
        f'{workdir} has results of {name} on other terms: {"; ".join(differences)}. Give another'
        ' --workdir'
      )
  folder = workdir / FOLDER
  folder.mkdir(parents=True, exist_ok=True)
  for name, wanted in tables.items():
    full = _completed(wanted)
    if full != there.get(name):
      write_text(folder / f'{name}.json', json.dumps(full, indent=1) + '\n')


def check_sizes(
  workdir: Path, there: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Any]
) -> None:
  """Raises InputError where a folder's {protocol-contestant: terms} are of other sizes."""
  for name, found in there.items():
    if differences := list(_differences(_sizes(found), _sizes(wanted))):
      raise InputError(
        f'{workdir} has results on other terms, {name} for one: {"; ".join(differences)}. Give'
        ' another --workdir or --protocol'
      )


def _sizes(table: Mapping[str, Any]) -> dict[str, Any]:
  table = _completed(table)
  lengths = table.get('protocol', {})
  return {'protocol': {n: lengths.get(n) for n in _SIZES}, 'data': table.get('data', {})}


def read_all(workdir: Path) -> dict[str, dict[str, Any]]:
  """{protocol-contestant: terms} of a study."""
  return {path.stem: _read(path) for path in sorted((workdir / FOLDER).glob('*.json'))}


def of_results(workdir: Path) -> dict[str, dict[str, Any]]:
  """As `read_all`, without contestants that have no result yet, as where the first one failed."""
  contestants = {path.parent.name for path in (workdir / cells.FOLDER).glob('*/*/*.json')}
  done = {f'{protocol}-{name}' for protocol in PROTOCOLS for name in contestants}
  return {name: table for name, table in read_all(workdir).items() if name in done}


def _read(path: Path) -> dict[str, Any]:
  try:
    content = json.loads(path.read_text())
    if isinstance(content, dict):
      return content
    raise ValueError('it is no table of terms')
  except ValueError as error:
    raise InputError(f'{path} is damaged ({error}): give another --workdir') from error


def different(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
  """Where two tables of terms differ, in words."""
  return list(_differences(_completed(found), _completed(wanted)))


def _completed(table: Mapping[str, Any]) -> dict[str, Any]:
  """Terms with the defaults of options that there were not yet when they were written."""
  tuning, training, data = (table.get(name) for name in ('tuning', 'training', 'data'))
  if training and (config := training.get('config')):
    defaults = _as_json(_kept(networks.option_defaults(training['command'])))
    training = {**training, 'config': {**defaults, **config}}
  return {
    **table,
    'tuning': tuning and {**Tuning()._asdict(), **tuning},
    'training': training,
    'data': data and {**_without_places(DataOptions()), **data},
  }


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], of: str = ''):
  for name in sorted(found.keys() | wanted.keys()):
    there, now = found.get(name), wanted.get(name)
    if isinstance(there, dict) or isinstance(now, dict):
      yield from _differences(there or {}, now or {}, f'{of}{name} ')
    elif there != now:
      yield f'{of}{name} is {there!r} there and {now!r} now'
