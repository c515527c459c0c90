"""The section of a report on what contestants gain by grey values that are learned from colours."""

import itertools
from collections.abc import Iterator, Sequence

from experiments.study import paired, tables
from experiments.study.cells import Result
from experiments.study.contestants import COLOURED, OURS
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.sections import labels_of, targets_of

ENDING = '-colours'  # of the names of those that see them


def of_colours(results: Sequence[Result], where: str = '') -> Iterator[Part]:
  """Contestants with the luma and with learned grey values, and ours against the others.

  Args:
    results: of contestants that see colours, and of the same that see the luma.
    where: said after the heading.
  """
  coloured = [r for r in results if r.cell.contestant in COLOURED]
  shots = sorted({r.cell.shots for r in coloured})
  of_cells = itertools.product(targets_of(coloured), shots, labels_of(coloured))
  rows = [row for code, k, name in of_cells if (row := _row(results, code, k, name))]
  if not rows:
    return
  yield Heading(f'Grey values learned from colours{where}')
  yield Text(
    'All other tables are of the luma. Here the same contestants see, on the targets that have'
    ' colours, the weighted sum of red, green and blue that tells the annotated foreground best'
    " (Fisher's criterion, `fscs.data.channels`), every image stretched between black and white as own"
    ' images are, which the luma is not. Means over the selections that both have done; the last'
    ' column is ours less this one, both from colours.'
  )
  header = ('target', 'K', 'contestant', 'selections', 'IoU, luma', 'IoU, colours')
  yield Table((*header, 'gain', '95 % interval', 'AP, luma', 'AP, colours', 'ours less it'), rows)


def _row(results: Sequence[Result], code: str, shots: int, name: str) -> tuple[str, ...] | None:
  plain = name.removesuffix(ENDING)
  here = [r for r in results if (r.cell.target, r.cell.shots) == (code, shots)]
  gain = paired.difference(here, name, plain)
  if not gain:
    return None
  pair = paired.in_common([r for r in here if r.cell.contestant in (plain, name)])
  iou, precision = (
    [found[who, code, shots].mean for who in (plain, name)]
    for found in (tables.means(pair), tables.means(pair, tables.average_precision))
  )
  ahead = paired.difference(here, OURS + ENDING, name) if name != OURS + ENDING else None
  return (
    code,
    str(shots),
    labels_of(pair)[plain],
    str(gain.cells),
    *(f'{value:.3f}' for value in iou),
    f'{gain.mean:+.3f}',
    f'{gain.low:+.3f} to {gain.high:+.3f}',
    *(f'{value:.3f}' for value in precision),
    f'{ahead.mean:+.3f}' if ahead else '',
  )
