"""Time fscs against PyTorch and against the peak rate of the machine.

  pip install '.[benchmark]'
  python -m experiments.benchmark
  python -m experiments.benchmark --sections step --arch fcrn --crop-sizes 128

Every program runs in its own process. Programs take turns, round after round, so that other
load on the machine affects all of them. The folder (runs/benchmark by default) gets benchmark.md
and measurements.csv. Run again, the command measures what is missing.
"""

import dataclasses
import datetime
import importlib.metadata
import importlib.util
import os
from pathlib import Path
from typing import Literal, get_args

import jax

from experiments.benchmark import table
from experiments.benchmark.cases import Section, cases
from experiments.benchmark.rounds import compare
from experiments.benchmark.table import Row
from experiments.common.options import run
from experiments.common.results import read_rows
from fscs.environment import num_cores, processor, versions
from fscs.errors import InputError
from fscs.io.atomic import write_csv, write_text
from fscs.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the benchmark."""

  sections: tuple[Section, ...] = get_args(Section)
  """What to measure; all sections by default."""
  arch: tuple[Literal['fcrn', 'unet'], ...] = ('fcrn', 'unet')
  """Networks."""
  crop_sizes: tuple[int, ...] = (128, 256)
  """Sides of the crops in pixels."""
  rounds: int = 7
  """Times that every program is measured."""
  workdir: str = 'runs/benchmark'
  """Folder of the table."""


def benchmark(config: Config) -> None:
  """Measure the cases that are not in the table."""
  _check(config)
  workdir = Path(config.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / 'measurements.csv'
  rows = read_rows(path, Row)
  wanted = list(cases(config.sections, config.arch, config.crop_sizes))
  done = {row.key for row in rows}
  missing = [case for case in wanted if case.key not in done]
  # All processes share one GPU: none may take its whole memory.
  environment = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
  with progress_bar('cases', len(wanted), len(wanted) - len(missing)) as advance:
    for case in missing:
      rows += table.rows_of(case, compare(case.programs, config.rounds, environment))
      write_csv(path, rows, Row._fields)
      write_text(workdir / 'benchmark.md', table.markdown(rows, _facts()))
      advance(1)
  print(f'table: {workdir / "benchmark.md"}')


def _check(config: Config) -> None:
  if config.rounds < 1:
    raise InputError(f'rounds is {config.rounds}: expected at least 1', arguments=('rounds',))
  for size in config.crop_sizes:
    if size < 8 or size % 8:
      raise InputError(f'crop_sizes has {size}: expected multiples of 8', arguments=('crop_sizes',))
  if importlib.util.find_spec('torch') is None:
    raise InputError("PyTorch is not installed: pip install 'fscs[benchmark]'")


def _facts() -> dict[str, str]:
  devices = jax.devices()
  packages = {**versions(), 'torch': importlib.metadata.version('torch')}
  return {
    'date': datetime.date.today().isoformat(),
    'processor': f'{processor()}, {num_cores()} threads given to each',
    'devices of JAX': f'{len(devices)} x {devices[0].device_kind}',
    'versions': ', '.join(f'{name} {version}' for name, version in packages.items()),
  }


if __name__ == '__main__':
  run(benchmark, Config)
