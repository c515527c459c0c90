"""Tables of scores: one row per fine-tuning in results.csv, means over support sets beside it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from fscs.errors import InputError
from fscs.io.atomic import write_csv, write_text

RowClass = TypeVar('RowClass', bound=NamedTuple)

SCORES = ('iou', 'dice', 'foreground_accuracy')


class Row(NamedTuple):
  """One initialisation, fine-tuned on one support set and scored on the other images."""

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
  num_steps: int  # of fine-tuning; 0 if no support image has an admissible crop
  num_test_images: int
  seconds: float  # fine-tuning, scoring and drawing, compilation included

  @property
  def key(self) -> tuple:
    """What makes the row a different experiment."""
    return tuple(self)[: Row._fields.index('iou')]


KEY = Row._fields[: Row._fields.index('iou')]


def read_rows(path: Path, row_class: type[RowClass] = Row) -> list[RowClass]:
  """Rows of a table that `write_csv` wrote; none if it is not there.

  Raises:
    InputError: the file is damaged.
  """
  if not path.exists():
    return []
  types = row_class.__annotations__
  try:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
  except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
    raise InputError(f'{path} is damaged ({error}): mend it, or remove it to start over') from error
  missing = [name for name in row_class._fields if name not in table]
  if missing:
    raise InputError(
      f'{path} has no column {missing[0]}, as an earlier version wrote it: choose another workdir',
      arguments=('workdir',),
    )
  records = table[list(row_class._fields)].to_dict('records')
  try:
    return [row_class(**{name: types[name](r[name]) for name in types}) for r in records]
  except (ValueError, TypeError) as error:
    raise InputError(f'{path} is damaged ({error}): mend it, or remove it to start over') from error


def shard_of(shard: str | None) -> tuple[int, int]:
  """(i, n) of 'i/n', counted from 1; (1, 1) for None.

  Raises:
    InputError: it is of another form.

  >>> shard_of('2/4')
  (2, 4)
  """
  match = re.fullmatch(r'(\d+)/(\d+)', '1/1' if shard is None else shard)
  if match:
    index, count = int(match[1]), int(match[2])
    if 1 <= index <= count:
      return index, count
  raise InputError(
    f'shard is {shard}: expected i/n with i from 1 to n, such as 1/4', arguments=('shard',)
  )


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


def write_summary(workdir: Path, rows: Sequence[Row], title: str) -> pd.DataFrame:
  """Write summary.csv and summary.md: means and standard deviations over support sets.

  Returns:
    The mean IoU and its deviation, with a row per initialisation and number of shots.
  """
  table = pd.DataFrame(rows, columns=list(Row._fields))
  groups = table.groupby(list(KEY[:-1]), sort=False)
  summary = groups[list(SCORES)].agg(['mean', 'std'])
  summary.columns = [f'{score}_{statistic}' for score, statistic in summary.columns]
  summary.insert(0, 'num_selections', groups.size())
  summary = summary.reset_index()
  values = summary.astype(object).where(summary.notna(), '')  # no deviation of a single support set
  write_csv(workdir / 'summary.csv', values.values.tolist(), list(summary.columns))
  summary['name'] = _unique_names(summary)
  text = '{:.3f}'.format
  summary['cell'] = [
    text(mean) if pd.isna(std) else f'{text(mean)} ± {text(std)}'
    for mean, std in zip(summary['iou_mean'], summary['iou_std'], strict=True)
  ]
  page = summary.pivot(index='name', columns='shots', values='cell').fillna('')
  page = page.reindex(summary['name'].unique())
  page.columns = [f'K = {shots}' for shots in page.columns]
  page.index.name = 'initialisation'
  caption = 'Foreground IoU, mean ± standard deviation over support sets.'
  write_text(workdir / 'summary.md', f'# {title}\n\n{caption}\n\n{page.to_markdown()}\n')
  return summary[['name', 'shots', 'iou_mean', 'iou_std']]


def _unique_names(summary: pd.DataFrame) -> pd.Series:
  """Names of the initialisations, with step and digest if several checkpoints share a name."""
  versions = summary.groupby('initialisation')['digest'].transform('nunique')
  detailed = (
    summary['initialisation']
    + ', step '
    + summary['step'].astype(str)
    + ' ('
    + summary['digest']
    + ')'
  )
  return summary['initialisation'].where(versions == 1, detailed)
