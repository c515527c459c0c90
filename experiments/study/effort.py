"""The sections of a report that tell what adaptation takes: steps, seconds and memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.study import paired, plots, tables
from experiments.study.cells import Result
from experiments.study.contestants import CONTESTANTS, FOLLOWED, OURS
from experiments.study.document import Heading, Part, Picture, Table, Text
from experiments.study.sections import labels_of, targets_of

YARDSTICK = 'scratch'  # whose last IoU the curves of the others are measured by


def steps(results: Sequence[Result], out: Path) -> Iterator[Part]:
  """How IoU grows with the steps of adaptation; pictures are drawn into `out`."""
  labels = labels_of(results)
  shots = sorted({r.cell.shots for r in results if r.cell.contestant in FOLLOWED})
  for k in shots:
    curves = {
      code: {
        n: curve
        for n in FOLLOWED
        if n in labels and len(curve := tables.curve(results, n, code, k)) > 1
      }
      for code in targets_of(results)
    }
    curves = {code: by_name for code, by_name in curves.items() if by_name}
    steps = sorted({s for by_name in curves.values() for c in by_name.values() for s in c})
    if len(steps) < 3:
      continue
    yield Heading(f'IoU over steps of adaptation, K = {k}')
    path = out / f'steps-K{k}.png'
    plots.draw_over_steps(path, curves, labels, 'every number of steps is an adaptation of its own')
    yield Picture(path, f'IoU over steps of adaptation from {k} images')
    yield Text(
      'Of the selections that were followed. Ours and most of its variants mix in a forest of the'
      ' annotated images, so that they know something of them after 0 steps.'
    )
    yield Table(
      ('', '', *map(str, steps), f'as good as {CONTESTANTS[YARDSTICK].label} ends'),
      [
        (
          code,
          labels[name],
          *(f'{curve[s]:.3f}' if s in curve else '' for s in steps),
          _reaches(curve, by_name.get(YARDSTICK)),
        )
        for code, by_name in curves.items()
        for name, curve in by_name.items()
      ],
    )


def _reaches(curve: Mapping[int, float], yardstick: Mapping[int, float] | None) -> str:
  """After how many steps a curve is where another ends."""
  if not yardstick:
    return ''
  steps = tables.first_to_reach(curve, yardstick[max(yardstick)])
  return 'never' if steps is None else f'after {steps}'


def cost(results: Sequence[Result], out: Path) -> Iterator[Part]:
  """IoU over seconds and memory on one machine; a picture is drawn into `out`."""
  machine, results = _comparable(results)
  labels = labels_of(results)
  groups = {n: [r for r in results if r.cell.contestant == n] for n in labels}
  if not labels:
    return
  points = {
    n: (float(np.median([r.seconds for r in g])), float(np.mean([np.mean(r.iou) for r in g])))
    for n, g in groups.items()
  }
  yield Heading('Cost')
  yield Text(
    'Seconds to adapt to one set of annotated images and to predict one image, medians of wall time'
    ' on a machine that may have had other work; programs are compiled in that time unless the same'
    ' had been before, and training on sources does not count. Largest memory of the process, which'
    ' grows with what it did before, training on sources among it.'
    f' Everything is of the {len(results) // len(labels)} experiments that all of these'
    f' contestants have done on {machine or "machines that were not written down"}:'
    f' {", ".join(targets_of(results))}.'
  )
  plots.draw_over_cost(out / 'cost.png', points, labels)
  yield Picture(out / 'cost.png', 'IoU over the seconds to adapt')
  yield Table(
    ('', 'mean IoU', 'seconds to adapt', 'seconds per image', 'memory, MB'),
    [
      (
        labels[n],
        f'{points[n][1]:.3f}',
        f'{points[n][0]:.1f}',
        f'{np.median([r.seconds_per_image for r in g]):.2f}',
        f'{max(r.peak_mb for r in g):.0f}',
      )
      for n, g in groups.items()
    ],
  )


def _comparable(results: Sequence[Result]) -> tuple[str, list[Result]]:
  """(a machine, those of its results that tell the most).

  It is one on which ours was measured, if there is any.
  """
  by_machine: dict[str, list[Result]] = {}
  for result in results:
    by_machine.setdefault(result.machine, []).append(result)
  ours = {m: r for m, r in by_machine.items() if any(s.cell.contestant == OURS for s in r)}
  found = {m: paired.most_in_common(r, OURS) for m, r in (ours or by_machine).items()}
  return max(found.items(), key=lambda of: len(of[1]), default=('', []))
