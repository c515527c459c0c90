"""How well own images are segmented, tried on published ones: `docs/own-images.md` is made by it.

  python -m experiments.own_images_trial --raw-dir=DIR
  python -m experiments.own_images_trial --data-sets ssTEM --shots 1 3 5 10

A few images of a data set, drawn at random, are annotated, all others are segmented and scored: by
fine-tuning as `fscs.cli.finetune` does with its default options, from the shipped initialisation
and from a random one, by Otsu's threshold, and by a random forest. Run again, it does what is
missing; the table has all that was done.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.measure import label

from experiments.common import data, results
from experiments.common.baselines import BASELINES, held_out
from experiments.common.options import Code, DataOptions, run
from experiments.own_images_table import LABELS, RATE, Key, Row, table
from fscs import metrics
from fscs.data.channels import choose
from fscs.data.image_sets import ImageSet
from fscs.data.intensity import stretch, to_grey
from fscs.data.scaling import typical_diameter
from fscs.errors import InputError
from fscs.io import starting
from fscs.metrics import objects as instances
from fscs.progress import progress_bar
from fscs.segmentation.finetuning import Settings, finetune_with_trials
from fscs.segmentation.instances import find_objects, learn_splitting


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the trial."""

  data_sets: tuple[Code, ...] = ('ssTEM', 'TNBC', 'B39')
  """Whose images are taken for own images."""
  shots: tuple[int, ...] = (5,)
  """Numbers of annotated images."""
  methods: tuple[str, ...] = tuple(LABELS)
  """pretrained, random, otsu, forest, or workdirs of training runs."""
  seeds: tuple[int, ...] = (0,)
  """Which images are drawn; one trial each."""
  steps: tuple[int, ...] = (Settings().num_steps,)
  """Numbers of steps of fine-tuning."""
  rates: tuple[float, ...] = (RATE,)
  """Learning rates of fine-tuning."""
  max_test_images: int | None = None
  """Segment at most so many of the others."""
  raw_dir: str | None = None
  """Folder of already downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Where prepared data is kept; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  workdir: str = 'runs/own-images'
  """Where results are kept."""


class Learned(NamedTuple):
  """A method that has seen the annotated images."""

  segment: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # to foreground and objects
  expected: float


def trial(config: Config) -> Path:
  """Do the trials that are missing; returns the workdir."""
  _check(config)
  workdir = Path(config.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / 'results.csv'
  rows = results.read_rows(path, Row)
  wanted = list(dict.fromkeys(_keys(config)))  # an option may name a thing twice
  missing = [key for key in wanted if key not in {row.key for row in rows}]
  options = DataOptions(raw_dir=config.raw_dir, data_dir=config.data_dir)
  sets = {code: data.load_set(code, options) for code in {key.data_set for key in missing}}
  with progress_bar('trials', len(wanted), len(wanted) - len(missing)) as advance:
    for key in missing:
      rows.append(_try(key, sets[key.data_set]))
      results.write_table(path, rows, Row._fields)
      advance(1, IoU=rows[-1].iou)
  text = table(rows)
  results.write_text(workdir / 'table.md', text)
  print(text)
  return workdir


def _check(config: Config) -> None:
  """Raises InputError where an option means nothing."""
  least = {'shots': 1, 'seeds': 0, 'steps': 1}
  for name in ('data_sets', 'shots', 'methods', 'seeds', 'steps', 'rates'):
    option, values = f'--{name.replace("_", "-")}', getattr(config, name)
    if not values:
      raise InputError(f'{option} needs at least one value')
    if name in least and min(values) < least[name]:
      raise InputError(f'{option} has {min(values)}: at least {least[name]} is expected')
  for rate in config.rates:
    if not 0 < rate < 100:
      raise InputError(f'--rates has {rate}: numbers above 0 are expected, such as 0.01')
  for method in config.methods:
    if method not in LABELS and not Path(method).exists():
      raise InputError(
        f'--methods has {method}: one of {" ".join(LABELS)} is expected, or the workdir of a'
        ' training run'
      )
  if config.max_test_images is not None and config.max_test_images < 1:
    raise InputError(f'--max-test-images is {config.max_test_images}: at least 1 is expected')


def _keys(config: Config) -> Iterator[Key]:
  adaptations = list(itertools.product(config.steps, config.rates))
  lists = (config.data_sets, config.shots, config.seeds, config.methods, adaptations)
  for code, shots, seed, method, adaptation in itertools.product(*lists):
    steps, rate = (0, 0.0) if method in BASELINES else adaptation
    rate = float(f'{rate:.6g}')  # as the table keeps it
    yield Key(code, method, shots, seed, steps, rate, config.max_test_images or 0)


def _try(key: Key, images: ImageSet) -> Row:
  shots = key.shots
  order = np.random.default_rng(key.seed).permutation(len(images.images))
  filled = [i for i in order if images.masks[i].any()]  # nobody annotates an empty image
  if shots > min(len(filled), len(order) - 1):
    raise InputError(
      f'--shots {shots}: {key.data_set} has {len(order)} images, {len(filled)} of them with'
      ' objects: give fewer, so that one is left to segment'
    )
  support = filled[:shots]
  test = order[~np.isin(order, support)][: key.most or None]
  truth = [_truth(images, i) for i in range(len(images.images))]
  begin = time.perf_counter()
  learned = _learn(key, [images.images[i] for i in support], [truth[i] for i in support])
  middle = time.perf_counter()
  found = [learned.segment(images.images[i]) for i in test]
  end = time.perf_counter()
  pairs = [(mask, labels, truth[i]) for (mask, labels), i in zip(found, test, strict=True)]
  return Row(
    *key,
    iou=float(np.mean([metrics.iou(mask, true > 0) for mask, _, true in pairs])),
    average_precision=float(
      np.mean([instances.average_precision(labels, true, (0.5,))[0] for _, labels, true in pairs])
    ),
    expected=learned.expected,
    seconds_to_learn=middle - begin,
    seconds_per_image=(end - middle) / len(test),
    num_test_images=len(test),
  )


def _truth(images: ImageSet, index: int) -> np.ndarray:
  """Objects where the data set has them, else the connected regions of the foreground."""
  if images.labels is None:
    return label(images.masks[index], connectivity=1)
  return images.labels[index]


def _learn(key: Key, images: list[np.ndarray], masks: list[np.ndarray]) -> Learned:
  if key.method in BASELINES:
    return _learn_baseline(key.method, images, masks)
  start = starting.load_start(key.method, key.seed)
  settings = Settings(num_steps=key.steps, learning_rate=key.rate, seed=key.seed)
  segmenter = finetune_with_trials(start, images, masks, settings=settings).segmenter

  def segment(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probability = segmenter.predict(image)
    labels = find_objects(probability, segmenter.splitting)
    return probability > segmenter.splitting.threshold, labels

  return Learned(segment, float('nan') if segmenter.estimate is None else segmenter.estimate)


def _learn_baseline(method: str, images: list[np.ndarray], masks: list[np.ndarray]) -> Learned:
  channel = choose(images, masks)  # as fine-tuning does
  grey = lambda image: stretch(to_grey(image, channel))  # noqa: E731
  greys = [grey(image) for image in images]
  found, truth = held_out(BASELINES[method], greys, masks)
  splitting = learn_splitting(found, truth, typical_diameter(masks))  # so does this
  predict = BASELINES[method](greys, [mask > 0 for mask in masks])

  def segment(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probability = predict(grey(image))
    return probability > splitting.threshold, find_objects(probability, splitting)

  return Learned(segment, float('nan'))


if __name__ == '__main__':
  run(trial, Config, lambda _: Config())
