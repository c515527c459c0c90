"""Results of the benchmark: rows for a CSV file, and a Markdown page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from experiments.benchmark.cases import Case
from experiments.benchmark.rounds import Timing


class Row(NamedTuple):
  """One program of one case."""

  section: str
  arch: str
  crop_size: int
  variant: str
  program: str
  unit: str
  rounds: int
  median: float  # seconds per unit
  low: float
  high: float
  ratio: float  # of times to the case's first program, median over the rounds
  ratio_low: float
  ratio_high: float
  gflops: float  # per second; 0 if operations were not counted
  share: float  # of the rate of the best matrix product of the case; 0 if it has none
  difference: float  # relative, of the result from the first program's; NaN if incomparable
  first_seconds: float  # compilation and the first run
  peak_megabytes: float

  @property
  def key(self) -> tuple[str, ...]:
    """The case of the row."""
    return (self.section, self.arch, str(self.crop_size), self.variant)


def rows_of(case: Case, timings: Sequence[Timing]) -> list[Row]:
  """A row per program of a measured case."""
  first = timings[0]
  rates = [1 / t.median for t in timings if t.program.work == 'matmul']  # its unit is 1 GFLOP
  rows = []
  for timing in timings:
    is_matmul = timing.program.work == 'matmul'
    operations = 1e9 if is_matmul else case.operations or 0.0
    rate = operations / timing.median / 1e9
    other_work = is_matmul or case.section == 'pixels'  # larger crops have other losses
    difference = math.nan if other_work else abs(timing.result - first.result) / abs(first.result)
    rows.append(
      Row(
        case.section,
        case.arch,
        case.crop_size,
        case.variant,
        timing.program.name,
        'GFLOP' if is_matmul else case.unit,
        len(timing.seconds),
        timing.median,
        min(timing.seconds),
        max(timing.seconds),
        *((0.0, 0.0, 0.0) if is_matmul else timing.ratio_to(first)),
        rate,
        rate / max(rates) if rates else 0.0,
        difference,
        timing.first_seconds,
        timing.peak_bytes / 1e6,
      )
    )
  return rows


def markdown(rows: Sequence[Row], facts: dict[str, str]) -> str:
  """The page: facts of the machine, then a table per case."""
  lines = ['# Benchmark', '']
  lines += [f'- {name}: {value}' for name, value in facts.items()]
  lines += [
    '',
    'Median over the rounds (smallest to largest). Programs take turns, each in a process.',
    'Ratio: time divided by that of the first program in the same round; above 1 is slower.',
    "Difference: of the last loss (prediction: mean probability) from the first program's,",
    'relative.',
  ]
  for key in dict.fromkeys(row.key for row in rows):
    lines += _case([row for row in rows if row.key == key])
  return '\n'.join(lines) + '\n'


def _case(rows: Sequence[Row]) -> list[str]:
  first = rows[0]
  size = f', {first.crop_size} px' if first.crop_size else ''
  lines = ['', f'## {first.section}: {first.arch}{size}, {first.variant}', '']
  lines += [
    f'| {first.rounds} rounds | ms per {first.unit} | ratio | GFLOP/s | of matrix product |'
    ' difference | first run, s | peak, MB |'
  ]
  lines += ['|---|' + '---:|' * 7]
  for row in rows:
    times = f'{row.median * 1e3:.1f} ({row.low * 1e3:.1f} to {row.high * 1e3:.1f})'
    ratio = f'{row.ratio:.2f} ({row.ratio_low:.2f} to {row.ratio_high:.2f})' if row.ratio else ''
    cells = (
      row.program,
      times,
      ratio,
      f'{row.gflops:.0f}' if row.gflops else '',
      f'{row.share:.0%}' if row.share else '',
      '' if math.isnan(row.difference) else f'{row.difference:.0e}',
      f'{row.first_seconds:.1f}',
      f'{row.peak_megabytes:.0f}',
    )
    lines.append('| ' + ' | '.join(cells) + ' |')
  return lines
