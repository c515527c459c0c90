"""Losses of training runs: figures.csv and TensorBoard events, shown on a progress bar."""

import contextlib
import csv
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fscs.errors import InputError
from fscs.io.atomic import append_text, csv_text, errors_name, write_text
from fscs.losses import TERMS
from fscs.meta.inner_loop import History
from fscs.progress import progress_bar
from fscs.typing import MetaState

SECONDS_BETWEEN_FLUSHES = 120.0  # of events, to the disk


class TrainingLog:
  """Scalars of a run by step, in `figures.csv` and as TensorBoard events; a context manager.

  Rows of steps after `first_step` are dropped at the start: a run that goes on from a checkpoint
  writes them again.
  """

  def __init__(self, workdir: Path, columns: Iterable[str], *, first_step: int):
    self.path = workdir / 'figures.csv'
    self._columns = ['step', *columns]
    kept = [row for row in read_log(self.path) if int(row['step']) <= first_step]
    rows = [[row.get(name) or '' for name in self._columns] for row in kept]
    write_text(self.path, csv_text([self._columns, *rows]))
    self._events = _Events(workdir / 'tensorboard', first_step=first_step)

  def __enter__(self) -> 'TrainingLog':
    return self

  def __exit__(self, *_) -> None:
    self._events.close()

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """One row; columns without a value stay empty."""
    values = {'step': step, **{name: f'{value:.6g}' for name, value in scalars.items()}}
    append_text(self.path, csv_text([[values.get(name, '') for name in self._columns]]))
    self._events.write(step, scalars)


class _Events:
  """A file of TensorBoard events.

  tensorboardX's own `SummaryWriter` writes in a thread, and waits for ever if that cannot write.
  """

  def __init__(self, folder: Path, *, first_step: int):
    # takes a second to import
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    self._folder, self._event, self._scalar = folder, Event, summary.scalar
    self._flushed = float('-inf')
    folder.mkdir(parents=True, exist_ok=True)
    with errors_name(folder):
      self._writer = EventsWriter(str(folder / 'events'))
    # Events of later steps in the files of earlier runs do not count.
    later = {'step': first_step + 1}
    self._write(Event(**later, file_version='brain.Event:2'))
    self._write(Event(**later, session_log=SessionLog(status=SessionLog.START)))

  def write(self, step: int, scalars: Mapping[str, float]) -> None:
    """The scalars of a step."""
    for name, value in scalars.items():
      self._write(self._event(step=step, summary=self._scalar(name, value)))
    if time.monotonic() - self._flushed > SECONDS_BETWEEN_FLUSHES:
      with errors_name(self._folder):
        self._writer.flush()
      self._flushed = time.monotonic()

  def _write(self, event: Any) -> None:
    event.wall_time = time.time()
    with errors_name(self._folder):
      self._writer.write_event(event)

  def close(self) -> None:
    """Write what is left, and close the file."""
    with errors_name(self._folder):
      self._writer.close()


def read_log(path: Path) -> list[dict[str, str]]:
  """Rows of figures.csv; none if it is not there."""
  if not path.exists():
    return []
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


class FinishedBlock(NamedTuple):
  """A block of meta-epochs that is done."""

  step: int  # meta-epochs done by now
  state: MetaState
  history: History  # every field (epochs, tasks, inner steps)
  validation: np.ndarray  # (S,) loss per source


def require_finite(history: History, codes: Sequence[str], step: int, workdir: Path) -> None:
  """Stop at the first loss that is not finite; the last checkpoint stays.

  Raises:
    InputError: names the term, the source and the meta-epoch.
  """
  if np.isfinite(history.loss).all():
    return
  epoch, task, inner_step = np.argwhere(~np.isfinite(history.loss))[0]
  terms = [name for name in TERMS if not np.isfinite(history.terms[name][epoch, task, inner_step])]
  raise InputError(
    f'the {" and ".join(terms) or "total"} loss of source {codes[task % len(codes)]} became'
    f' non-finite in meta-epoch {step + epoch + 1}, inner step {inner_step + 1}; the last good'
    f' checkpoint is in {workdir / "checkpoints"}. Lower the learning rates',
    arguments=('inner_lr', 'meta_lr'),
  )


def require_finite_validation(
  validation: np.ndarray, codes: Sequence[str], step: int, workdir: Path
) -> None:
  """Stop if the parameters after a block are of no use, before they replace good ones.

  Raises:
    InputError: names the source and the meta-epoch.
  """
  if not np.isfinite(validation).all():
    raise InputError(
      f'the validation loss of source {codes[np.argmin(np.isfinite(validation))]} became non-finite'
      f' after meta-epoch {step}; the last good checkpoint is in {workdir / "checkpoints"}. Lower'
      ' the learning rates',
      arguments=('inner_lr', 'meta_lr'),
    )


@contextlib.contextmanager
def meta_training_log(
  codes: Sequence[str], begin: int, num_epochs: int, workdir: Path
) -> Iterator[Callable[[FinishedBlock], None]]:
  """A function that logs a block and shows it on a progress bar.

  Args:
    codes: of the sources.
    begin: meta-epochs done before the first block.
    num_epochs: meta-epochs in all.
    workdir: folder of the run.
  """
  columns = [f'{kind}/{code}' for code in codes for kind in ('loss', *TERMS, 'validation')]
  with (
    TrainingLog(workdir, [*columns, 'validation_loss'], first_step=begin) as log,
    progress_bar('meta-epochs', num_epochs, begin) as advance,
  ):

    def show(block: FinishedBlock) -> None:
      _log_block(log, block, codes)
      terms = {name: float(block.history.terms[name][-1, :, -1].mean()) for name in TERMS}
      advance(len(block.history.loss), **terms, validation=float(block.validation.mean()))

    yield show


def _log_block(log: TrainingLog, block: FinishedBlock, codes: Sequence[str]) -> None:
  """One row per meta-epoch, of the last inner step; validation in the block's last row."""
  num_epochs = len(block.history.loss)

  def mean_of_sources(field: np.ndarray) -> np.ndarray:
    """(epochs, S): means over the episodes of a source."""
    return field[..., -1].reshape(num_epochs, -1, len(codes)).mean(1)

  fields = {'loss': block.history.loss, **block.history.terms}
  means = {name: mean_of_sources(np.asarray(field)) for name, field in fields.items()}
  for epoch in range(num_epochs):
    row = {
      f'{name}/{code}': float(values[epoch, index])
      for index, code in enumerate(codes)
      for name, values in means.items()
    }
    if epoch == num_epochs - 1:
      row |= {f'validation/{c}': float(v) for c, v in zip(codes, block.validation, strict=True)}
      row['validation_loss'] = float(block.validation.mean())
    log.write(block.step - num_epochs + epoch + 1, row)
