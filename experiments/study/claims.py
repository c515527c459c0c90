"""The sections of a report that hold the claims of the paper, and of ours, against the scores."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from experiments.study import tables
from experiments.study.cells import Result
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.protocols import OBJECTIVES, OURS
from experiments.study.sections import labels_of, targets_of

RANDOM, TRANSFER = 'random-normal', 'transfer'  # what the paper compares with
COMBINED = OBJECTIVES[-1]  # the paper's method


def of_the_paper(results: Sequence[Result]) -> Iterator[Part]:
  """Whether the paper's initialisations are better than random ones and than transfer."""
  labels, codes = labels_of(results), targets_of(results)
  rows = []
  for name, other in itertools.product(OBJECTIVES, (RANDOM, TRANSFER)):
    of_codes = {
      code: tables.difference([r for r in results if r.cell.target == code], name, other)
      for code in codes
    }
    if every := tables.difference(results, name, other):
      means = (f'{d.mean:+.3f}' if d else '' for d in of_codes.values())
      interval = f'{every.low:+.3f} to {every.high:+.3f}'
      rows.append(
        (labels[name], labels[other], *means, f'{every.mean:+.3f}', interval, str(every.cells))
      )
  if rows:
    yield Heading("The paper's initialisations against random ones and transfer")
    yield Text(
      'In the paper they are better than both. Here, with as many steps of training as all others:'
      ' mean over K (and selections) of the paired difference in IoU; the last mean, with its 95 %'
      ' interval, is over all experiments that both have done, of some targets more than of others'
      ' while the study is not finished.'
    )
    header = ('initialisation', 'against', *codes, 'mean', '95 % interval', 'experiments')
    yield Table(header, rows)


def one_against_many(results: Sequence[Result]) -> Iterator[Part]:
  """Whether ours needs fewer annotated images than the paper's method."""
  labels = labels_of(results)
  shots = sorted({result.cell.shots for result in results})
  if not {OURS, COMBINED} <= labels.keys() or len(shots) < 2:
    return
  few, many = shots[0], shots[-1]
  rows, reached = [], 0
  for code in targets_of(results):
    ours, its = (
      tables.of_selections(results, *who) for who in ((OURS, code, few), (COMBINED, code, many))
    )
    if both := sorted(ours.keys() & its.keys()):
      means = [float(np.mean([scores[key] for key in both])) for scores in (ours, its)]
      reached += means[0] >= means[1]
      rows.append((code, str(len(both)), *(f'{mean:.3f}' for mean in means)))
  if rows:
    yield Heading(f'{few} annotated image against {many}')
    yield Text(
      f'{labels[OURS]} from {few} reaches {labels[COMBINED]} from {many} on {reached} of'
      f' {len(rows)} targets, on the selections that both have done.'
    )
    who = (f'{labels[OURS]}, K = {few}', f'{labels[COMBINED]}, K = {many}')
    yield Table(('target', 'selections', *who), rows)
