"""Time fscs against PyTorch and against the machine's own limit.

  pip install '.[benchmark]'
  python -m experiments.benchmark
  python -m experiments.benchmark --sections step --arch fcrn --crop-sizes 128

Every contestant has a process of its own; they take turns, round after round, so that a machine
that is busy or slows down treats them alike. The folder (runs/benchmark by default) gets
benchmark.md and measurements.csv. Run again, it measures what is missing.
"""

import dataclasses
import datetime
import importlib.util
import os
from pathlib import Path
from typing import Literal, get_args

import jax

from experiments.benchmark import table
from experiments.benchmark.cases import Section, cases
from experiments.benchmark.rounds import compete
from experiments.benchmark.table import Row
from experiments.common.options import run
from experiments.common.results import read_rows, write_table
from fscs.environment import num_cores, processor, versions
from fscs.errors import InputError
from fscs.io.atomic import write_text
from fscs.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the benchmark."""

  sections: tuple[Section, ...] = get_args(Section)
  """What to measure: inner steps, meta-epochs and so on; growth over tasks and over pixels."""
  arch: tuple[Literal['fcrn', 'unet'], ...] = ('fcrn', 'unet')
  """Networks: those that the PyTorch side has, too."""
  crop_sizes: tuple[int, ...] = (128, 256)
  """Sides of the crops in pixels."""
  rounds: int = 7
  """How often every contestant is timed."""
  workdir: str = 'runs/benchmark'
  """Where the table is kept."""


def benchmark(config: Config) -> None:
  """Measure the cases that the table has not."""
  _check(config)
  workdir = Path(config.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / 'measurements.csv'
  rows = read_rows(path, Row)
  wanted = list(cases(config.sections, config.arch, config.crop_sizes))
  done = {row.key for row in rows}
  missing = [case for case in wanted if case.key not in done]
  shared = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}  # one GPU has them all
  with progress_bar('cases', len(wanted), len(wanted) - len(missing)) as advance:
    for case in missing:
      rows += table.rows_of(case, compete(case.contestants, config.rounds, shared))
      write_table(path, rows, Row._fields)
      write_text(workdir / 'benchmark.md', table.markdown(rows, _facts()))
      advance(1)
  print(f'table: {workdir / "benchmark.md"}')


def _check(config: Config) -> None:
  if config.rounds < 1:
    raise InputError(f'--rounds is {config.rounds}: it must be at least 1')
  for size in config.crop_sizes:
    if size < 8 or size % 8:
      raise InputError(f'--crop-sizes has {size}: multiples of 8 are needed')
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
  run(benchmark, Config, lambda _: Config())
