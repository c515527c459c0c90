"""What the parts of the recipe give: ours against variants of it, one part changed in each."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.study import paired
from experiments.study.cells import Result
from experiments.study.contestants import OURS, VARIANTS
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.sections import labels_of, targets_of


class Gain(NamedTuple):
  """IoU of ours, less that of a variant."""

  of_targets: dict[str, float]  # {code: mean difference}
  every: paired.Difference  # over all these targets

  @property
  def gains_on(self) -> str:
    """On how many of the targets it is one."""
    means = self.of_targets.values()
    return f'{sum(mean > 0 for mean in means)} of {len(means)}'

  @property
  def interval(self) -> str:
    return f'{self.every.low:+.3f} to {self.every.high:+.3f}'


def of_parts(results: Sequence[Result]) -> Iterator[Part]:
  """All variants in short, and then target by target, by steps of adaptation and K."""
  ours = {(r.cell.steps, r.cell.shots) for r in results if r.cell.contestant == OURS}
  found = {
    (steps, k): _gains([r for r in results if (r.cell.steps, r.cell.shots) == (steps, k)])
    for steps, k in sorted(ours, key=lambda key: (-key[0], key[1]))
  }
  found = {key: gains for key, gains in found.items() if gains}
  if not found:
    return
  labels, codes = labels_of(results), targets_of(results)
  yield Heading('What the parts of the recipe give')
  yield Text(
    'In rehearsal (--protocol=rehearsal), on images that no other table scores: IoU of ours, less'
    ' that of a variant with one part changed (with Adam and at a tuned threshold, several; kernels'
    ' that shrink have weight decay in training too); the 95 % interval of the mean,'
    ' by Bayesian bootstrap over test images; and on how many targets the part gains.'
    f' Test images: {_counts(results)}; where they are few, a difference of points says little.'
  )
  yield Text(
    'Over the targets that were tried, mean (interval) and on how many of them the part gains:'
  )
  yield _overview(found, labels)
  for (steps, k), gains in found.items():
    yield Text(f'K = {k}, after {steps} steps of adaptation:')
    yield _of_targets(gains, labels, codes)


def _counts(results: Sequence[Result]) -> str:
  """How many images are scored on every target."""
  images = {r.cell.target: len(r.images) for r in results}
  return ', '.join(f'{images[code]} of {code}' for code in targets_of(results))


def _gains(results: Sequence[Result]) -> dict[str, Gain]:
  """{variant: gain} of those that have results beside ours."""
  codes = targets_of(results)
  gains = {}
  for name in VARIANTS:
    found = {
      code: paired.difference([r for r in results if r.cell.target == code], OURS, name)
      for code in codes
    }
    means = {code: difference.mean for code, difference in found.items() if difference}
    if means:
      gains[name] = Gain(means, paired.difference(results, OURS, name))
  return gains


def _overview(found: dict[tuple[int, int], dict[str, Gain]], labels: dict[str, str]) -> Table:
  """A row for every variant, a column for every (steps, K); where a part gives most comes first.

  That is by the last K of the most steps; variants that are not there follow.
  """
  most = max(steps for steps, _ in found)
  last = found[max(key for key in found if key[0] == most)]
  names = [name for name in VARIANTS if any(name in gains for gains in found.values())]
  names.sort(key=lambda name: -last[name].every.mean if name in last else float('inf'))
  header = (f'K = {k}, {steps} steps' for steps, k in found)
  return Table(
    ('instead', *header),
    [(labels[name], *(_in_short(gains.get(name)) for gains in found.values())) for name in names],
  )


def _in_short(gain: Gain | None) -> str:
  return f'{gain.every.mean:+.3f} ({gain.interval}), {gain.gains_on}' if gain else ''


def _of_targets(gains: dict[str, Gain], labels: dict[str, str], codes: Sequence[str]) -> Table:
  """A row for every variant, a column for every target."""
  rows = []
  for name, gain in gains.items():
    of_codes = (
      f'{gain.of_targets[code]:+.3f}' if code in gain.of_targets else '' for code in codes
    )
    rows.append((labels[name], *of_codes, f'{gain.every.mean:+.3f}', gain.interval, gain.gains_on))
  return Table(('instead', *codes, 'mean', '95 % interval', 'gains on'), rows)
