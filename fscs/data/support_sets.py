"""Which images of a target are annotated: the paper's ten selections, or random ones.

A selection file, pickled or JSON, holds
{'Selection_1': {'FinetuneSamples': {'5-shot': {'B5': {'Image': [file names], ...}}}}}.
Images pair with their masks by name, so only 'Image' is read; the order of names means nothing.
"""

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fscs.errors import InputError

Selections = dict[str, Any]


class _PlainUnpickler(pickle.Unpickler):
  """Reads dictionaries, lists, strings and numbers; a pickle that names any code is refused."""

  def find_class(self, module: str, name: str):
    raise pickle.UnpicklingError(f'it names {module}.{name}, and only plain values are read')


def read_selections(path: str | Path) -> Selections:
  """Read a selections file (.json, or a pickle of plain values as the paper's authors published).

  Raises:
    InputError: the file is missing, damaged, or not of that form.
  """
  path = Path(path)
  try:
    if path.suffix == '.json':
      content = json.loads(path.read_text())
    else:
      with path.open('rb') as file:
        content = json.loads(json.dumps(_PlainUnpickler(file).load()))  # only what JSON can hold
  except OSError as error:
    raise InputError(f'selections file {path}: {error.strerror or error}') from error
  except Exception as error:  # a damaged pickle may raise nearly anything
    raise InputError(f'selections file {path} cannot be read: {error}') from error
  if not isinstance(content, dict) or not all(
    isinstance(entry, dict) and 'FinetuneSamples' in entry for entry in content.values()
  ):
    raise InputError(
      f"selections file {path}: expected {{'Selection_1': {{'FinetuneSamples': ...}}}}"
    )
  return content


def support_names(
  selections: Selections, *, selection: int, shots: int, code: str
) -> tuple[str, ...]:
  """File names of the annotated images.

  Raises:
    InputError: the selections have no such entry.
  """
  try:
    entry = selections[f'Selection_{selection}']['FinetuneSamples'][f'{shots}-shot'][code]
    return tuple(sorted(entry['Image']))
  except (KeyError, TypeError) as error:
    raise InputError(
      f'the selections have no entry for selection {selection}, {shots} shots, target {code}'
      f' ({error} is missing): see --selections, --shots and --selections-file'
    ) from error


def support_indices(
  names: Sequence[str], wanted: Sequence[str], code: str, *, shots: int
) -> list[int]:
  """Positions in `names` of the wanted images.

  Two of the published selections do not hold as many names as they say: one lists images of another
  data set besides, another one image too few. The first is read without the strange names, the
  second as it is; a warning says so.

  Raises:
    InputError: some are absent, or none would be left to test on.
  """
  position = {name: index for index, name in enumerate(names)}
  present = sorted(set(wanted) & position.keys())
  if len(wanted) != shots and 0 < len(present) <= shots:
    warnings.warn(
      f'{code}: a selection for {shots} shots names {len(wanted)} images, {len(present)} of which'
      ' are there and are taken',
      stacklevel=2,
    )
    wanted = present
  absent = [name for name in wanted if name not in position]
  if absent:
    raise InputError(
      f'{code}: the selection names {len(absent)} image(s) that are not there, the first is'
      f' {absent[0]}: choose other --selections, complete --raw-dir, or leave --selections-file out'
    )
  if len(set(wanted)) >= len(names):
    raise InputError(f'{code}: the selection takes all {len(names)} images: lower --shots')
  return [position[name] for name in wanted]


def random_selections(
  names: Sequence[str], code: str, *, shots: Sequence[int], num_selections: int, seed: int
) -> Selections:
  """Selections drawn without replacement, in the form of a selections file.

  Within one selection the smaller sets are parts of the larger ones. What selection i holds does
  not depend on how many there are, nor on `shots` up to the largest.

  Raises:
    InputError: there are too few images to leave one for testing.
  """
  if max(shots) >= len(names):
    raise InputError(
      f'{code}: {max(shots)} --shots are asked for and {len(names)} images are there: at least'
      f' {max(shots) + 1} are needed'
    )
  selections = {}
  for number in range(1, num_selections + 1):
    order = np.random.default_rng([seed, number]).permutation(sorted(names)).tolist()
    samples = {f'{k}-shot': {code: {'Image': sorted(order[:k])}} for k in shots}
    selections[f'Selection_{number}'] = {'FinetuneSamples': samples}
  return selections
