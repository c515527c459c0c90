"""The sections of a report that hold the claims of the paper, and of ours, against the scores."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from experiments.study import paired, tables
from experiments.study.cells import Result
from experiments.study.contestants import OBJECTIVES, OURS
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.sections import labels_of, targets_of

RANDOM, TRANSFER = 'random-normal', 'transfer'  # what the paper compares with
COMBINED = OBJECTIVES[-1]  # the paper's method
TUNED = 'combined-tuned'  # the same at another threshold
FOREST, SCRATCH, OURS_RANDOM = 'forest', 'scratch', 'ours-random'  # take no sources


def of_the_paper(results: Sequence[Result]) -> Iterator[Part]:
  """Whether the paper's initialisations are better than random ones and than transfer.

  And what its method gains by a threshold that is not 0.5.
  """
  labels, codes = labels_of(results), targets_of(results)
  rows = []
  pairs = [*itertools.product(OBJECTIVES, (RANDOM, TRANSFER)), (TUNED, COMBINED)]
  for name, other in pairs:
    of_codes = {
      code: paired.difference([r for r in results if r.cell.target == code], name, other)
      for code in codes
    }
    if every := paired.difference(results, name, other):
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
      ' while the study is not finished. It is of single runs: how far another run would end is not'
      ' in it.'
    )
    if labels.get(TUNED) == rows[-1][0]:
      yield Text(
        "The last row is what the paper's method gains by the threshold of highest IoU on the"
        ' annotated images, in place of 0.5.'
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
  beside = [name for name in (FOREST, SCRATCH, OURS_RANDOM) if name in labels]
  rows, reached = [], 0
  for code in targets_of(results):
    its, ours, *others = (
      tables.of_selections(results, *who)
      for who in ((COMBINED, code, many), *((name, code, few) for name in (OURS, *beside)))
    )
    if both := sorted(ours.keys() & its.keys()):
      reached += _mean(ours, both) >= _mean(its, both)
      means = [_mean(scores, both) for scores in (its, ours, *others)]
      rows.append((code, str(len(both)), *('' if np.isnan(m) else f'{m:.3f}' for m in means)))
  if rows:
    yield Heading(f'{few} annotated image against {many}')
    yield Text(
      f'{labels[OURS]} from {few} reaches {labels[COMBINED]} from {many} on {reached} of'
      f' {len(rows)} targets, on the selections that both have done. The others beside it are from'
      f' {few} too, on the same selections, where they have done all of them.'
    )
    who = (f'{labels[COMBINED]}, K = {many}', *(labels[name] for name in (OURS, *beside)))
    yield Table(('target', 'selections', *who), rows)


def _mean(scores: Mapping[tuple, float], of: Sequence[tuple]) -> float:
  """NaN where one is missing."""
  return float(np.mean([scores.get(key, np.nan) for key in of]))
