"""Support sets: which images of the target are annotated; the paper's, or random ones.

A file of support sets, pickled or JSON, holds
{'Selection_1': {'FinetuneSamples': {'5-shot': {'B5': {'Image': [file names], ...}}}}}.
Only 'Image' is read: masks are paired by name. The order of the names has no meaning.
"""

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fscs.errors import InputError

Selections = dict[str, Any]  # the content of a file of support sets


class _PlainUnpickler(pickle.Unpickler):
  """Reads dictionaries, lists, strings and numbers; refuses a pickle that refers to code."""

  def find_class(self, module: str, name: str):
    raise pickle.UnpicklingError(f'it names {module}.{name}, and only plain values are read')


def read_selections(path: str | Path) -> Selections:
  """Read a file of support sets.

  Args:
    path: JSON (.json), or a pickle of plain values as the paper's authors published.

  Raises:
    InputError: the file does not exist, is damaged, or has another structure.
  """
  path = Path(path)
  try:
    if path.suffix == '.json':
      content = json.loads(path.read_text())
    else:
      with path.open('rb') as file:
        content = json.loads(json.dumps(_PlainUnpickler(file).load()))  # only what JSON can hold
  except OSError as error:
    raise _unusable(f'selections file {path}: {error.strerror or error}') from error
  except Exception as error:  # a damaged pickle may raise nearly anything
    raise _unusable(f'selections file {path} cannot be read: {error}') from error
  if not isinstance(content, dict) or not all(
    isinstance(entry, dict) and 'FinetuneSamples' in entry for entry in content.values()
  ):
    raise _unusable(
      f"selections file {path}: expected {{'Selection_1': {{'FinetuneSamples': ...}}}}"
    )
  return content


def _unusable(message: str) -> InputError:
  return InputError(message, arguments=('selections_file',))


def support_names(
  selections: Selections, *, selection: int, shots: int, code: str
) -> tuple[str, ...]:
  """File names of the images in a support set, sorted.

  Args:
    selections: from `read_selections` or `random_selections`.
    selection: number of the support set, from 1.
    shots: number of images.
    code: data set.

  Raises:
    InputError: there is no such support set.

  >>> images = {'Image': ['3.png', '1.png']}
  >>> selections = {'Selection_1': {'FinetuneSamples': {'2-shot': {'B5': images}}}}
  >>> support_names(selections, selection=1, shots=2, code='B5')
  ('1.png', '3.png')
  """
  try:
    entry = selections[f'Selection_{selection}']['FinetuneSamples'][f'{shots}-shot'][code]
    return tuple(sorted(entry['Image']))
  except (KeyError, TypeError) as error:
    raise InputError(
      f'there is no support set for selection {selection}, {shots} shots, target {code}: {error} is'
      ' missing',
      arguments=('selections', 'shots', 'selections_file'),
    ) from error


def support_indices(
  names: Sequence[str], wanted: Sequence[str], code: str, *, shots: int
) -> list[int]:
  """Positions of a support set in a data set.

  Two of the published support sets have another size than they state. One also lists images of
  another data set, which are ignored; one lists an image too few. Both give a warning.

  Args:
    names: file names of the data set.
    wanted: file names of the support set.
    code: data set, for messages.
    shots: stated size of the support set.

  Returns:
    Indices into `names`, in the order of `wanted`.

  Raises:
    InputError: an image is missing, or no image would be left for testing.

  >>> support_indices(['a.png', 'b.png', 'c.png'], ['c.png', 'a.png'], 'B5', shots=2)
  [2, 0]
  """
  position = {name: index for index, name in enumerate(names)}
  present = sorted(set(wanted) & position.keys())
  if len(wanted) != shots and 0 < len(present) <= shots:
    warnings.warn(
      f'{code}: a support set of {shots} shots names {len(wanted)} images; the {len(present)} that'
      ' exist are taken',
      stacklevel=2,
    )
    wanted = present
  absent = [name for name in wanted if name not in position]
  if absent:
    raise InputError(
      f'{code}: {len(absent)} image(s) of the support set are missing, the first is {absent[0]}:'
      ' choose another support set, or complete the data',
      arguments=('selections', 'raw_dir', 'selections_file'),
    )
  if len(set(wanted)) >= len(names):
    raise InputError(
      f'{code}: the support set has all {len(names)} images and leaves none for testing',
      arguments=('shots',),
    )
  return [position[name] for name in wanted]


def random_selections(
  names: Sequence[str], code: str, *, shots: Sequence[int], num_selections: int, seed: int
) -> Selections:
  """Draw random support sets, in the structure of a file of support sets.

  Within one selection smaller support sets are subsets of larger ones. A support set does not
  depend on which others are drawn.

  Args:
    names: file names of the data set, in any order.
    code: data set.
    shots: sizes of the support sets.
    num_selections: support sets of each size.
    seed: of the drawing.

  Raises:
    InputError: there are too few images to leave one for testing.

  >>> selections = random_selections('abcdef', 'B5', shots=(1, 3), num_selections=2, seed=0)
  >>> [support_names(selections, selection=2, shots=k, code='B5') for k in (1, 3)]
  [('f',), ('a', 'c', 'f')]
  """
  if max(shots) >= len(names):
    raise InputError(
      f'{code}: {max(shots)} shots need at least {max(shots) + 1} images, found {len(names)}',
      arguments=('shots',),
    )
  selections = {}
  for number in range(1, num_selections + 1):
    order = np.random.default_rng([seed, number]).permutation(sorted(names)).tolist()
    samples = {f'{k}-shot': {code: {'Image': sorted(order[:k])}} for k in shots}
    selections[f'Selection_{number}'] = {'FinetuneSamples': samples}
  return selections
