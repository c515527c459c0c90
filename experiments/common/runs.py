"""Where runs are kept, and which of them can go on."""

import sys
from pathlib import Path
from typing import Any

from fscs.errors import InputError
from fscs.io.workdirs import CONFIG_FILE, read_config

RUNS = Path('runs')  # default parent of workdirs


def default_workdir(config: Any, name: str) -> Path:
  """The workdir given, or a readable folder of that name under `RUNS`."""
  if config.workdir:
    return Path(config.workdir)
  return RUNS / (name if config.data == 'real' else f'{name}-{config.data}')


def require_not_shorter(workdir: Path, steps: int, argument: str) -> None:
  """Raises InputError if a run has done more steps than are asked for."""
  done = max((int(path.name) for path in _checkpoints(workdir)), default=0)
  if done > steps:
    raise InputError(
      f'workdir {workdir} has done {done} steps, and {argument} asks for {steps}: give as many at'
      ' least, or another workdir',
      arguments=(argument, 'workdir'),
    )


def has_begun(workdir: Path) -> bool:
  """Whether a run has a checkpoint to go on from."""
  return bool(_checkpoints(workdir))


def newest_run(command: str, parent: Path = RUNS) -> Path:
  """The workdir under `parent` in which the command last wrote a checkpoint.

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
      f' `python -m experiments.{command}` first, or give an initialisation',
      arguments=('init',),
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
