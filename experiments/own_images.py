"""How well fscs segments a user's images, tried on published ones: docs/results/own-images.md.

  python -m experiments.own_images --raw-dir=DIR
  python -m experiments.own_images --data-sets ssTEM --shots 1 3 5 10

A few images of a data set, drawn at random, are annotated; all others are segmented and scored, at
full resolution: by `fscs.finetune` with its defaults, from the pretrained initialisation and from a
random one, by Otsu's threshold, and by a random forest. The workdir gets results.csv and table.md.
Run again, the command does what is missing; the table has everything.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from skimage.measure import label

from experiments.common import data
from experiments.common.options import DataOptions, run
from experiments.common.results import read_rows
from fscs import metrics
from fscs.data.channels import choose_channel
from fscs.data.datasets import Code
from fscs.data.image_sets import ImageSet
from fscs.data.intensity import stretch, to_grey
from fscs.data.scaling import typical_diameter
from fscs.errors import InputError
from fscs.io.atomic import write_csv, write_text
from fscs.io.initialisations import load_initialisation
from fscs.metrics.objects import average_precision
from fscs.progress import progress_bar
from fscs.segmentation.baselines import BASELINES, predict_out_of_fold
from fscs.segmentation.config import FineTuningConfig
from fscs.segmentation.finetuning import finetune_and_validate
from fscs.segmentation.instances import Watershed, find_objects, learn_watershed

LABELS = {
  'fscs': 'fscs',
  'fscs-random': 'fscs, random initialisation',
  'otsu': "Otsu's threshold",
  'forest': 'random forest',
}
INITIALISATIONS = {'fscs': 'pretrained', 'fscs-random': 'random'}  # workdirs name themselves
SOURCES = ('B5', 'B39', 'EM', 'TNBC')  # of the pretrained initialisation

_DEFAULT = FineTuningConfig()


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the trial."""

  data_sets: tuple[Code, ...] = ('ssTEM', 'TNBC', 'B39')
  """Data sets that stand in for a user's images."""
  shots: tuple[int, ...] = (5,)
  """Numbers of annotated images."""
  methods: tuple[str, ...] = tuple(LABELS)
  """fscs, fscs-random, otsu, forest, or workdirs of training runs."""
  seeds: tuple[int, ...] = (0,)
  """Seeds of the draw of annotated images."""
  steps: tuple[int, ...] = (_DEFAULT.steps,)
  """Numbers of steps of fine-tuning."""
  rates: tuple[float, ...] = (_DEFAULT.learning_rate,)
  """Learning rates of fine-tuning."""
  max_test_images: int | None = None
  """Segment at most so many of the others."""
  raw_dir: str | None = None
  """Folder of downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Folder for prepared data; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  workdir: str = 'runs/own-images'
  """Where results are kept."""

  def __post_init__(self) -> None:
    least = {'shots': 1, 'seeds': 0, 'steps': 1}
    for name in ('data_sets', 'shots', 'methods', 'seeds', 'steps', 'rates'):
      values = getattr(self, name)
      if not values:
        raise InputError(f'{name}: expected at least one value', arguments=(name,))
      if name in least and min(values) < least[name]:
        raise InputError(
          f'{name} has {min(values)}: expected at least {least[name]}', arguments=(name,)
        )
    for rate in self.rates:
      if not 0 < rate < 100:
        raise InputError(
          f'rates has {rate}: expected numbers above 0, such as 0.01', arguments=('rates',)
        )
    for method in self.methods:
      if method not in LABELS and not Path(method).exists():
        raise InputError(
          f'methods has {method}: expected one of {" ".join(LABELS)}, or the workdir of a training'
          ' run',
          arguments=('methods',),
        )
    if self.max_test_images is not None and self.max_test_images < 1:
      raise InputError(
        f'max_test_images is {self.max_test_images}: expected at least 1',
        arguments=('max_test_images',),
      )


class Key(NamedTuple):
  """What makes a trial a different one."""

  data_set: str
  method: str
  shots: int
  seed: int
  steps: int  # 0 for methods that take none
  rate: float  # learning rate; 0 for methods without
  most: int  # images to segment; 0 for all


class Row(NamedTuple):
  """One trial: its key and what came of it."""

  data_set: str
  method: str
  shots: int
  seed: int
  steps: int
  rate: float
  most: int
  iou: float  # of the foreground, mean over images
  average_precision: float  # of objects at IoU 0.5, mean over images
  expected: float  # IoU by cross-validation on the annotated images; NaN if unknown
  seconds_to_learn: float
  seconds_per_image: float
  num_test_images: int

  @property
  def key(self) -> Key:
    """What makes the trial a different one."""
    return Key(*self[: len(Key._fields)])


class Learned(NamedTuple):
  """A method that has seen the annotated images."""

  predict: Callable[[np.ndarray], np.ndarray]  # image to (H, W) probability
  watershed: Watershed
  expected_iou: float | None = None


def own_images(config: Config) -> Path:
  """Do the trials that are missing; returns the workdir."""
  workdir = Path(config.workdir)
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / 'results.csv'
  rows = read_rows(path, Row)
  done = {row.key for row in rows}
  wanted = list(dict.fromkeys(_keys(config)))  # an option may name a thing twice
  missing = [key for key in wanted if key not in done]
  options = DataOptions(raw_dir=config.raw_dir, data_dir=config.data_dir)
  sets = {code: data.load_set(code, options) for code in {key.data_set for key in missing}}
  with progress_bar('trials', len(wanted), len(wanted) - len(missing)) as advance:
    for key in missing:
      rows.append(_try(key, sets[key.data_set]))
      write_csv(path, rows, Row._fields)
      advance(1, IoU=rows[-1].iou)
  text = table(rows)
  write_text(workdir / 'table.md', text)
  print(text)
  return workdir


def _keys(config: Config) -> Iterator[Key]:
  adaptations = list(itertools.product(config.steps, config.rates))
  lists = (config.data_sets, config.shots, config.seeds, config.methods, adaptations)
  for code, shots, seed, method, adaptation in itertools.product(*lists):
    steps, rate = (0, 0.0) if method in BASELINES else adaptation
    rate = float(f'{rate:.6g}')  # as results.csv keeps it
    yield Key(code, method, shots, seed, steps, rate, config.max_test_images or 0)


def _try(key: Key, image_set: ImageSet) -> Row:
  images = image_set.images
  truth = _truth(image_set)
  support, test = draw_images(image_set, key)
  begin = time.perf_counter()
  learned = _learn(key, [images[i] for i in support], [truth[i] for i in support])
  learning_end = time.perf_counter()
  probabilities = [learned.predict(images[i]) for i in test]
  objects = [find_objects(probability, learned.watershed) for probability in probabilities]
  end = time.perf_counter()
  ious, precisions = [], []
  for probability, found, i in zip(probabilities, objects, test, strict=True):
    ious.append(metrics.iou(probability > learned.watershed.threshold, truth[i] > 0))
    precisions.append(average_precision(found, truth[i], (0.5,))[0])
  return Row(
    *key,
    iou=float(np.mean(ious)),
    average_precision=float(np.mean(precisions)),
    expected=float('nan') if learned.expected_iou is None else learned.expected_iou,
    seconds_to_learn=learning_end - begin,
    seconds_per_image=(end - learning_end) / len(test),
    num_test_images=len(test),
  )


def draw_images(image_set: ImageSet, key: Key) -> tuple[np.ndarray, np.ndarray]:
  """Indices of the annotated images, which have objects, and of those to segment."""
  order = np.random.default_rng(key.seed).permutation(len(image_set.images))
  filled = np.array([i for i in order if image_set.masks[i].any()], int)
  if key.shots > min(len(filled), len(order) - 1):
    raise InputError(
      f'shots {key.shots}: {key.data_set} has {len(order)} images, {len(filled)} of them with'
      ' objects: give fewer, so that one is left to segment',
      arguments=('shots',),
    )
  support = filled[: key.shots]
  return support, order[~np.isin(order, support)][: key.most or None]


def _truth(image_set: ImageSet) -> list[np.ndarray]:
  """Objects if the data set has them, else the connected components of the foreground."""
  if image_set.labels is not None:
    return list(image_set.labels)
  return [label(mask, connectivity=1) for mask in image_set.masks]


def _learn(key: Key, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Learned:
  if key.method in BASELINES:
    return _learn_baseline(key.method, images, masks)
  init = load_initialisation(INITIALISATIONS.get(key.method, key.method), key.seed)
  config = FineTuningConfig(steps=key.steps, learning_rate=key.rate, seed=key.seed)
  segmenter = finetune_and_validate(images, masks, init, config).segmenter
  return Learned(segmenter.predict_proba, segmenter.watershed, segmenter.expected_iou)


def _learn_baseline(
  name: str, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> Learned:
  """With the grey values and the cross-validated watershed of `fscs.finetune`."""
  channel = choose_channel(images, masks)

  def grey(image: np.ndarray) -> np.ndarray:
    return stretch(to_grey(image, channel))

  greys = [grey(image) for image in images]
  found, truth = predict_out_of_fold(BASELINES[name], greys, masks)
  watershed = learn_watershed(found, truth, typical_diameter(masks))
  predict_grey = BASELINES[name](greys, [mask > 0 for mask in masks])

  def predict(image: np.ndarray) -> np.ndarray:
    return predict_grey(grey(image))

  return Learned(predict, watershed)


def table(rows: Sequence[Row]) -> str:
  """Markdown: means over seeds."""
  frame = pd.DataFrame(rows, columns=list(Row._fields))
  keys = [name for name in Key._fields if name != 'seed']
  means = frame.drop(columns='seed').groupby(keys, sort=False).mean().reset_index()
  means = means.sort_values(['data_set', 'shots'], kind='stable')
  shown = pd.DataFrame(
    {
      'data set': means['data_set'].map(_name_of_data_set),
      'K': means['shots'].map(str),
      'method': [_name_of_method(row) for row in means.itertuples()],
      'IoU': means['iou'].map('{:.3f}'.format),
      'expected': means['expected'].map('{:.3f}'.format).where(means['expected'].notna(), ''),
      'AP at 0.5': means['average_precision'].map('{:.3f}'.format),
      'fine-tuning, s': means['seconds_to_learn'].map('{:.0f}'.format),
      'per image, s': means['seconds_per_image'].map('{:.2f}'.format),
      'images': means['num_test_images'].map('{:.0f}'.format),
    }
  )
  return shown.to_markdown(index=False, disable_numparse=True) + '\n'


def _name_of_data_set(code: str) -> str:
  return f'{code} (a source)' if code in SOURCES else code


def _name_of_method(row) -> str:
  name = LABELS.get(row.method, row.method)
  if row.steps not in (0, _DEFAULT.steps):
    name += f', {row.steps} steps'
  if row.rate not in (0, _DEFAULT.learning_rate):
    name += f', rate {row.rate:g}'
  return name


if __name__ == '__main__':
  run(own_images, Config)
