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
from fscs.types import Params


def save_init(path: str | Path, params: Params, metadata: Mapping[str, Any]) -> None:
  """Write an initialisation; an existing one at `path` is replaced.

  Args:
    path: folder to write.
    params: parameters of a network.
    metadata: JSON values; 'architecture' should be among them.
  """
  ocp.save(Path(path).absolute(), params, overwrite=True, custom_metadata=dict(metadata))


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
    return _readable(self._checkpointer.directory, self._checkpointer.load, step, like)

  def restore_params(self, step: int) -> Params:
    """Only the parameters of a `MetaState` that was saved, as NumPy arrays.

    Raises:
      InputError: as `restore`.
    """
    directory = self._checkpointer.directory
    saved = _readable(directory, self._checkpointer.metadata, step).metadata
    abstract = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), saved)
    return _readable(directory, self._checkpointer.load, step, abstract)['params']


def _readable(path: Path, read, *arguments: Any) -> Any:
  """`read(*arguments)`; whatever Orbax raises becomes one line that names the path."""
  try:
    return read(*arguments)
  except Exception as error:  # many kinds for one thing: not a readable checkpoint
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise InputError(
      f'checkpoint {path} cannot be read: it is damaged, or the folder of something else; make it'
      f' again, or give another folder ({first_line})'
    ) from error
