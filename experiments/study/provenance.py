"""The sections of a report that tell where results come from: trainings and machines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from experiments.study import tables
from experiments.study.cells import Result
from experiments.study.contestants import ABLATIONS, CONTESTANTS, OURS
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.sections import labels_of


def trainings(results: Sequence[Result]) -> Iterator[Part]:
  """Where results that are shown beside each other are of more than one training."""
  if several := tables.starts(results):
    codes = {name: [code for who, code in several if who == name] for name, _ in several}
    of_whom = '; '.join(
      f'{CONTESTANTS[name].label} on {", ".join(of_it)}' for name, of_it in codes.items()
    )
    yield Text(
      'Several trainings in place of one, of the same options on other kinds of machine, or of'
      f' which it was not written down, are behind the results, curves among them, of {of_whom}.'
    )


def machines(groups: Mapping[str, Sequence[Result]]) -> Iterator[Part]:
  """On which kinds of machine every contestant was measured.

  Args:
    groups: {what the results are of: results}; the table counts those that are not empty, one
      after the other.
  """
  groups = {name: group for name, group in groups.items() if group}
  results = [result for group in groups.values() for result in group]
  names = sorted({result.machine for result in results}, key=lambda name: (not name, name))
  counts = [Counter((r.cell.contestant, r.machine) for r in group) for group in groups.values()]
  yield Heading('Machines')
  yield Text(
    f'How many experiments ({" / ".join(groups)}) ran on which kind of machine, as far as that was'
    ' written down; results.jsonl has it for each of them. The same run ends elsewhere on another'
    ' kind.'
  )
  yield Table(
    ('', *(name or 'not written down' for name in names)),
    [
      (_in_full(who, label), *(_counted([count[who, name] for count in counts]) for name in names))
      for who, label in labels_of(results).items()
    ],
  )


def _in_full(name: str, label: str) -> str:
  """A label that says whose part is changed."""
  return f'{CONTESTANTS[OURS].label} with: {label}' if name in ABLATIONS else label


def _counted(counts: Sequence[int]) -> str:
  return ' / '.join(map(str, counts)) if any(counts) else ''
