"""The sections of a report: the scores of a study as tables and pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.study import paired, plots, tables
from experiments.study.cells import Result
from experiments.study.contestants import COMPARED, CONTESTANTS, OURS, VARIANTS
from experiments.study.document import Heading, Part, Picture, Table, Text
from fscs.data.datasets import CODES

FAR = {'EM': 10, 'ssTEM': 3}  # sections between test and annotated images that tell copies apart


def labels_of(results: Sequence[Result]) -> dict[str, str]:
  """{name: label} of the contestants that have results, in the order of the protocols."""
  names = {result.cell.contestant for result in results}
  return {name: c.label for name, c in CONTESTANTS.items() if name in names}


def targets_of(results: Sequence[Result]) -> list[str]:
  """The codes of the targets that have results."""
  found = {result.cell.target for result in results}
  return [code for code in CODES if code in found]


def of_ours(results: Sequence[Result]) -> Iterator[Part]:
  """Ours against the others, losses first."""
  if OURS in labels_of(results):
    yield from _losses(results)
    yield from _paired(results)


def _losses(results: Sequence[Result]) -> Iterator[Part]:
  """Ours against the best of its competitors, cell by cell."""
  labels = labels_of(results)
  rivals = paired.losses_first([r for r in results if r.cell.contestant not in VARIANTS], OURS)
  if not rivals:
    return
  differences = [rival.difference for rival in rivals]
  yield Heading('Where ours loses')
  yield Text(
    f'{labels[OURS]} against the best of the others, variants of it aside, on the selections that'
    f' both have done: behind in {sum(d < 0 for d in differences)} of the {len(rivals)} pairs of'
    f' target and K that are done, on average over them {np.mean(differences):+.3f}.'
  )
  yield Table(
    ('target', 'K', 'selections', 'ours', 'best other', 'its IoU', 'difference'),
    [
      (
        rival.target,
        str(rival.shots),
        str(rival.count),
        f'{rival.ours:.3f}',
        labels[rival.other],
        f'{rival.its:.3f}',
        f'{rival.difference:+.3f}',
      )
      for rival in rivals
    ],
  )


def _paired(results: Sequence[Result]) -> Iterator[Part]:
  """Ours against the others, and against variants of it."""
  labels = labels_of(results)
  titles = (
    'Paired differences of ours to every other',
    'Paired differences of ours to variants',
  )
  for title, of_variants in zip(titles, (False, True), strict=True):
    rows = [
      (label, f'{d.mean:+.3f}', f'{d.low:+.3f} to {d.high:+.3f}', str(d.cells))
      for name, label in labels.items()
      if name != OURS and (name in VARIANTS) == of_variants
      if (d := paired.difference(results, OURS, name))
    ]
    if rows:
      yield Heading(title)
      yield Text(
        'Mean over the experiments that both have done, on the same images; 95 % interval by'
        ' Bayesian bootstrap over test images, each of which counts once however many selections'
        ' score it, and over the selections of a target. It is of these trainings, one a target,'
        ' and of single runs: how far another run would end is not in it.'
      )
      yield Table(('other', 'difference', '95 % interval', 'experiments'), rows)


def in_short(results: Sequence[Result]) -> Iterator[Part]:
  """All that compete, and the variants that the study has on all its targets, a row each."""
  labels, codes = labels_of(results), targets_of(results)
  means = tables.means(results)
  shots = sorted({k for _, _, k in means})
  most = max(mean.count for mean in means.values())
  rows = []
  for name, label in labels.items():
    if name not in COMPARED:
      continue
    of_codes = [[means.get((name, code, k)) for k in shots] for code in codes]
    counts = {mean.count for found in of_codes for mean in found if mean}
    texts = (' / '.join(f'{m.mean:.3f}' if m else '-' for m in found) for found in of_codes)
    rows.append((label, *texts, ' to '.join(map(str, sorted({min(counts), max(counts)})))))
  yield Heading('In short')
  few = any(mean.count < most for mean in means.values())
  yield Text(
    f'Mean IoU at K = {" / ".join(map(str, shots))}.'
    + f' Rows of fewer than {most} selections are means over other images than the rest: they are'
    ' to be compared by the paired differences above.' * few
  )
  yield Table(('', *codes, 'selections'), rows)


def scores(results: Sequence[Result], out: Path) -> Iterator[Part]:
  """IoU, average precision, and IoU far from annotated sections; pictures are drawn into `out`."""
  labels, codes = labels_of(results), targets_of(results)
  table = tables.means(results)
  yield Heading('IoU')
  plots.draw_over_shots(out / 'iou.png', table, codes, labels)
  yield Picture(out / 'iou.png', 'IoU over the number of annotated images')
  yield Text(
    'Means and deviations over the selections that each has done. Without deviations it is one, and'
    ' the differences above, of the same images, tell more than the picture.'
  )
  yield _table(table, labels, codes)
  precision = tables.means(results, tables.average_precision)
  if precision:
    yield Heading('Average precision at IoU 0.5')
    yield Text('TP / (TP + FP + FN) of objects, where the data set tells them apart.')
    yield _table(precision, labels, codes)
  for code, distance in FAR.items():
    yield from _far(results, labels, code, distance)


def _far(
  results: Sequence[Result], labels: dict[str, str], code: str, distance: int
) -> Iterator[Part]:
  """A stack's images that are no near copies of annotated ones."""
  score = tables.distant_iou(distance)
  of_code = [result for result in results if result.cell.target == code]
  if far := tables.pooled(of_code, score):
    counts: dict[int, dict[tuple, int]] = {}
    for r in of_code:
      counts.setdefault(r.cell.shots, {})[r.cell.selection, r.cell.seed] = len(score(r))
    told = '; '.join(
      f'K = {k}: {", ".join(str(of_k[key]) for key in sorted(of_k))}'
      for k, of_k in sorted(counts.items())
    )
    yield Heading(f'{code}, at least {distance} sections from every annotated one')
    yield Text(
      'Mean IoU of all such images, and how many they are: rows of fewer are means over other'
      f' images than the rest. There are, in one selection after the other, {told}.'
    )
    yield _table(far, labels, [code])


def _table(table, labels: dict[str, str], codes: Sequence[str]) -> Table:
  """A line per contestant, a column per target and K; the best of a column is bold.

  Only those that have done the most selections (or images) there can be the best.
  """
  columns = sorted({key[1:] for key in table}, key=lambda c: (codes.index(c[0]), c[1]))
  names = [name for name in labels if any(key[0] == name for key in table)]
  rows, bold = [], set()
  for name in names:
    means = [table.get((name, *column)) for column in columns]
    rows.append([labels[name], *('' if m is None else _mean(m) for m in means)])
  for c, column in enumerate(columns, 1):
    found = {r: table[n, *column] for r, n in enumerate(names) if (n, *column) in table}
    most = max(mean.count for mean in found.values())
    rated = {r: mean.mean for r, mean in found.items() if mean.count == most}
    bold.add((max(rated, key=rated.get), c))
  header = ['', *(f'{t}, K\u00a0=\u00a0{k}' for t, k in columns)]
  return Table(header, rows, frozenset(bold))


def _mean(mean: tables.Mean) -> str:
  if mean.deviation is None:
    return f'{mean.mean:.3f} ({mean.count})'
  # The space that does not break keeps the sign and the deviation on one line of a narrow column.
  return f'{mean.mean:.3f}' + f' ±\u00a0{mean.deviation:.3f}' * (mean.count > 1)
