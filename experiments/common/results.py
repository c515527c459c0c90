"""Tables of scores: one row per fine-tuning in `results.csv`, means over selections beside it."""

import csv
import io
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from fscs.errors import InputError
from fscs.io.workdirs import write_text

RowClass = TypeVar('RowClass', bound=NamedTuple)


class Row(NamedTuple):
  """One initialisation fine-tuned on one selection, scored on the other images."""

  target: str
  arch: str
  initialisation: str
  objective: str
  step: int  # of the initialisation's checkpoint
  digest: str  # of its parameters
  shots: int
  selection: int
  iou: float  # mean over test images, as are the next two
  dice: float
  foreground_accuracy: float
  num_steps: int  # of fine-tuning; 0 where no support image has an admissible crop
  num_test_images: int
  seconds: float  # fine-tuning, scoring and drawing, compilation included

  @property
  def key(self) -> tuple:
    """What makes the row a different experiment."""
    return tuple(self)[: Row._fields.index('iou')]


class Summary(NamedTuple):
  """Mean and standard deviation over selections; the deviation of one selection is 0."""

  target: str
  arch: str
  initialisation: str
  objective: str
  step: int
  digest: str
  shots: int
  num_selections: int
  iou_mean: float
  iou_std: float
  dice_mean: float
  dice_std: float
  foreground_accuracy_mean: float
  foreground_accuracy_std: float


def read_rows(path: Path, row_class: type[RowClass] = Row) -> list[RowClass]:
  """Rows of a table that `write_table` wrote, none if it is not there.

  Raises:
    InputError: the file is damaged.
  """
  if not path.exists():
    return []
  types = row_class.__annotations__
  names = row_class._fields
  try:
    with path.open(newline='') as file:
      records = list(csv.DictReader(file))
    return [row_class(**{name: types[name](record[name]) for name in names}) for record in records]
  except KeyError as error:
    raise InputError(
      f'{path} has no column {error}, as an earlier version wrote it: choose another --workdir'
    ) from error
  except (ValueError, TypeError) as error:
    raise InputError(f'{path} is damaged ({error}): mend it, or remove it to start over') from error


def shard_of(shard: str | None) -> tuple[int, int]:
  """(i, n) of 'i/n', counted from 1; (1, 1) for None.

  Raises:
    InputError: it is none.
  """
  match = re.fullmatch(r'(\d+)/(\d+)', '1/1' if shard is None else shard)
  if match:
    index, count = int(match[1]), int(match[2])
    if 1 <= index <= count:
      return index, count
  raise InputError(f'--shard is {shard}: i/n with i from 1 to n is expected, such as 1/4')


def table_path(workdir: Path, shard: str | None) -> Path:
  """Where a process keeps its rows: shards must not write to one file."""
  index, count = shard_of(shard)
  return workdir / ('results.csv' if shard is None else f'results-{index}of{count}.csv')


def read_all(workdir: Path) -> list[Row]:
  """The rows of all results files of a workdir, each experiment once.

  Raises:
    InputError: one of the files is damaged.
  """
  rows = [row for path in sorted(workdir.glob('results*.csv')) for row in read_rows(path)]
  return list({row.key: row for row in rows}.values())


def write_table(path: Path, rows: Sequence[NamedTuple], fields: Sequence[str]) -> None:
  """Write rows as CSV, whole or not at all."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(fields)
  writer.writerows([[f'{v:.6g}' if isinstance(v, float) else v for v in row] for row in rows])
  write_text(path, text.getvalue())


def summarise(rows: Iterable[Row]) -> list[Summary]:
  """Means over selections, in the order in which the experiments first appear."""
  groups: dict[tuple, list[Row]] = {}
  for row in rows:
    groups.setdefault(row.key[:-1], []).append(row)
  summaries = []
  for key, group in groups.items():
    figures = []
    for name in ('iou', 'dice', 'foreground_accuracy'):
      values = [getattr(row, name) for row in group]
      figures += [statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0]
    summaries.append(Summary(*key, len(group), *figures))
  return summaries


def by_initialisation(
  summaries: Iterable[Summary],
) -> dict[str, dict[int, tuple[float, float]]]:
  """{initialisation: {shots: (mean IoU, standard deviation)}}.

  Where several checkpoints of one name were evaluated, the step and digest tell them apart.
  """
  summaries = list(summaries)
  versions: dict[str, set] = {}
  for s in summaries:
    versions.setdefault(s.initialisation, set()).add((s.step, s.digest))
  table: dict[str, dict[int, tuple[float, float]]] = {}
  for s in summaries:
    several = len(versions[s.initialisation]) > 1
    name = f'{s.initialisation}, step {s.step} ({s.digest})' if several else s.initialisation
    table.setdefault(name, {})[s.shots] = (s.iou_mean, s.iou_std)
  return table


def markdown(title: str, table: Mapping[str, Mapping[int, tuple[float, float]]]) -> str:
  """A table of mean IoU and deviation, a line per initialisation and a column per shots."""
  shots = sorted({k for by_shots in table.values() for k in by_shots})
  lines = [f'# {title}', '', 'Foreground IoU, mean ± standard deviation over selections.', '']
  lines += ['| initialisation | ' + ' | '.join(f'K = {k}' for k in shots) + ' |']
  lines += ['|---|' + '---|' * len(shots)]
  for name, by_shots in table.items():
    cells = [f'{by_shots[k][0]:.3f} ± {by_shots[k][1]:.3f}' if k in by_shots else '' for k in shots]
    lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines) + '\n'
