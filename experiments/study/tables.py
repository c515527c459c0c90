"""Means, deviations and paired differences of a study's results. Numbers only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.study.cells import Result
from fscs.errors import InputError

Score = Callable[[Result], Sequence[float]]  # of every test image

NUM_RESAMPLES = 2000


class Mean(NamedTuple):
  """Of one contestant on one target with one number of annotated images."""

  mean: float  # over selections (and seeds) of the mean over images
  deviation: float | None  # over selections (and seeds); 0 where there is one, None if pooled
  count: int  # of selections (and seeds)


class Difference(NamedTuple):
  """Of two contestants on the same images, positive where the first is better."""

  mean: float
  low: float  # of the 95 % interval, by Bayesian bootstrap over images
  high: float
  cells: int  # compared: pairs of target, shots, selection and seed


class Rival(NamedTuple):
  """The best other contestant on one target with one number of annotated images."""

  target: str
  shots: int
  other: str
  ours: float  # mean over what both have done
  its: float  # alike
  count: int  # of selections (and seeds) that both have done

  @property
  def difference(self) -> float:
    """Positive where ours is better."""
    return self.ours - self.its


def iou(result: Result) -> Sequence[float]:
  """Foreground IoU of every test image."""
  return result.iou


def average_precision(result: Result) -> Sequence[float]:
  """AP at 0.5 of every test image; none where objects are not told apart."""
  return result.average_precision or ()


def distant_iou(sections: int) -> Score:
  """IoU of the test images that are at least so many sections from every annotated one."""

  def score(result: Result) -> Sequence[float]:
    if result.sections is None:
      return ()
    pairs = zip(result.iou, result.sections, strict=True)
    return [value for value, distance in pairs if distance >= sections]

  return score


def at_end(results: Iterable[Result]) -> list[Result]:
  """Those of the most steps of each contestant: the others only follow its way there."""
  results = list(results)
  most: dict[str, int] = {}
  for result in results:
    cell = result.cell
    most[cell.contestant] = max(cell.steps, most.get(cell.contestant, 0))
  return [r for r in results if r.cell.steps == most[r.cell.contestant]]


def means(results: Iterable[Result], score: Score = iou) -> dict[tuple[str, str, int], Mean]:
  """{(contestant, target, shots): mean}; without those that have no score."""
  groups: dict[tuple[str, str, int], list[float]] = {}
  for result in results:
    values = score(result)
    if len(values):
      key = (result.cell.contestant, result.cell.target, result.cell.shots)
      groups.setdefault(key, []).append(float(np.mean(values)))
  return {key: _mean(values) for key, values in groups.items()}


def pooled(results: Iterable[Result], score: Score) -> dict[tuple[str, str, int], Mean]:
  """As `means`, but of all images of all selections alike, where some have few; no deviation."""
  groups: dict[tuple[str, str, int], list[Sequence[float]]] = {}
  for result in results:
    if len(values := score(result)):
      key = (result.cell.contestant, result.cell.target, result.cell.shots)
      groups.setdefault(key, []).append(values)
  return {
    key: Mean(float(np.mean(np.concatenate(values))), None, len(values))
    for key, values in groups.items()
  }


def _mean(values: Sequence[float]) -> Mean:
  deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
  return Mean(float(np.mean(values)), deviation, len(values))


def difference(
  results: Iterable[Result], first: str, second: str, score: Score = iou, *, seed: int = 0
) -> Difference | None:
  """Paired over images, the mean over cells of the mean over a cell's images; None: no cell.

  The interval is of the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981): every image gets
  a random weight, the same wherever it is scored, so that an image that several selections or
  numbers of shots share is one image. Targets, selections and seeds are as they are.

  Raises:
    InputError: the two were scored on different images.
  """
  pairs = _pairs(results, first, second, score)
  if not pairs:
    return None
  random = np.random.default_rng(seed)
  weights: dict[tuple[str, str], np.ndarray] = {}
  resampled = []
  for (target, *_), values in pairs.items():
    for name in values:
      if (target, name) not in weights:
        weights[target, name] = random.exponential(size=NUM_RESAMPLES)
    drawn = np.stack([weights[target, name] for name in values])
    resampled.append(list(values.values()) @ drawn / drawn.sum(0))
  low, high = np.quantile(np.mean(resampled, axis=0), (0.025, 0.975))
  mean = float(np.mean([np.mean(list(values.values())) for values in pairs.values()]))
  return Difference(mean, float(low), float(high), len(pairs))


def _pairs(
  results: Iterable[Result], first: str, second: str, score: Score
) -> dict[tuple, dict[str, float]]:
  """{(target, shots, selection, seed): {image: difference}} of what both have done."""
  found: dict[str, dict[tuple, Result]] = {first: {}, second: {}}
  for result in results:
    if result.cell.contestant in found:
      found[result.cell.contestant][_place(result)] = result
  both = {
    key: (found[first][key], found[second][key])
    for key in sorted(found[first])
    if key in found[second]
  }
  for one, other in both.values():
    check_alike(one, other)
  pairs = {key: np.subtract(score(one), score(other)) for key, (one, other) in both.items()}
  return {
    key: dict(zip(both[key][0].images, values, strict=True))
    for key, values in pairs.items()
    if len(values)
  }


def check_alike(one: Result, other: Result) -> None:
  """Raises InputError where two results are not of the same annotated and scored images."""
  if (one.support, one.images) != (other.support, other.images):
    raise InputError(
      f'{one.cell.file} and {other.cell.file} are of different images: they were made with other'
      ' copies of the data set, or another --selections-file; keep them in different --workdir'
    )


def in_common(results: Sequence[Result]) -> list[Result]:
  """The results on which all contestants that have any can be compared."""
  where: dict[str, set[tuple]] = {}
  for result in results:
    where.setdefault(result.cell.contestant, set()).add(_place(result))
  common = set.intersection(*where.values()) if where else set()
  return [result for result in results if _place(result) in common]


def _place(result: Result) -> tuple:
  cell = result.cell
  return cell.target, cell.shots, cell.selection, cell.seed


def losses_first(results: Iterable[Result], ours: str) -> list[Rival]:
  """The best other contestant of every target and number of shots, where ours is worst first.

  Two contestants are compared on the selections (and seeds) that both have done; the best other is
  the one that ours is least ahead of.
  """
  scores: dict[tuple[str, int], dict[str, dict[tuple, float]]] = {}
  for result in results:
    cell = result.cell
    of_place = scores.setdefault((cell.target, cell.shots), {}).setdefault(cell.contestant, {})
    of_place[_place(result)] = float(np.mean(iou(result)))
  rivals = []
  for (target, shots), of_contestant in scores.items():
    own = of_contestant.pop(ours, {})
    found = []
    for other, its in of_contestant.items():
      if both := sorted(own.keys() & its.keys()):
        means = (float(np.mean([of[place] for place in both])) for of in (own, its))
        found.append(Rival(target, shots, other, *means, len(both)))
    if found:
      rivals.append(min(found, key=lambda rival: rival.difference))
  return sorted(rivals, key=lambda rival: rival.difference)


def starts(results: Iterable[Result]) -> dict[tuple[str, str], int]:
  """{(contestant, target): number} of the parameters that adapted, where they are several.

  One training on two kinds of machine ends at two.
  """
  found: dict[tuple, set[str]] = {}
  for result in results:
    cell = result.cell
    if result.start:
      found.setdefault((cell.contestant, cell.target, cell.seed), set()).add(result.start)
  return {key[:2]: len(digests) for key, digests in found.items() if len(digests) > 1}


def of_selections(
  results: Iterable[Result], contestant: str, target: str, shots: int
) -> dict[tuple[int, int], float]:
  """{(selection, seed): mean IoU} of one contestant."""
  return {
    (r.cell.selection, r.cell.seed): float(np.mean(r.iou))
    for r in results
    if r.cell[:3] == (target, contestant, shots)
  }


def curve(results: Iterable[Result], contestant: str, target: str, shots: int) -> dict[int, float]:
  """{steps: mean IoU} over the selections (and seeds) that have the most numbers of steps."""
  ways: dict[tuple, dict[int, float]] = {}
  for result in results:
    cell = result.cell
    if (cell.contestant, cell.target, cell.shots) == (contestant, target, shots):
      ways.setdefault(_place(result), {})[cell.steps] = float(np.mean(result.iou))
  longest = max(ways.values(), key=len, default={})
  alike = [way for way in ways.values() if way.keys() == longest.keys()]
  return {steps: float(np.mean([way[steps] for way in alike])) for steps in sorted(longest)}


def first_to_reach(curve: Mapping[int, float], score: float) -> int | None:
  """The fewest steps of a curve at which its IoU is as high; None: at none."""
  return min((steps for steps, value in curve.items() if value >= score), default=None)
