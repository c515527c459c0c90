"""Programs in separate processes, timed in turn and compared round by round."""

import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fscs.errors import InputError


@dataclasses.dataclass(frozen=True)
class Program:
  """A job in a process; see `worker`."""

  name: str
  side: str  # 'fscs', 'torch', 'devices' or 'commands': the module SIDE_side
  work: str
  options: Mapping[str, Any]
  environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Timing:
  """Measurements of one program."""

  program: Program
  seconds: tuple[float, ...]  # per unit of work, one per round
  result: float  # the number that the job returned, to compare
  first_seconds: float  # compilation and the first run
  peak_bytes: float

  @property
  def median(self) -> float:
    return statistics.median(self.seconds)

  def ratio_to(self, other: 'Timing') -> tuple[float, float, float]:
    """Ratio of times to those of `other`: median, smallest and largest over the rounds."""
    ratios = [a / b for a, b in zip(self.seconds, other.seconds, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


class _Process:
  """A worker and the pipes to it."""

  def __init__(self, program: Program, environment: Mapping[str, str]):
    self.program = program
    self._errors = tempfile.TemporaryFile('w+')  # noqa: SIM115, closed in end
    spec = {name: getattr(program, name) for name in ('side', 'work', 'options')}
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'experiments.benchmark.worker', json.dumps(spec)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      env={**environment, **program.environment},
    )

  def answer(self) -> dict[str, float]:
    """The next line of the worker.

    Raises:
      InputError: it ended; the message has the last line of its output.
    """
    line = self._process.stdout.readline()
    if line:
      return json.loads(line)
    self._process.wait()
    self._errors.seek(0)
    last = (self._errors.read().strip().splitlines() or ['without a message'])[-1]
    raise InputError(f'{self.program.name} failed ({last})')

  def once_more(self) -> dict[str, float]:
    self._process.stdin.write('\n')
    self._process.stdin.flush()
    return self.answer()

  def end(self) -> None:
    self._process.stdin.close()
    self._process.stdout.close()
    self._process.wait()
    self._errors.close()


@contextlib.contextmanager
def _processes(
  programs: Sequence[Program], environment: Mapping[str, str]
) -> Iterator[list[tuple[_Process, dict[str, float]]]]:
  """All workers, started one after the other so that compilations do not overlap."""
  started = []
  try:
    for program in programs:
      process = _Process(program, environment)
      started.append((process, {}))
      started[-1][1].update(process.answer())
    yield started
  finally:
    for process, _ in started:
      process.end()


def compare(
  programs: Sequence[Program], rounds: int, environment: Mapping[str, str]
) -> list[Timing]:
  """Time every program once per round; each round begins with another one.

  Raises:
    InputError: a program failed.
  """
  with _processes(programs, environment) as started:
    seconds: list[list[float]] = [[] for _ in started]
    peaks = [0.0] * len(started)
    for number in range(rounds):
      for place in range(len(started)):
        index = (number + place) % len(started)
        process, facts = started[index]
        answer = process.once_more()
        seconds[index].append(answer['seconds'] / facts['units'])
        peaks[index] = answer['peak_bytes']
    return [
      Timing(
        process.program,
        tuple(times),
        facts['result'],
        facts['first_seconds'],
        peak,
      )
      for (process, facts), times, peak in zip(started, seconds, peaks, strict=True)
    ]
