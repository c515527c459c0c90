"""Contestants held against each other on what both have done."""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.study.cells import Result
from fscs.errors import InputError

NUM_RESAMPLES = 2000


class Difference(NamedTuple):
  """Of two contestants on the same images, positive where the first is better."""

  mean: float
  low: float  # of the 95 % interval, by Bayesian bootstrap over images and selections
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


def difference(
  results: Iterable[Result], first: str, second: str, *, seed: int = 0
) -> Difference | None:
  """Of IoU, the mean over cells of the mean over a cell's images; None: both have done no cell.

  The interval is of the Bayesian bootstrap (Rubin, Annals of Statistics 9, 1981). Every image has a
  random weight, the same wherever it is scored, so that an image that several selections or numbers
  of shots share is one image. So has every selection of a target, that is, what is annotated;
  targets weigh as they do in the mean. Seeds, and with them trainings, are as they are.

  Raises:
    InputError: the two were scored on different images.
  """
  both = pairs(results, first, second)
  if not both:
    return None
  gains = [np.subtract(one.iou, other.iou) for one, other in both]
  resampled = _resampled_means([one for one, _ in both], gains, seed)
  low, high = np.quantile(resampled, (0.025, 0.975))
  mean = float(np.mean([np.mean(of_images) for of_images in gains]))
  return Difference(mean, float(low), float(high), len(both))


def _resampled_means(
  results: Sequence[Result], values: Sequence[np.ndarray], seed: int
) -> np.ndarray:
  """(`NUM_RESAMPLES`,) means over cells of the mean over images of `values`, all with weights."""
  random = np.random.default_rng(seed)

  @functools.cache
  def weights(*_of_what) -> np.ndarray:
    return random.exponential(size=NUM_RESAMPLES)

  count: dict[str, int] = {}
  sums: dict[str, np.ndarray] = {}  # by target, of weighted means and of the weights
  for result, of_images in zip(results, values, strict=True):
    target, _, selection, _ = result.cell.place
    image_weights = np.stack([weights(target, 'image', name) for name in result.images])
    means = of_images @ image_weights / image_weights.sum(0)
    weight = weights(target, 'selection', selection)
    count[target] = count.get(target, 0) + 1
    sums[target] = sums.get(target, 0) + np.stack([weight * means, weight])
  of_targets = [count[target] * total / weight for target, (total, weight) in sums.items()]
  return np.sum(of_targets, axis=0) / len(results)


def pairs(results: Iterable[Result], first: str, second: str) -> list[tuple[Result, Result]]:
  """What both have done: the result of the one beside that of the other.

  Raises:
    InputError: the two were scored on different images.
    ValueError: one has several results of the same, as after other numbers of steps.
  """
  found: dict[str, dict[tuple, Result]] = {first: {}, second: {}}
  for result in results:
    if (of_it := found.get(result.cell.contestant)) is not None:
      if result.cell.place in of_it:
        raise ValueError(f'two results of {result.cell}')
      of_it[result.cell.place] = result
  both = sorted(found[first].keys() & found[second].keys())
  for key in both:
    _check_alike(found[first][key], found[second][key])
  return [(found[first][key], found[second][key]) for key in both]


def _check_alike(one: Result, other: Result) -> None:
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
    where.setdefault(result.cell.contestant, set()).add(result.cell.place)
  common = set.intersection(*where.values()) if where else set()
  return [result for result in results if result.cell.place in common]


def most_in_common(results: Sequence[Result], leading: str) -> list[Result]:
  """A large part of results in which all contestants were compared in all places.

  The places are those that one contestant has done, or that the two that have done most have, or
  the three: whichever gives most results.

  Args:
    results: of any contestants.
    leading: a contestant that has to be among them if it has results; alone if nobody else can be.
  """
  where: dict[str, set[tuple]] = {}
  for result in results:
    where.setdefault(result.cell.contestant, set()).add(result.cell.place)
  others = [
    places & where.get(leading, places) for name, places in where.items() if name != leading
  ]
  others.sort(key=len, reverse=True)
  candidates = [*others, *itertools.accumulate(others, set.intersection)]
  parts = (
    [r for r in results if r.cell.place in places and places <= where[r.cell.contestant]]
    for places in candidates
    if places
  )
  alone = [r for r in results if r.cell.contestant == leading]
  return max(parts, key=len, default=alone)


def losses_first(results: Iterable[Result], ours: str) -> list[Rival]:
  """The best other contestant of every target and number of shots, where ours is worst first.

  Two contestants are compared on the selections (and seeds) that both have done; the best other is
  the one that ours is least ahead of.
  """
  groups: dict[tuple[str, int], list[Result]] = {}
  for result in results:
    groups.setdefault((result.cell.target, result.cell.shots), []).append(result)
  rivals = []
  for (target, shots), of_group in groups.items():
    found = []
    for other in sorted({r.cell.contestant for r in of_group} - {ours}):
      if both := pairs(of_group, ours, other):
        means = (float(np.mean([np.mean(r.iou) for r in of])) for of in zip(*both, strict=True))
        found.append(Rival(target, shots, other, *means, len(both)))
    if found:
      rivals.append(min(found, key=lambda rival: rival.difference))
  return sorted(rivals, key=lambda rival: rival.difference)
