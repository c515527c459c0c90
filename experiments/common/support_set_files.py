"""Files that say which images are annotated."""

import json
from collections.abc import Sequence
from pathlib import Path

from fscs.data.support_sets import Selections, random_selections, read_selections
from fscs.environment import default_data_dir
from fscs.errors import InputError
from fscs.io.atomic import write_text

PAPER = 'paper'

# Published by the paper's authors with their code.
_PAPER_URL = (
  'https://raw.githubusercontent.com/Yussef93/FewShotCellSegmentation/'
  '33a2f81da98e7f106bda4fa9645bd5830c9fb654/selections.pkl'
)
_PAPER_SHA256 = 'c8481bf8efc214a900ee49f027a48176b83a31dd05a784b22c0a12acc62f05b8'


def choose_selections(
  selections_file: str | None,
  names: Sequence[str],
  code: str,
  *,
  shots: Sequence[int],
  selections: Sequence[int],
  seed: int,
  data_dir: str | None = None,
) -> Selections:
  """The published selections ('paper'), those of a file, or random ones if none is given.

  Raises:
    InputError: the file cannot be downloaded or read, or there are too few images.
  """
  if selections_file is None:
    return random_selections(names, code, shots=shots, num_selections=max(selections), seed=seed)
  if selections_file == PAPER:
    return read_selections(_download(default_data_dir(data_dir)))
  return read_selections(selections_file)


def save_selections(path: Path, selections: Selections) -> None:
  """Add selections to a JSON file of the form that is read here."""
  merged = json.loads(path.read_text()) if path.exists() else {}
  for number, entry in selections.items():
    samples = merged.setdefault(number, {}).setdefault('FinetuneSamples', {})
    for shots, by_code in entry['FinetuneSamples'].items():
      samples.setdefault(shots, {}).update(by_code)
  write_text(path, json.dumps(merged, indent=1) + '\n')


def _download(folder: Path) -> Path:
  import pooch

  try:
    path = pooch.retrieve(_PAPER_URL, f'sha256:{_PAPER_SHA256}', 'selections.pkl', folder)
  except (OSError, ValueError) as error:
    raise InputError(
      f'{_PAPER_URL} could not be downloaded ({error}): download it by another way and give its'
      ' path',
      arguments=('selections_file',),
    ) from error
  return Path(path)
