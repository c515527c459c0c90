"""Figures of meta-training, block by block: checked, then logged and shown."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.common import sources
from experiments.common.figure_log import FigureLog
from fscs.errors import InputError
from fscs.losses import TERMS
from fscs.meta.inner_loop import History
from fscs.progress import progress_bar
from fscs.typing import MetaState


class Block(NamedTuple):
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
    f' checkpoint is in {workdir / "checkpoints"}. Lower --inner-lr or --meta-lr'
  )


def require_finite_validation(
  validation: np.ndarray, codes: Sequence[str], step: int, workdir: Path
) -> None:
  """Stop where the parameters after a block are of no use, before they replace good ones.

  Raises:
    InputError: names the source and the meta-epoch.
  """
  if not np.isfinite(validation).all():
    raise InputError(
      f'the validation loss of source {codes[np.argmin(np.isfinite(validation))]} became non-finite'
      f' after meta-epoch {step}; the last good checkpoint is in {workdir / "checkpoints"}.'
      ' Lower --inner-lr or --meta-lr'
    )


@contextlib.contextmanager
def block_log(
  codes: Sequence[str], begin: int, num_epochs: int, workdir: Path
) -> Iterator[Callable[[Block], None]]:
  """Yields a function that shows a block: table, events and bar; draws the curves at the end.

  Args:
    codes: of the sources.
    begin: meta-epochs done before the first block.
    num_epochs: meta-epochs in all.
    workdir: folder of the run.
  """
  columns = [f'{kind}/{code}' for code in codes for kind in ('loss', *TERMS, 'validation')]
  try:
    with (
      FigureLog(workdir, [*columns, 'validation_loss'], first_step=begin) as log,
      progress_bar('meta-epochs', num_epochs, begin) as advance,
    ):

      def show(block: Block) -> None:
        _log_block(log, block, codes)
        terms = {name: float(block.history.terms[name][-1, :, -1].mean()) for name in TERMS}
        advance(len(block.history.loss), **terms, validation=float(block.validation.mean()))

      yield show
  finally:
    sources.draw_curves(workdir)


def _log_block(log: FigureLog, block: Block, codes: Sequence[str]) -> None:
  """One row per meta-epoch, of the last inner step; validation on the block's last row."""
  num_epochs = len(block.history.loss)

  def of_sources(field: np.ndarray) -> np.ndarray:
    """(epochs, S): means over the episodes of a source."""
    return field[..., -1].reshape(num_epochs, -1, len(codes)).mean(1)

  fields = {'loss': block.history.loss, **block.history.terms}
  figures = {name: of_sources(field) for name, field in fields.items()}
  for epoch in range(num_epochs):
    row = {
      f'{name}/{code}': float(values[epoch, index])
      for index, code in enumerate(codes)
      for name, values in figures.items()
    }
    if epoch == num_epochs - 1:
      row |= {f'validation/{c}': float(v) for c, v in zip(codes, block.validation, strict=True)}
      row['validation_loss'] = float(block.validation.mean())
    log.write(block.step - num_epochs + epoch + 1, row)
