"""Means, deviations and paired differences of a study's results. Numbers only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from experiments.study.cells import Result
from experiments.study.contestants import CONTESTANTS

Score = Callable[[Result], Sequence[float]]  # of every test image


class Mean(NamedTuple):
  """Of one contestant on one target with one number of annotated images."""

  mean: float  # over selections (and seeds) of the mean over images
  deviation: float | None  # over selections (and seeds); 0 where there is one, None if pooled
  count: int  # of selections (and seeds); of images if pooled


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


def at_end(results: Iterable[Result], steps: int) -> list[Result]:
  """Those of all steps of adaptation, if any are taken: others only follow the way there."""
  return [
    r for r in results if r.cell.steps == (steps if CONTESTANTS[r.cell.contestant].tuning else 0)
  ]


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
    key: Mean(float(np.mean(pool)), None, len(pool))
    for key, values in groups.items()
    for pool in [np.concatenate(values)]
  }


def _mean(values: Sequence[float]) -> Mean:
  deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
  return Mean(float(np.mean(values)), deviation, len(values))


def starts(results: Iterable[Result]) -> dict[tuple[str, str], int]:
  """{(contestant, target): number} of the trained parameters that adapted, where they are several.

  One training on two kinds of machine ends at two. Where it was not written down which parameters
  they were, the machine that adapted them tells.
  """
  found: dict[tuple, set[str]] = {}
  for result in results:
    cell = result.cell
    if CONTESTANTS[cell.contestant].training:
      of_it = found.setdefault((cell.contestant, cell.target, cell.seed), set())
      of_it.add(result.start or result.machine)
  return {key[:2]: len(digests) for key, digests in found.items() if len(digests) > 1}


def of_other_shots(results: Iterable[Result]) -> list[tuple[str, int, int, int]]:
  """(target, shots, selection, number) where other than so many images were annotated."""
  return sorted(
    {(*r.cell.place[:3], len(r.support)) for r in results if len(r.support) != r.cell.shots}
  )


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
      ways.setdefault(result.cell.place, {})[cell.steps] = float(np.mean(result.iou))
  longest = max(ways.values(), key=len, default={})
  alike = [way for way in ways.values() if way.keys() == longest.keys()]
  return {steps: float(np.mean([way[steps] for way in alike])) for steps in sorted(longest)}


def first_to_reach(curve: Mapping[int, float], score: float) -> int | None:
  """The fewest steps of a curve at which its IoU is as high; None: at none."""
  return min((steps for steps, value in curve.items() if value >= score), default=None)
