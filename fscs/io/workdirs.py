"""Folders of runs: configuration, versions, who is at work there."""

import contextlib
import dataclasses
import errno
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock, Timeout

from fscs.environment import versions
from fscs.errors import InputError
from fscs.messages import examples

RUNS = Path('runs')  # default parent of workdirs
CONFIG_FILE = 'config.json'

# Options that say where things are or how they are shown: a run may go on with others.
PLACES = {'workdir', 'raw_dir', 'data_dir'}


def default_workdir(config: Any, name: str) -> Path:
  """The run's --workdir, or a readable folder of that name under `RUNS`."""
  if config.workdir:
    return Path(config.workdir)
  return RUNS / (name if config.data == 'real' else f'{name}-{config.data}')


def describe(config: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
  """The configuration and facts of a run as JSON values, with the random key of its seed."""
  key = jax.random.key_data(jax.random.key(config.seed)).tolist()
  wanted = {'config': dataclasses.asdict(config), 'key': key, **facts}
  return json.loads(json.dumps(wanted))  # tuples become lists, as they will be read back


@contextlib.contextmanager
def opened_workdir(
  workdir: Path,
  config: Any,
  facts: Mapping[str, Any],
  *,
  free: Collection[str] = (),
  part: str | None = None,
  result: str | None = None,
) -> Iterator[None]:
  """Make the run's folder and write its configuration; one that is there must be the same.

  No other process has the same part of the folder while this one does.

  Args:
    workdir: folder of the run.
    config: the command's dataclass.
    facts: what else must be equal to go on, such as the data's fingerprints.
    free: options that may differ, besides those that only say where things are.
    part: a part of the work that may be done beside others, such as '1/3'.
    result: what appears at the end, until when another run of the command may take the place.

  Raises:
    InputError: the folder belongs to a run of another configuration, cannot be written, or another
      process is at work there.
  """
  wanted = describe(config, facts)
  path = workdir / CONFIG_FILE
  with contextlib.ExitStack() as stack:
    with _writing(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
      stack.enter_context(_locked(workdir, part))
    if path.exists() and not _makes_room(workdir, facts, result):
      found = read_config(workdir)
      defaults = {f.name: f.default for f in dataclasses.fields(config)}
      _check_same(found, wanted, defaults, workdir, PLACES | set(free))
      if found.get('versions') != versions():
        print(f'note: {workdir} was begun with other package versions: {path}', file=sys.stderr)
    with _writing(workdir):
      write_text(path, json.dumps({**wanted, 'versions': versions()}, indent=2) + '\n')
    yield


def _makes_room(workdir: Path, facts: Mapping[str, Any], result: str | None) -> bool:
  """Whether an unfinished run of the same command is there, of which nothing is kept."""
  unfinished = result is not None and not (workdir / result).exists()
  return unfinished and read_config(workdir)['command'] == facts['command']


@contextlib.contextmanager
def _writing(workdir: Path) -> Iterator[None]:
  """Raises InputError where the folder cannot be written."""
  try:
    yield
  except OSError as error:
    raise InputError(f'workdir {workdir} cannot be written: {error.strerror or error}') from error


@contextlib.contextmanager
def _locked(workdir: Path, part: str | None) -> Iterator[None]:
  """The system lets go of the lock when the process ends, in whatever way."""
  lock = FileLock(workdir / f'.lock{"-" + part.replace("/", "-of-") if part else ""}')
  try:
    lock.acquire(blocking=False)
  except Timeout as error:
    raise InputError(
      f'workdir {workdir}: another process is at work there; wait until it has ended, or give'
      f' another --workdir (if there surely is none, remove {lock.lock_file})'
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
  """Raises InputError where a folder belongs to a run of another configuration."""
  wanted = {'config': json.loads(json.dumps(dataclasses.asdict(config)))}
  defaults = {f.name: f.default for f in dataclasses.fields(config)}
  _check_same(read_config(workdir), wanted, defaults, workdir, PLACES)


def _check_same(
  found: Mapping[str, Any],
  wanted: Mapping[str, Any],
  defaults: Mapping[str, Any],
  workdir: Path,
  free: Collection[str],
) -> None:
  differences = [  # a run made before there was an option had its default
    f'--{name.replace("_", "-")} is {found["config"].get(name)!r} there and {value!r} now'
    for name, value in wanted['config'].items()
    if name not in free and found['config'].get(name, defaults.get(name)) != value
  ]
  differences += [
    f'--{name.replace("_", "-")} is {value!r} there and no option now'
    for name, value in found['config'].items()
    if name not in wanted['config'] and value is not None
  ]
  differences += [
    f'{name} differs{_entries(found.get(name), wanted[name])}'
    for name in wanted
    if name != 'config' and found.get(name) != wanted[name]
  ]
  if differences:
    raise InputError(
      f'workdir {workdir} belongs to another run: {"; ".join(differences)}.'
      ' Give another --workdir, or remove it'
    )


def _entries(there: Any, now: Any) -> str:
  """Which entries of two tables or lists of names are not in both, in words."""
  if isinstance(there, dict) and isinstance(now, dict):
    names = {name for name in there.keys() | now.keys() if there.get(name) != now.get(name)}
  elif isinstance(there, list) and isinstance(now, list):
    names = {entry for entry in set(there) ^ set(now) if isinstance(entry, str)}
  else:
    names = set()
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
    raise InputError(
      f'{path}: {error.strerror or error}; the workdir of a run is expected'
    ) from error
  except (ValueError, AttributeError) as error:
    raise InputError(
      f'{path} is no configuration of a run ({error}): give another folder'
    ) from error


def write_text(path: Path, text: str) -> None:
  """Write a file so that it is there whole or not at all."""
  write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
  """Write a file so that it is there whole or not at all."""
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.partial')
  temporary.write_bytes(content)
  temporary.replace(path)


def require_not_shorter(workdir: Path, steps: int, option: str) -> None:
  """Raises InputError where a run has gone on for more steps than are asked for now."""
  done = max((int(path.name) for path in _checkpoints(workdir)), default=0)
  if done > steps:
    raise InputError(
      f'workdir {workdir} has done {done} steps, and {option} asks for {steps}: give as many at'
      ' least, or another --workdir'
    )


def begun(workdir: Path) -> bool:
  """Whether a run has a checkpoint to go on from."""
  return bool(_checkpoints(workdir))


def newest_run(command: str, parent: Path = RUNS) -> Path:
  """The workdir under `parent` in which `command` last finished a checkpoint.

  Raises:
    InputError: there is none.
  """
  candidates = [
    path.parent
    for path in parent.glob(f'*/{CONFIG_FILE}')
    if _command_of(path.parent) == command and _checkpoints(path.parent)
  ]
  if not candidates:
    raise InputError(
      f'no run of {command} is under {parent.absolute()}: run'
      f' `python -m experiments.{command}` first, or give --init'
    )
  return max(candidates, key=lambda workdir: max(p.stat().st_mtime for p in _checkpoints(workdir)))


def _command_of(workdir: Path) -> str | None:
  try:
    return read_config(workdir)['command']
  except InputError as error:
    print(f'note: passed over: {error}', file=sys.stderr)
    return None


def _checkpoints(workdir: Path) -> list[Path]:
  return [path for path in (workdir / 'checkpoints').glob('*') if path.name.isdigit()]
