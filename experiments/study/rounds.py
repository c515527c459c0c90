"""Does the cells of a study: adapts, predicts, scores."""

import functools
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.common import thresholds
from experiments.common.baselines import BASELINES
from experiments.common.options import DataOptions
from experiments.study import cells, networks, targets
from experiments.study.cells import Cell, Result
from experiments.study.contestants import CONTESTANTS
from experiments.study.protocols import Protocol
from experiments.study.targets import Split, Target
from fscs import metrics
from fscs.data import preprocessing
from fscs.data.support_sets import Selections
from fscs.environment import machine
from fscs.errors import InputError
from fscs.io.initialisations import Initialisation
from fscs.metrics import objects as instances
from fscs.segmentation.instances import find_objects, usual_splitting
from fscs.typing import Params

LAST_LOSSES = 10

PredictAll = Callable[[np.ndarray], np.ndarray]  # (N, H, W) uint8 to probabilities alike


def do_cell(
  cell: Cell, options: DataOptions, protocol: Protocol, selections: Selections, workdir: Path
) -> tuple[Result, np.ndarray]:
  """The result of a cell, and (N, H, W) boolean foreground of the images scored.

  Raises:
    InputError: results that are to be compared with it are of other images.
  """
  target = targets.load(cell.target, options)
  split = targets.split(target, selections, protocol, selection=cell.selection, shots=cell.shots)
  names = target.grey_set.names
  support, images = (tuple(names[i] for i in indices) for indices in split)
  _check_images(cell, support, images, workdir)
  if CONTESTANTS[cell.contestant].colours:
    target = targets.with_learned_grey(target, split.support)
  start = _start(cell, options, protocol, workdir)
  begin = time.perf_counter()
  predict, losses = _adapt(cell, start and start.params, target, split, options, protocol)
  adapted = time.perf_counter()
  probabilities = predict(target.grey_set.images[split.test])
  predicted = time.perf_counter()
  truth = target.grey_set.masks[split.test] > 0
  result = Result(
    cell,
    support=support,
    images=images,
    iou=_rounded(metrics.iou(probabilities > 0.5, truth)),
    sections=targets.sections(target, split),
    average_precision=_average_precision(target, split, probabilities),
    seconds=round(adapted - begin, 2),
    seconds_per_image=round((predicted - adapted) / len(split.test), 4),
    peak_mb=_peak_mb(),
    losses=_rounded([losses[0], np.mean(losses[-LAST_LOSSES:])] if len(losses) else []),
    machine=machine(),
    start=start.digest if start else '',
  )
  return result, probabilities > 0.5


def _check_images(cell: Cell, support: tuple, images: tuple, workdir: Path) -> None:
  known = cells.of_same_images(workdir, cell)
  if known and (known.support, known.images) != (support, images):
    raise InputError(
      f'{workdir / known.cell.file} is of other images of {cell.target} than are there now: give'
      ' the --raw-dir and --selections-file that it was made with, or another --workdir'
    )


def _start(cell: Cell, options, protocol, workdir: Path) -> Initialisation | None:
  """Parameters to adapt, after a training on sources if the contestant has one."""
  if CONTESTANTS[cell.contestant].baseline:
    return None
  return networks.start(cell.contestant, cell.target, cell.seed, options, protocol, workdir)


def _adapt(
  cell: Cell, params: Params | None, target: Target, split: Split, options, protocol
) -> tuple[PredictAll, np.ndarray]:
  support = preprocessing.split(target.grey_set, split.support)
  if params is None:
    predict = BASELINES[CONTESTANTS[cell.contestant].baseline](support.images, support.masks)
    return lambda images: np.stack([predict(image) for image in images]), np.zeros(0)
  name, seed = cell.contestant, cell.seed
  adapt = networks.make_adapt(name, cell.target, options, protocol, cell.steps, seed)
  adapted = adapt(params, support)
  predict = functools.partial(networks.make_probability(name, seed), adapted)
  if CONTESTANTS[name].tuning.threshold == 'annotated':
    found = predict(support.images)
    predict = thresholds.moved(predict, thresholds.best(found, support.masks, thresholds.WIDE))
  return predict, adapted.losses


def _average_precision(
  target: Target, split: Split, probabilities: np.ndarray
) -> tuple[float, ...] | None:
  """At IoU 0.5, of every image; objects are found alike for all contestants."""
  if target.labels is None:
    return None
  splitting = usual_splitting(target.labels[split.support])
  return _rounded(
    instances.average_precision(find_objects(p, splitting), t, (0.5,))[0]
    for p, t in zip(probabilities, target.labels[split.test], strict=True)
  )


def _rounded(values) -> tuple[float, ...]:
  return tuple(round(float(value), 5) for value in values)


def _peak_mb() -> float:
  """Of this process so far; kilobytes on Linux, bytes on macOS."""
  unit = 1e6 if sys.platform == 'darwin' else 1e3
  return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 0)
