"""Numbers of a study: means, deviations, paired differences and curves.

Results are rows of a `pandas.DataFrame`, see `to_frame`.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.study.store import Result, Run
from fscs.errors import InputError

NUM_RESAMPLES = 2000

PLACE = ['target', 'shots', 'selection', 'seed']  # where methods are compared
GROUP = ['method', 'target', 'shots']  # what means are of


def to_frame(results: Iterable[Result]) -> pd.DataFrame:
  """A row per result: the fields of its run, its other fields, and the means over images.

  `mean_iou` and `mean_ap` are means over the images of `iou` and `average_precision`; the latter is
  NaN if the data set does not tell objects apart.
  """
  rows = [{**result.run._asdict(), **result._asdict()} for result in results]
  frame = pd.DataFrame(rows, columns=[*Run._fields, *Result._fields])
  frame['mean_iou'] = [float(np.mean(values)) for values in frame['iou']]
  frame['mean_ap'] = [
    float(np.mean(values)) if values else np.nan for values in frame['average_precision']
  ]
  return frame


def means(frame: pd.DataFrame, score: str = 'mean_iou') -> pd.DataFrame:
  """Mean, standard deviation and count over support sets (and seeds).

  Returns:
    Columns mean, std (NaN of a single value) and count; indexed by method, target and shots.
  """
  scored = frame.dropna(subset=[score])
  return scored.groupby(GROUP, sort=False)[score].agg(['mean', 'std', 'count'])


def in_common(frame: pd.DataFrame) -> pd.DataFrame:
  """The results on the support sets that every method of the frame has done, target by target."""
  done = frame.groupby(PLACE)['method'].transform('nunique')
  methods = frame.groupby('target')['method'].transform('nunique')
  return frame[done == methods]


def far_from_support(frame: pd.DataFrame, sections: int) -> pd.DataFrame:
  """Mean IoU of the images of a stack that are at least so many sections from the support set.

  Images of all support sets count alike, since some have few.

  Returns:
    Columns mean and count (of images); indexed by method, target and shots.
  """
  images = frame.dropna(subset=['sections']).explode(['iou', 'sections'])
  images = images[images['sections'] >= sections].astype({'iou': float})
  return images.groupby(GROUP, sort=False)['iou'].agg(['mean', 'count'])


class Difference(NamedTuple):
  """Of two methods on the same images, positive where the first is better."""

  mean: float
  low: float  # of the 95 % interval, by Bayesian bootstrap over images and support sets
  high: float
  count: int  # of runs that both have done

  @property
  def interval(self) -> str:
    return f'{self.low:+.3f} to {self.high:+.3f}'


def pairs(frame: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
  """The runs that two methods have done on the same support sets; columns end in _1 and _2.

  Raises:
    InputError: they were scored on different images.
    ValueError: a method has several results on one support set, as after other numbers of steps.
  """
  one, other = (frame[frame['method'] == name] for name in (first, second))
  both = one.merge(other, on=PLACE, suffixes=('_1', '_2'), validate='one_to_one')
  for _, pair in both.sort_values(PLACE).iterrows():
    if (pair['support_1'], pair['images_1']) != (pair['support_2'], pair['images_2']):
      raise InputError(
        f'results of "{pair["run_1"]}" and of "{pair["run_2"]}" are of different images: they were'
        ' made with other images or another selections file; run the study again with the same'
      )
  return both.sort_values(PLACE, ignore_index=True)


def difference(frame: pd.DataFrame, first: str, second: str, *, seed: int = 0) -> Difference | None:
  """Difference in IoU: the mean over runs of the mean over the images of a run.

  The interval is that of the Bayesian bootstrap. Every image has a random weight, the same wherever
  it is scored, so that an image that several support sets or numbers of shots share counts as one.
  So has every support set of a target; targets weigh as they do in the mean. Seeds, and with them
  trainings, are taken as they are.

  Returns:
    None if there is no run that both have done.

  Raises:
    InputError: as `pairs`.

  References:
    Rubin, "The Bayesian bootstrap", Annals of Statistics 9, 1981.
  """
  both = pairs(frame, first, second)
  if both.empty:
    return None
  gains = [np.subtract(*pair) for pair in zip(both['iou_1'], both['iou_2'], strict=True)]
  resampled = _resample_means(both, gains, seed)
  low, high = np.quantile(resampled, (0.025, 0.975))
  mean = float(np.mean([np.mean(of_images) for of_images in gains]))
  return Difference(mean, float(low), float(high), len(both))


def _resample_means(both: pd.DataFrame, gains: list[np.ndarray], seed: int) -> np.ndarray:
  """(`NUM_RESAMPLES`,) means over runs of means over images, all with random weights."""
  random = np.random.default_rng(seed)

  @functools.cache
  def weights(*_of_what) -> np.ndarray:
    return random.exponential(size=NUM_RESAMPLES)

  count: dict[str, int] = {}
  sums: dict[str, np.ndarray] = {}  # by target, of weighted means and of the weights
  rows = zip(both['target'], both['selection'], both['images_1'], gains, strict=True)
  for target, selection, images, of_images in rows:
    image_weights = np.stack([weights(target, 'image', name) for name in images])
    run_means = of_images @ image_weights / image_weights.sum(0)
    weight = weights(target, 'selection', selection)
    count[target] = count.get(target, 0) + 1
    sums[target] = sums.get(target, 0) + np.stack([weight * run_means, weight])
  of_targets = [count[target] * total / weight for target, (total, weight) in sums.items()]
  return np.sum(of_targets, axis=0) / len(gains)


def losses_first(frame: pd.DataFrame, method: str) -> pd.DataFrame:
  """The best other method of every target and number of shots, where `method` is worst first.

  Two methods are compared on the support sets (and seeds) that both have done.

  Returns:
    Columns target, shots, count, mean (of `method`), other, other_mean and difference.
  """
  rows = []
  for (target, shots), group in frame.groupby(['target', 'shots'], sort=False):
    found = []
    for other in sorted(set(group['method']) - {method}):
      both = pairs(group, method, other)
      if len(both):
        mean, other_mean = both['mean_iou_1'].mean(), both['mean_iou_2'].mean()
        found.append((target, shots, len(both), mean, other, other_mean, mean - other_mean))
    if found:
      rows.append(min(found, key=_last))
  columns = ['target', 'shots', 'count', 'mean', 'other', 'other_mean', 'difference']
  return pd.DataFrame(rows, columns=columns).sort_values('difference', ignore_index=True)


def _last(row: tuple) -> float:
  return row[-1]


def most_in_common(frame: pd.DataFrame, leading: str) -> pd.DataFrame:
  """A large part of the results in which every method was run on the same support sets.

  These are the support sets that one other method has done, or that the two that have done most
  have, or the three, and so on: whichever gives most results.

  Args:
    frame: one result of a method per support set.
    leading: a method that must be among them if it has results.
  """
  places = frame['run'].map(_place_of)
  by_method = {name: set(group) for name, group in places.groupby(frame['method'])}
  done = by_method.pop(leading, None)
  others = [found if done is None else found & done for found in by_method.values()]
  others.sort(key=len, reverse=True)
  best = frame[frame['method'] == leading]
  if done is not None:
    by_method[leading] = done
  for wanted in (*others, *itertools.accumulate(others, set.intersection)):
    complete = {name for name, found in by_method.items() if wanted <= found}
    part = frame[places.isin(wanted) & frame['method'].isin(complete)]
    if len(part) > len(best) or (len(part) == len(best) and part['method'].nunique() > 1):
      best = part
  return best


def _place_of(run: Run) -> tuple[str, int, int, int]:
  return run.place


def curve(frame: pd.DataFrame, method: str, target: str, shots: int) -> dict[int, float]:
  """{steps: mean IoU} over the support sets that have the most numbers of steps."""
  wanted = (frame['method'] == method) & (frame['target'] == target) & (frame['shots'] == shots)
  table = frame[wanted].pivot(index=['selection', 'seed'], columns='steps', values='mean_iou')
  if table.empty:
    return {}
  counts = table.notna().sum(axis=1)
  followed = table[counts == counts.max()].dropna(axis=1)
  return {int(steps): float(value) for steps, value in followed.mean().items()}


def first_to_reach(curve: Mapping[int, float], score: float) -> int | None:
  """The fewest steps of a curve with at least this IoU; None if there are none."""
  return min((steps for steps, value in curve.items() if value >= score), default=None)
