"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

SECONDS_BETWEEN_LINES = 30.0  # when output goes to a file


class Advance(Protocol):
  """Reports that some units of work are done."""

  def __call__(self, count: int = 1, /, **figures: float) -> None:
    """Report them; the figures are shown beside the bar."""


# From the title of a stage and its units of work (0: unknown) to a context in which it is shown.
Progress = Callable[[str, int], AbstractContextManager[Advance]]


def no_advance(count: int = 1, /, **figures: float) -> None:
  """Shows nothing."""


@contextmanager
def no_progress(title: str, total: int = 0) -> Iterator[Advance]:
  """Shows nothing; otherwise as `progress_bar`."""
  del title, total
  yield no_advance


@contextmanager
def progress_bar(title: str, total: int, done: int = 0) -> Iterator[Advance]:
  """A progress bar on standard error, with the time left.

  Args:
    title: what is done, or counted.
    total: units of work; 0 if it is not known.
    done: units that were done before.

  Yields:
    A function `advance(count, **figures)`. The figures are shown beside the bar.
  """
  try:
    from rich.console import Console
    from rich.progress import (
      BarColumn,
      MofNCompleteColumn,
      Progress,
      TextColumn,
      TimeElapsedColumn,
      TimeRemainingColumn,
    )
  except ImportError:  # of the extra `cli`
    yield _line_printer(title, total, done)
    return
  console = Console(stderr=True)
  if not console.is_terminal:
    yield _line_printer(title, total, done)
    return
  counts = (MofNCompleteColumn(),) if total else ()
  left = (TextColumn('left'), TimeRemainingColumn()) if total else ()
  columns = (
    TextColumn('{task.description}'),
    BarColumn(),
    *counts,
    TimeElapsedColumn(),
    *left,
    TextColumn('{task.fields[figures]}'),
  )
  with Progress(*columns, console=console, speed_estimate_period=600) as progress:
    task = progress.add_task(title, total=total or None, completed=done, figures='')

    def advance(count: int = 1, /, **figures: float) -> None:
      progress.update(task, advance=count, figures=_format(figures))

    yield advance
    if not total:
      progress.update(task, total=1, completed=1)


def _line_printer(title: str, total: int, done: int) -> Advance:
  """Prints a line at the beginning if the length is unknown, and else now and then."""
  begin, last = time.monotonic(), float('-inf')
  steady: tuple[float, int] | None = None  # time and units after the first report
  if not total:
    print(f'{title} ...', file=sys.stderr, flush=True)

  def advance(count: int = 1, /, **figures: float) -> None:
    nonlocal done, last, steady
    if not total:
      return
    done += count
    now = time.monotonic()
    # The first units may have taken longer, as programs were compiled for them.
    since, before = steady or (begin, done - count)
    steady = steady or (now, done)
    if now - last < SECONDS_BETWEEN_LINES and done < total:
      return
    last = now
    left = (now - since) / max(done - before, 1) * (total - done)
    line = f'{title}: {done}/{total}, {now - begin:.0f} s, {left:.0f} s left {_format(figures)}'
    print(line.rstrip(), file=sys.stderr, flush=True)

  return advance


def _format(figures: dict[str, float]) -> str:
  return ' '.join(f'{name} {value:.4f}' for name, value in figures.items())
