"""Kill commands at random times, run them again, and compare with an uninterrupted run.

  python -m experiments.interruptions
  python -m experiments.interruptions --times=50 --workdir=runs/interruptions

meta_train, fscs finetune and fscs predict run on simulated images. Every one is killed (SIGKILL) at
random times, up to three times in a row, and then runs to its end. Its results must be those of the
uninterrupted run, byte for byte; arrays of checkpoints, value for value. After every kill, all
files that are there under their final names must be whole.
"""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import tifffile

from experiments.common.options import run
from fscs.cli.demo import Demo, draw
from fscs.errors import InputError
from fscs.io.checkpoints import load_arrays
from fscs.progress import progress_bar

MAX_KILLS = 3  # of one run, in a row

Name = Literal['meta_train', 'finetune', 'predict']


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the command."""

  commands: tuple[Name, ...] = ('meta_train', 'finetune', 'predict')
  """Commands to kill."""
  times: int = 5
  """Interrupted runs of each."""
  seed: int = 0
  """Seed of the times of the kills."""
  workdir: Path = Path('runs/interruptions')
  """New folder for images, runs and results."""


class Command(NamedTuple):
  """A command line that writes to a folder, and how its results are read."""

  arguments: Callable[[Path], Sequence[object]]  # from the folder to the command line
  results: Callable[[Path], dict[str, Any]]  # {name: bytes, rows or arrays}


def interruptions(config: Config) -> None:
  """Run, kill, resume and compare.

  Raises:
    InputError: results differ, or a file was left half-written.
  """
  root = config.workdir
  if root.exists() and any(root.iterdir()):
    raise InputError(f'{root} is not empty: give a new folder', arguments=('workdir',))
  for folder, first, count in (('annotated', 0, 2), ('others', 2, 4)):
    draw(Demo(size=96), root / folder, first, count)
  commands = _commands(root)
  random = np.random.default_rng(config.seed)
  if config.commands == ('predict',):  # needs a model
    _finish(commands['finetune'], root / 'finetune' / 'whole')
  with progress_bar('interrupted runs', config.times * len(config.commands)) as advance:
    for name in config.commands:
      whole = root / name / 'whole'
      _finish(commands[name], whole)  # the first run also compiles
      shutil.rmtree(whole)
      seconds = _finish(commands[name], whole)
      expected = commands[name].results(whole)
      for number in range(config.times):
        folder = root / name / f'{number}'
        kills = _interrupt(commands[name], folder, seconds, random)
        _finish(commands[name], folder)
        _require_equal(expected, commands[name].results(folder), f'{name}, run {number}')
        shutil.rmtree(folder)
        advance(1, kills=kills)
  print(f'{config.times} interrupted runs each of {", ".join(config.commands)}: all results equal')


def _commands(root: Path) -> dict[Name, Command]:
  images, masks = root / 'annotated' / 'images', root / 'annotated' / 'masks'
  short = ('--steps=32', '--crop-size=64', '--orientations=1', '--no-estimate', '--no-report')
  model = root / 'finetune' / 'whole'
  return {
    'meta_train': Command(
      lambda folder: (
        *('-m', 'experiments.meta_train', '--preset=smoke', '--data=simulated'),
        *('--meta-epochs=12', '--simulated-images=4', f'--workdir={folder}'),
      ),
      lambda folder: _tables(folder) | _arrays(folder / 'init'),
    ),
    'finetune': Command(
      lambda folder: (
        *('-m', 'fscs', 'finetune', '--images', images, '--masks', masks, *short),
        *('--workdir', folder),
      ),
      lambda folder: _tables(folder) | _arrays(folder / 'model'),
    ),
    'predict': Command(
      lambda folder: (
        *('-m', 'fscs', 'predict', '--model', model, '--images', root / 'others' / 'images'),
        *('--out', folder, '--no-report'),
      ),
      lambda folder: (
        _tables(folder)
        | {path.name: path.read_bytes() for path in _files(folder, '*.tif', '*.png', '*.zip')}
      ),
    ),
  }


def _finish(command: Command, folder: Path) -> float:
  """Run a command to its end; returns the seconds it took.

  Raises:
    InputError: it failed.
  """
  begin = time.monotonic()
  done = subprocess.run(
    [sys.executable, *map(str, command.arguments(folder))],
    capture_output=True,
    text=True,
    check=False,
  )
  if done.returncode:
    raise InputError(f'{" ".join(map(str, command.arguments(folder)))} failed: {done.stderr}')
  return time.monotonic() - begin


def _interrupt(command: Command, folder: Path, seconds: float, random: np.random.Generator) -> int:
  """Kill a command at random times, once at least; returns how often."""
  kills, wanted = 0, random.integers(1, MAX_KILLS + 1)
  while kills < wanted:
    process = subprocess.Popen(
      [sys.executable, *map(str, command.arguments(folder))],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    try:
      process.wait(random.uniform(0, seconds))
      shutil.rmtree(folder, ignore_errors=True)  # it was faster: from the beginning
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGKILL)
      process.wait()
      kills += 1
      _require_whole(folder)
  return kills


def _require_whole(folder: Path) -> None:
  """Raises InputError if a file under its final name cannot be read to its end."""
  for path in _files(folder, '*.tif', '*.json', '*.csv'):
    try:
      if path.suffix == '.tif':
        tifffile.imread(path)
      elif path.suffix == '.json':
        json.loads(path.read_text())
      elif not path.read_bytes().endswith(b'\n'):
        raise ValueError('its last line is cut')
    except (ValueError, OSError) as error:
      raise InputError(f'{path} was left half-written: {error}') from error


def _files(folder: Path, *patterns: str) -> list[Path]:
  """Files of a folder that are not hidden, without those of checkpoints."""
  found = (path for pattern in patterns for path in folder.glob(pattern))
  return sorted(path for path in found if not path.name.startswith('.'))


def _tables(folder: Path) -> dict[str, Any]:
  return {path.name: path.read_bytes() for path in _files(folder, '*.csv')}


def _arrays(folder: Path) -> dict[str, Any]:
  arrays, _ = load_arrays(folder)
  leaves = jax.tree_util.tree_leaves_with_path(arrays)
  return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def _require_equal(expected: dict[str, Any], found: dict[str, Any], what: str) -> None:
  different = sorted(
    name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
  )
  if different:
    raise InputError(f'{what}: {", ".join(different)} differ from the uninterrupted run')


if __name__ == '__main__':
  run(interruptions, Config)
