"""Checkpoints of parameters and training states; the only module that imports Orbax.

A checkpoint carries a description (configuration, data fingerprint, ...) as JSON metadata. It can
be restored on other devices, and another number of devices, than it was saved on.
"""

import contextlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from fscs.errors import InputError
from fscs.typing import Params

_MAX_REASON = 150  # characters of an Orbax error that are shown
_ANOTHER = 'give another folder'
_EARLIER = 'remove it to resume from an earlier one'
_UNFINISHED = '.orbax-checkpoint-tmp'  # end of the name of a folder that Orbax has not finished
_MARKERS = ('_CHECKPOINT_METADATA', 'orbax.checkpoint')  # files in every folder Orbax writes


def save_init(path: str | Path, params: Params, metadata: Mapping[str, Any]) -> None:
  """Write an initialisation; an existing one is replaced.

  Args:
    path: folder to write.
    params: parameters of a network.
    metadata: JSON values. Readers use 'architecture' (see `fscs.models.make_model`),
      'diameter_range' (smallest and largest typical diameter of the training objects, in pixels)
      and 'sources' (the training data sets, on which it must not be evaluated).

  Raises:
    InputError: the folder holds other files, which would be lost.
    OSError: as `save_arrays`.
  """
  save_arrays(path, params, metadata)


def load_init(path: str | Path) -> tuple[Params, dict[str, Any]]:
  """Read an initialisation that `save_init` wrote.

  Returns:
    Parameters as NumPy arrays, and the metadata.

  Raises:
    InputError: the folder has no checkpoint, or it is damaged.
  """
  return load_arrays(path)


def save_arrays(path: str | Path, arrays: Any, metadata: Mapping[str, Any]) -> None:
  """Write a tree of arrays with JSON metadata; an existing one is replaced.

  Raises:
    InputError: the folder holds other files, which would be lost.
    OSError: the disk is full, or may not be written to.
  """
  path = Path(path).absolute()
  _require_replaceable(path)
  _remove_unfinished(path)
  try:
    with _writing(path):
      ocp.save(path, arrays, overwrite=True, custom_metadata=dict(metadata))
  except OSError:
    _remove_unfinished(path)
    raise


def _remove_unfinished(path: Path) -> None:
  """Make room: remove what a run that failed or was killed has left."""
  if jax.process_index() == 0:
    shutil.rmtree(path.with_name(path.name + _UNFINISHED), ignore_errors=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
  """Errors of the system become an OSError that names the path; TensorStore raises ValueErrors."""
  try:
    with _without_tracebacks():
      yield
  except Exception as error:
    number = _system_error(error)
    if number is None:
      raise
    raise OSError(number, os.strerror(number), str(path)) from error


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
  """Without those that Orbax logs for every thread that an error ends, besides raising it."""

  def has_none(record: logging.LogRecord) -> bool:
    return not record.exc_info

  logger = logging.getLogger('absl')
  logger.addFilter(has_none)
  try:
    yield
  finally:
    logger.removeFilter(has_none)


def _system_error(error: BaseException | None) -> int | None:
  """The number of the system's error behind an error of Orbax; None if there is none."""
  while error is not None:
    if isinstance(error, OSError) and error.errno is not None:
      return error.errno
    if found := re.search(r"os_error_code='?(\d+)", str(error)):
      return int(found[1])
    error = error.__cause__ or error.__context__
  return None


def _require_replaceable(path: Path) -> None:
  if not path.exists() or (path.is_dir() and not any(path.iterdir())):
    return
  if not any((path / name).exists() for name in _MARKERS):
    raise InputError(f'{path} holds other files, which would be lost: give another folder')


def load_arrays(path: str | Path) -> tuple[Any, dict[str, Any]]:
  """Read a tree of arrays, as NumPy arrays, and its metadata.

  Raises:
    InputError: the folder has no checkpoint, or it is damaged.
  """
  path = Path(path).absolute()
  if not path.is_dir():
    raise InputError(f'{path}: no such folder, expected a checkpoint')
  if not any((path / name).exists() for name in _MARKERS):
    raise InputError(f'{path}: found no checkpoint; give the folder of one')
  described = _read(path, ocp.metadata, path)
  return _read(path, ocp.load, path, _numpy_like(described.metadata)), dict(
    described.custom_metadata or {}
  )


def _numpy_like(tree: Any) -> Any:
  """NumPy leaves, so that what was saved on a GPU is restored on a CPU."""
  return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree)


class Checkpoints:
  """The latest and the best checkpoint of a run, in one folder; a context manager.

  The best one has the smallest validation loss. A checkpoint appears whole or not at all. One
  process writes; others open the folder with `read_only`, which changes nothing.
  """

  def __init__(
    self,
    folder: str | Path,
    metadata: Mapping[str, Any] | None = None,
    *,
    read_only: bool = False,
  ):
    policies = ocp.training.preservation_policies
    keep = policies.AnyPreservationPolicy(
      [
        policies.LatestN(1),
        policies.BestN(get_metric_fn=lambda m: m['validation_loss'], n=1, reverse=True),
      ]
    )
    self._metadata = dict(metadata or {})
    self._folder = Path(folder).absolute()
    self._quiet = contextlib.ExitStack()
    with _writing(self._folder):
      self._checkpointer = ocp.training.Checkpointer(
        self._folder, preservation_policy=keep, cleanup_tmp_directories=not read_only
      )

  def __enter__(self) -> 'Checkpoints':
    self._quiet.enter_context(_without_tracebacks())  # threads may log after `save` has raised
    return self

  def __exit__(self, _kind, error: BaseException | None, _traceback) -> None:
    with self._quiet:
      try:
        with _writing(self._folder):
          self._checkpointer.close()
      except OSError:
        if error is None:  # else it is the same error again
          raise

  def save(self, step: int, state: Any, *, validation_loss: float) -> None:
    """Write the state of a step.

    Raises:
      OSError: the disk is full, or may not be written to.
    """
    with _writing(self._folder / str(step)):
      self._checkpointer.save(
        step,
        state,
        metrics={'validation_loss': float(validation_loss)},
        custom_metadata={**self._metadata, 'validation_loss': float(validation_loss)},
        overwrite=True,
      )

  @property
  def latest_step(self) -> int | None:
    """The newest step, or None."""
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  @property
  def best_step(self) -> int | None:
    """The step with the smallest validation loss, or None."""
    saved = self._checkpointer.checkpoints
    if not saved:
      return None
    return min(saved, key=lambda c: c.metrics['validation_loss']).step

  def restore(self, like: Any, step: int | None = None) -> Any:
    """The state of a step (the latest by default), with the structure and placement of `like`.

    Raises:
      InputError: the checkpoint is damaged or has another structure.
    """
    return _read(self._folder_of(step), self._checkpointer.load, step, like, mend=_EARLIER)

  def restore_params(self, step: int) -> Params:
    """The parameters of a saved `MetaState`, as NumPy arrays.

    Raises:
      InputError: as `restore`.
    """
    folder = self._folder_of(step)
    saved = _read(folder, self._checkpointer.metadata, step, mend=_EARLIER).metadata
    load = self._checkpointer.load
    return _read(folder, load, step, _numpy_like(saved), mend=_EARLIER)['params']

  def _folder_of(self, step: int | None) -> Path:
    step = self.latest_step if step is None else step
    return self._folder / str(step)


def _read(path: Path, read: Callable[..., Any], *arguments: Any, mend: str = _ANOTHER) -> Any:
  """`read(*arguments)`; errors of Orbax become an InputError that names the path."""
  try:
    return read(*arguments)
  except Exception as error:  # Orbax raises many kinds for files it cannot read
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise InputError(
      f'checkpoint {path} cannot be read: it is damaged, or not a checkpoint; {mend}'
      f' ({reason[:_MAX_REASON]})'
    ) from error
