"""Progress of long work: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 30.0  # when output goes to a file


@contextmanager
def progress_bar(title: str, total: int, done: int = 0) -> Iterator[Callable[..., None]]:
  """A progress bar with the time left.

  Args:
    title: what is counted.
    total: units of work.
    done: units that were done before.

  Yields:
    A function `advance(count, **figures)`. The figures are shown beside the bar.
  """
  from rich.console import Console
  from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
  )

  console = Console(stderr=True)
  if not console.is_terminal:
    yield _line_printer(title, total, done)
    return
  columns = (
    TextColumn('{task.description}'),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
    TextColumn('left'),
    TimeRemainingColumn(),
    TextColumn('{task.fields[figures]}'),
  )
  with Progress(*columns, console=console, speed_estimate_period=600) as progress:
    task = progress.add_task(title, total=total, completed=done, figures='')

    def advance(count: int = 1, **figures: float) -> None:
      progress.update(task, advance=count, figures=_format(figures))

    yield advance


def _line_printer(title: str, total: int, done: int) -> Callable[..., None]:
  begin, first, last = time.monotonic(), done, float('-inf')

  def advance(count: int = 1, **figures: float) -> None:
    nonlocal done, last
    done += count
    now = time.monotonic()
    if now - last < SECONDS_BETWEEN_LINES and done < total:
      return
    last = now
    left = (now - begin) / (done - first) * (total - done)
    print(
      f'{title}: {done}/{total}, {now - begin:.0f} s, {left:.0f} s left {_format(figures)}',
      file=sys.stderr,
      flush=True,
    )

  return advance


def _format(figures: dict[str, float]) -> str:
  return ' '.join(f'{name} {value:.4f}' for name, value in figures.items())
