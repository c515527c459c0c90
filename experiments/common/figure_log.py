"""Figures of every step of a run, as CSV and TensorBoard events."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from fscs.io.workdirs import write_text


class FigureLog:
  """Figures of a run by step, in `figures.csv` and as TensorBoard events; a context manager.

  Rows of steps after `first_step` are dropped at the start: a run that goes on from a checkpoint
  writes them again.
  """

  def __init__(self, workdir: Path, columns: Iterable[str], *, first_step: int):
    from tensorboardX import SummaryWriter  # a second to import, and not needed to show help

    self.path = workdir / 'figures.csv'
    self._columns = ['step', *columns]
    kept = [row for row in read_figures(self.path) if int(row['step']) <= first_step]
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(self._columns)
    table.writerows([row.get(name) or '' for name in self._columns] for row in kept)
    write_text(self.path, text.getvalue())
    self._file = self.path.open('a', newline='')
    self._rows = csv.DictWriter(self._file, self._columns, lineterminator='\n')
    self._events = SummaryWriter(str(workdir / 'tensorboard'), purge_step=first_step + 1)

  def __enter__(self) -> 'FigureLog':
    return self

  def __exit__(self, *_) -> None:
    self._file.close()
    self._events.close()

  def write(self, step: int, figures: Mapping[str, float]) -> None:
    """One row; columns without a figure stay empty."""
    self._rows.writerow({'step': step, **{k: f'{v:.6g}' for k, v in figures.items()}})
    self._file.flush()
    for name, value in figures.items():
      self._events.add_scalar(name, value, step)


def read_figures(path: Path) -> list[dict[str, str]]:
  """Rows of a figures file, none if it is not there."""
  if not path.exists():
    return []
  with path.open(newline='') as file:
    return list(csv.DictReader(file))
