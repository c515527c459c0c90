"""Saving and restoring parameters and training states; the only module that imports Orbax.

A checkpoint carries its description (configuration, data fingerprint, ...) as JSON metadata. It can
be restored on another device or number of devices than it was saved on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from fscs.errors import InputError
from fscs.typing import Params


def save_init(path: str | Path, params: Params, metadata: Mapping[str, Any]) -> None:
  """Write an initialisation; an existing one at `path` is replaced.

  Args:
    path: folder to write.
    params: parameters of a network.
    metadata: JSON values. Who reads it wants 'architecture' (see `fscs.make_model`),
      'diameter_range' (least and most of the objects it knows, in pixels) and 'sources' (codes of
      the data sets it has learned from, on which it is not evaluated).

  Raises:
    InputError: `path` holds other files, which would be lost.
  """
  path = Path(path).absolute()
  require_replaceable(path)
  ocp.save(path, params, overwrite=True, custom_metadata=dict(metadata))


def require_replaceable(path: Path) -> None:
  """Raises InputError unless nothing is at `path`, or an empty folder, or one written here."""
  if not path.exists() or (path.is_dir() and not any(path.iterdir())):
    return
  if not any((path / name).exists() for name in _MARKS):
    raise InputError(f'{path} holds other files, which would be lost: give another folder')


def load_init(path: str | Path) -> tuple[Params, dict[str, Any]]:
  """Read an initialisation that `save_init` wrote: (parameters as NumPy arrays, metadata).

  Raises:
    InputError: there is no checkpoint at `path`, or it is damaged.
  """
  path = Path(path).absolute()
  if not path.is_dir():
    raise InputError(f'initialisation {path}: there is no such folder')
  described = _readable(path, ocp.metadata, path)
  abstract = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), described.metadata)
  return _readable(path, ocp.load, path, abstract), dict(described.custom_metadata or {})


_LONGEST_REASON = 150  # characters of what Orbax says
_MARKS = ('_CHECKPOINT_METADATA', 'orbax.checkpoint')  # files of every folder that Orbax writes


class Checkpoints:
  """The latest and the best checkpoint of a run, in one folder; a context manager.

  'Best' is the smallest `validation_loss`. A checkpoint appears whole or not at all. One process
  writes; others open the folder with `read_only`, which touches nothing.
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
    self._checkpointer = ocp.training.Checkpointer(
      Path(folder).absolute(), preservation_policy=keep, cleanup_tmp_directories=not read_only
    )

  def __enter__(self) -> 'Checkpoints':
    return self

  def __exit__(self, *_) -> None:
    self._checkpointer.close()

  def save(self, step: int, state: Any, *, validation_loss: float) -> None:
    """Write the state of a step."""
    self._checkpointer.save(
      step,
      state,
      metrics={'validation_loss': float(validation_loss)},
      custom_metadata={**self._metadata, 'validation_loss': float(validation_loss)},
      overwrite=True,
    )

  @property
  def latest_step(self) -> int | None:
    """The newest step saved, or None."""
    latest = self._checkpointer.latest
    return None if latest is None else latest.step

  @property
  def best_step(self) -> int | None:
    """The step of the smallest validation loss, or None."""
    saved = self._checkpointer.checkpoints
    if not saved:
      return None
    return min(saved, key=lambda c: c.metrics['validation_loss']).step

  def restore(self, like: Any, step: int | None = None) -> Any:
    """The state of a step (the latest by default) with the structure and placement of `like`.

    Raises:
      InputError: the checkpoint is damaged or holds another structure.
    """
    return _readable(self._folder_of(step), self._checkpointer.load, step, like)

  def restore_params(self, step: int) -> Params:
    """Only the parameters of a `MetaState` that was saved, as NumPy arrays.

    Raises:
      InputError: as `restore`.
    """
    folder = self._folder_of(step)
    saved = _readable(folder, self._checkpointer.metadata, step).metadata
    abstract = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), saved)
    return _readable(folder, self._checkpointer.load, step, abstract)['params']

  def _folder_of(self, step: int | None) -> Path:
    """Of that step, or of the latest."""
    step = self.latest_step if step is None else step
    return Path(self._checkpointer.directory, str(step))


def _readable(path: Path, read, *arguments: Any) -> Any:
  """`read(*arguments)`; whatever Orbax raises becomes one line that names the path."""
  try:
    return read(*arguments)
  except Exception as error:  # many kinds for one thing: not a readable checkpoint
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise InputError(
      f'checkpoint {path} cannot be read: it is damaged, or the folder of something else; remove'
      ' it, to go on from an earlier one or make it again, or give another folder'
      f' ({reason[:_LONGEST_REASON]})'
    ) from error
