"""Results of the study: one JSON line each in results.jsonl, and predictions beside them.

A line is appended when a run is done, so a study goes on where it stopped. Every shard has a file
of its own, results-IofN.jsonl.
"""

import importlib.metadata
import io
import json
import re
import subprocess
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fscs.errors import InputError
from fscs.io.atomic import write_bytes, write_text

FILE = 'results.jsonl'
PUBLISHED_PREDICTIONS = 'predictions.zip'  # beside a published results.jsonl


class Run(NamedTuple):
  """A method that adapts to one support set of a target and is scored on other images of it."""

  protocol: str
  method: str
  target: str
  shots: int
  selection: int
  seed: int
  steps: int  # of adaptation; 0 for methods that take none

  @property
  def place(self) -> tuple[str, int, int, int]:
    """What methods are compared on: target, shots, selection and seed."""
    return self.target, self.shots, self.selection, self.seed

  def __str__(self) -> str:
    return (
      f'{self.method} on {self.target}, K = {self.shots}, selection {self.selection}, seed'
      f' {self.seed}, {self.steps} steps'
    )


class Result(NamedTuple):
  """What came of a run."""

  run: Run
  config: str  # digest of everything that decides the result
  commit: str  # version of the code
  data: str  # digest of the data sets that the result depends on
  machine: str  # that seconds and memory were measured on; empty if unknown
  support: tuple[str, ...]  # names of the annotated images
  images: tuple[str, ...]  # names of the images scored
  iou: tuple[float, ...]  # of the foreground, per image
  sections: tuple[int, ...] | None  # to the nearest annotated one, per image of a stack
  average_precision: tuple[float, ...] | None  # at IoU 0.5, if the data set tells objects apart
  seconds: float  # to adapt, compilation included
  seconds_per_image: float  # to predict
  peak_mb: float  # of the process
  losses: tuple[float, ...]  # the first, and the mean of the last ten
  start: str  # digest of the parameters that adapted; empty if there are none, or unknown


def to_line(result: Result) -> str:
  """One line of JSON, with the fields of the run first."""
  fields = result._asdict()
  return json.dumps({**fields.pop('run')._asdict(), **fields}) + '\n'


def from_line(line: str) -> Result:
  """The result that `to_line` wrote.

  Raises:
    ValueError, TypeError, KeyError: it is something else.
  """
  content = json.loads(line)
  fields = {name: _as_tuple(content[name]) for name in (*Run._fields, *Result._fields[1:])}
  run = Run(*(fields.pop(name) for name in Run._fields))
  if not all(re.fullmatch(r'[\w-]+', name) for name in run[:3]):  # they become folders
    raise ValueError(f'{run[:3]} are no names of a protocol, a method and a target')
  if not all(isinstance(number, int) for number in run[3:]):
    raise ValueError(f'{run[3:]} are no whole numbers')
  result = Result(run, **fields)
  num_scores = len(np.asarray(result.iou, float))
  if not num_scores or num_scores != len(result.images):
    raise ValueError(f'{num_scores} scores of {len(result.images)} images')
  return result


def _as_tuple(value: Any) -> Any:
  return tuple(value) if isinstance(value, list) else value


def results_path(workdir: Path, shard: tuple[int, int]) -> Path:
  """The file of a shard (i, n)."""
  index, count = shard
  return workdir / (FILE if count == 1 else f'results-{index}of{count}.jsonl')


def append(path: Path, results: Iterable[Result]) -> None:
  """Add results to a file; a line that was cut short by a kill is removed first."""
  with path.open('a+b') as file:
    file.seek(0)
    file.truncate(file.read().rfind(b'\n') + 1)
    file.write(''.join(map(to_line, results)).encode())


def read(path: Path) -> list[Result]:
  """The results of a file; a last line that was cut short does not count.

  Raises:
    InputError: the file cannot be read, or is damaged.
  """
  try:
    lines = path.read_text().split('\n')[:-1]
  except (OSError, UnicodeDecodeError) as error:
    raise InputError(
      f'{path} cannot be read ({error}): expected the results.jsonl of a study'
    ) from error
  results = []
  for number, line in enumerate(lines, 1):
    try:
      results.append(from_line(line))
    except (ValueError, TypeError, KeyError) as error:
      raise InputError(
        f'{path}, line {number}, is no result of a study ({error!r}): remove the line, or give'
        ' another file'
      ) from error
  return results


def read_all(workdir: Path) -> list[Result]:
  """The results of all shards of a study."""
  return [result for path in sorted(workdir.glob('results*.jsonl')) for result in read(path)]


def write(path: Path, results: Iterable[Result]) -> None:
  """Write a file to publish."""
  write_text(path, ''.join(map(to_line, results)))


def code_version() -> str:
  """The commit of a checkout, or the version of the package."""
  command = ['git', '-C', str(Path(__file__).parent), 'describe', '--always', '--dirty']
  try:
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return found.stdout.strip()
  except (OSError, subprocess.CalledProcessError):
    return importlib.metadata.version('fscs')


def _predictions_file(run: Run) -> Path:
  """Below the workdir, and in the published archive."""
  name = f'K{run.shots}-selection{run.selection}-s{run.seed}-{run.steps}steps.npz'
  return Path('predictions', run.protocol, run.target, run.method, name)


def keep_predictions(workdir: Path, run: Run, names: Sequence[str], masks: np.ndarray) -> None:
  """Write the predicted foreground (N, H, W) of the images of these names, a bit per pixel."""
  path = workdir / _predictions_file(run)
  path.parent.mkdir(parents=True, exist_ok=True)
  write_bytes(path, _packed(names, masks))


def _packed(names: Sequence[str], masks: np.ndarray) -> bytes:
  content = io.BytesIO()
  bits = np.packbits(masks, axis=None)
  np.savez_compressed(content, names=np.array(names), bits=bits, shape=masks.shape)
  return content.getvalue()


def read_prediction(workdir: Path, run: Run, name: str) -> np.ndarray | None:
  """The predicted foreground (H, W) of an image; None if it was not kept.

  Raises:
    InputError: the file is damaged.
  """
  path = workdir / _predictions_file(run)
  if not path.exists():
    return None
  try:
    with np.load(path) as content:
      names, shape = list(content['names']), tuple(content['shape'])
      bits = np.unpackbits(content['bits'], count=int(np.prod(shape)))
  except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
    raise InputError(f'{path} is damaged ({error}): remove it') from error
  return bits.reshape(shape)[names.index(name)].astype(bool) if name in names else None


def publish_predictions(path: Path, predictions: Mapping[tuple[Run, str], np.ndarray]) -> None:
  """Write {(run, image): foreground} into one file; without any, the file is removed."""
  if not predictions:
    path.unlink(missing_ok=True)
    return
  content = io.BytesIO()
  with zipfile.ZipFile(content, 'w') as archive:
    for (run, name), mask in predictions.items():
      # Without the time, so that equal predictions make equal files.
      archive.writestr(
        zipfile.ZipInfo(_predictions_file(run).as_posix()), _packed([name], mask[None])
      )
  write_bytes(path, content.getvalue())


def take_over_predictions(path: Path, workdir: Path, runs: Iterable[Run]) -> None:
  """Keep in a workdir what a published file has of these runs.

  Raises:
    InputError: the file is damaged.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      published = set(archive.namelist())
      for file in map(_predictions_file, runs):
        if file.as_posix() in published:
          (workdir / file).parent.mkdir(parents=True, exist_ok=True)
          write_bytes(workdir / file, archive.read(file.as_posix()))
  except zipfile.BadZipFile as error:
    raise InputError(f'{path} is damaged ({error}): remove it, or copy it again') from error
