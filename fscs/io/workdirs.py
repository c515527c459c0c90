"""Folders of runs: their configuration, the versions behind them, and a lock."""

import contextlib
import dataclasses
import errno
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from fscs.environment import versions
from fscs.errors import InputError
from fscs.io.atomic import write_text
from fscs.messages import examples

CONFIG_FILE = 'config.json'

# Options that say where things are; a run may go on with others.
PLACES = {'workdir', 'raw_dir', 'data_dir'}

# Options of earlier versions, with the value under which a run can go on without them.
RETIRED = {'stretch': False}


def describe(config: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
  """The configuration and facts of a run as JSON values."""
  # Through JSON, so that tuples are lists as they will be when read back.
  return json.loads(json.dumps({'config': dataclasses.asdict(config), **facts}, default=str))


@contextlib.contextmanager
def opened_workdir(
  workdir: Path,
  config: Any,
  facts: Mapping[str, Any],
  *,
  free: Collection[str] = (),
  part: str | None = None,
  result: str | None = None,
  room: int = 0,
) -> Iterator[None]:
  """Make the folder of a run, lock it and write its configuration.

  A run that is there already must have the same configuration. No other process works on the same
  part of the folder meanwhile.

  Args:
    workdir: folder of the run.
    config: dataclass of the command.
    facts: what else must be equal to go on, such as the fingerprints of data.
    free: options that may differ, besides those that say where things are.
    part: a part of the work that other processes may do other parts of, such as '1/3'.
    result: the file or folder that a finished run has; without it another run may take the place.
    room: bytes that the results will take; known to be there before anything is computed.

  Raises:
    InputError: the folder belongs to a run of another configuration, cannot be written, has too
      little room, or another process is at work there.
  """
  wanted = describe(config, facts)
  path = workdir / CONFIG_FILE
  with contextlib.ExitStack() as stack:
    with _as_input_error(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
      stack.enter_context(locked(workdir, part))
    if path.exists() and not _is_unfinished(workdir, facts, result):
      found = read_config(workdir)
      defaults = {f.name: f.default for f in dataclasses.fields(config)}
      _require_same(found, wanted, defaults, workdir, PLACES | set(free), _paths_in(config))
      if found.get('versions') != versions():
        print(f'note: {workdir} was begun with other package versions: {path}', file=sys.stderr)
    with _as_input_error(workdir):
      write_text(path, json.dumps({**wanted, 'versions': versions()}, indent=2) + '\n')
      if room:
        _require_room(workdir, room)
    yield


def _require_room(folder: Path, size: int) -> None:
  """Raise OSError if a file of `size` bytes cannot be written."""
  probe = folder / '.room'
  try:
    probe.write_bytes(bytes(size))  # quotas are not seen in another way
  finally:
    probe.unlink(missing_ok=True)


def _is_unfinished(workdir: Path, facts: Mapping[str, Any], result: str | None) -> bool:
  """Whether the folder has a run of the same command without its result."""
  unfinished = result is not None and not (workdir / result).exists()
  return unfinished and read_config(workdir)['command'] == facts['command']


@contextlib.contextmanager
def _as_input_error(workdir: Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise InputError(
      f'workdir {workdir} cannot be written: {error.strerror or error}', arguments=('workdir',)
    ) from error


@contextlib.contextmanager
def locked(workdir: Path, part: str | None = None, argument: str = 'workdir') -> Iterator[None]:
  """A lock that the system releases when the process ends, in whatever way.

  Args:
    workdir: the folder that no other process shall work in.
    part: a part of the work that other processes may do other parts of.
    argument: what the folder was given as, for the error.

  Raises:
    InputError: another process has the lock.
  """
  from filelock import FileLock, Timeout

  lock = FileLock(workdir / f'.lock{"-" + part.replace("/", "-of-") if part else ""}')
  try:
    lock.acquire(blocking=False)
  except Timeout as error:
    raise InputError(
      f'{argument} {workdir}: another process is at work there; wait until it has ended, or give'
      f' another folder (if there is none, remove {lock.lock_file})',
      arguments=(argument,),
    ) from error
  except NotImplementedError:
    pass  # the file system has no locks
  except OSError as error:
    if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
      raise
  try:
    yield
  finally:
    lock.release()


def require_config(workdir: Path, config: Any) -> None:
  """Raises InputError if the folder belongs to a run of another configuration."""
  wanted = describe(config, {})
  defaults = {f.name: f.default for f in dataclasses.fields(config)}
  _require_same(read_config(workdir), wanted, defaults, workdir, PLACES, _paths_in(config))


def _paths_in(config: Any) -> list[str]:
  """The options that hold a path; it may be written absolutely or relatively."""
  fields = dataclasses.fields(config)
  return [field.name for field in fields if isinstance(getattr(config, field.name), Path)]


def _require_same(
  found: Mapping[str, Any],
  wanted: Mapping[str, Any],
  defaults: Mapping[str, Any],
  workdir: Path,
  free: Collection[str],
  paths: Collection[str],
) -> None:
  old, new = dict(found['config']), dict(wanted['config'])
  for name in paths:
    for values in (old, new):
      values[name] = values.get(name) and str(Path(values[name]).resolve())
  differences = [  # options that the run did not have yet had their default
    f'{name} is {old.get(name)!r} there and {value!r} now'
    for name, value in new.items()
    if name not in free and old.get(name, defaults.get(name)) != value
  ]
  differences += [
    f'{name} is {value!r} there and no option now'
    for name, value in old.items()
    if name not in new and value is not None and value != RETIRED.get(name)
  ]
  differences += [
    f'{name} differs{_changed_entries(found.get(name), wanted[name])}'
    for name in wanted
    if name != 'config' and found.get(name) != wanted[name]
  ]
  if differences:
    raise InputError(
      f'workdir {workdir} belongs to another run: {"; ".join(differences)}.'
      ' Give another folder, or remove it',
      arguments=('workdir',),
    )


def _changed_entries(there: Any, now: Any) -> str:
  """Entries of two tables or lists of names that are not in both, in words."""
  names: set[str] = set()
  if isinstance(there, dict) and isinstance(now, dict):
    names = {name for name in there.keys() | now.keys() if there.get(name) != now.get(name)}
  elif isinstance(there, list) and isinstance(now, list):
    names = {entry for entry in set(there) ^ set(now) if isinstance(entry, str)}
  return f' ({examples(sorted(names))})' if names else ''


def read_config(workdir: Path) -> dict[str, Any]:
  """What `opened_workdir` wrote.

  Raises:
    InputError: there is none, or it is damaged.
  """
  path = workdir / CONFIG_FILE
  try:
    content = json.loads(path.read_text())
    if {'command', 'config'} <= content.keys():
      return content
    raise ValueError('it has no command or no config')
  except OSError as error:
    raise InputError(f'{path}: {error.strerror or error}; expected the folder of a run') from error
  except (ValueError, AttributeError) as error:
    raise InputError(
      f'{path} is no configuration of a run ({error}): give another folder'
    ) from error
