"""Learn from a few annotated images of your own; `fscs.cli.predict` then segments the others.

  python -m fscs.cli.finetune --images=DIR --masks=DIR --workdir=DIR

Images may be TIFF, PNG, JPEG, BMP or NPY; masks the same, or ImageJ ROIs. They belong together by
name: cell1.tif and cell1_mask.png. Both may be in one folder. The workdir gets model/, report.html
(a page to look at: what to expect on images that it has not seen), trials.png, losses.csv and
config.json.
"""

import dataclasses
import sys
from pathlib import Path

from skimage.measure import label

from experiments.common import figures
from experiments.common.options import run
from experiments.common.results import write_table
from fscs.data.datasets import CODES
from fscs.environment import versions
from fscs.errors import InputError
from fscs.io.starting import load_start
from fscs.io.workdirs import CONFIG_FILE, opened_workdir, read_config
from fscs.optimizers import OptimizerName
from fscs.progress import progress_bar
from fscs.segmentation.annotated_files import ChannelName, find_pairs, read_all
from fscs.segmentation.finetuning import (
  LEARNING_RATES,
  Result,
  Settings,
  finetune_with_trials,
  num_steps,
)
from fscs.segmentation.prediction import Orientations
from fscs.segmentation.report_page import Case, write_page

MAX_TRIALS_DRAWN = 5


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of fine-tuning on own images."""

  images: str = ''
  """Folder of the annotated images; others may be in it too."""
  masks: str = ''
  """Folder of their masks; that of the images by default."""
  workdir: str = 'runs/own'
  """Where the model is kept."""
  init: str = 'pretrained'
  """pretrained, random, the workdir of a training run, or the authors' PyTorch file (.pt)."""
  channel: int | ChannelName = 'learned'
  """Which channel of the images counts, from 0; or luma: of colours, and else the first channel. By
  default the weighted sum of all that tells best what is annotated, if it tells clearly more."""
  scale: float | None = None
  """Factor by which images are resized; by default it is chosen from the objects' size."""
  steps: int = Settings().num_steps
  """Optimiser steps, for the model and for every part of the cross-validation."""
  optimizer: OptimizerName = Settings().optimizer
  """What turns gradients into steps."""
  learning_rate: float | None = None
  """Learning rate at the first step; it falls to 0. By default what suits the optimizer."""
  batch_size: int = Settings().batch_size
  """Crops per step."""
  crop_size: int = Settings().crop_size
  """Side of the crops in pixels, after resizing."""
  orientations: Orientations = Settings().orientations
  """Predictions are means over so many flips and turns of an image (1, 4 or 8): better, and so many
  times as long. `fscs.cli.predict` has the option too."""
  seed: int = 0
  """Seed of what is drawn at random."""
  report: bool = True
  """Write report.html, a page to look at."""


def finetune(config: Config) -> Path:
  """Fine-tune and write the model; returns the workdir."""
  _check(config)
  if config.learning_rate is None:  # said in config.json and in the report
    config = dataclasses.replace(config, learning_rate=LEARNING_RATES[config.optimizer])
  pairs = find_pairs(config.images, config.masks or config.images)
  start = load_start(config.init, config.seed)
  pages, channel = read_all(pairs, config.channel)
  names, images, masks = ([getattr(page, of) for page in pages] for of in ('name', 'grey', 'mask'))
  _note_known_images(config)
  workdir = Path(config.workdir)
  settings = Settings(
    num_steps=config.steps,
    batch_size=config.batch_size,
    learning_rate=config.learning_rate,
    crop_size=config.crop_size,
    seed=config.seed,
    optimizer=config.optimizer,
    orientations=config.orientations,
  )
  facts = {'command': 'finetune', 'images': names}
  with opened_workdir(workdir, config, facts, free=('report',), result='model'):
    with progress_bar('steps', num_steps(len(images), settings)) as advance:
      result = finetune_with_trials(
        start,
        images,
        masks,
        names=names,
        channel=channel,
        scale=config.scale,
        settings=settings,
        advance=advance,
      )
    _write(workdir, result)
    if config.report:
      _write_report(workdir, result, config)
  _tell(result, workdir)
  return workdir


def _check(config: Config) -> None:
  if not config.images:
    raise InputError('--images is missing: the folder of the annotated images')
  for name in ('steps', 'batch_size'):
    if getattr(config, name) < 1:
      raise InputError(f'--{name.replace("_", "-")} is {getattr(config, name)}: at least 1')
  if not 0 <= config.seed < 2**32:
    raise InputError(f'--seed is {config.seed}: 0 to {2**32 - 1}')
  for name in ('learning_rate', 'scale'):
    value = getattr(config, name)
    if value is not None and not 0 < value < 100:
      raise InputError(f'--{name.replace("_", "-")} is {value}: a number above 0, such as 0.5')
  if config.crop_size < 16 or config.crop_size % 16:
    raise InputError(f'--crop-size is {config.crop_size}: a multiple of 16 is needed')


def _note_known_images(config: Config) -> None:
  """Say so where the initialisation's training was given the same folder of images."""
  run_folder = Path(config.init)
  if (run_folder / CONFIG_FILE).exists():
    images = Path(config.images).resolve()
    for source in read_config(run_folder)['config'].get('sources', ()):
      if source not in CODES and Path(source).resolve() in (images, *images.parents):
        print(
          f'note: {config.init} has learned from {source}: its images are not new to it when they'
          ' are held out, and new ones may be segmented worse than the IoU says',
          file=sys.stderr,
        )


def _write(workdir: Path, result: Result) -> None:
  result.segmenter.save(workdir / 'model')
  rows = [(step, f'{loss:.6g}') for step, loss in enumerate(result.losses, 1)]
  write_table(workdir / 'losses.csv', rows, ('step', 'loss'))
  trials = sorted(result.trials, key=lambda trial: trial.iou)
  drawn = trials[:: -(-len(trials) // MAX_TRIALS_DRAWN)] if trials else []
  if drawn:
    figures.draw_overlays(
      workdir / 'trials.png',
      [f'{trial.name[:28]}\nIoU {trial.iou:.3f}' for trial in drawn],
      [trial.grey for trial in drawn],
      [trial.labels > 0 for trial in drawn],
      [trial.probability > result.segmenter.splitting.threshold for trial in drawn],
    )


def _write_report(workdir: Path, result: Result, config: Config) -> None:
  splitting = result.segmenter.splitting
  cases = [
    Case(
      trial.name,
      f'{trial.iou:.3f}',
      trial.grey,
      trial.labels,
      label(trial.probability > splitting.threshold, connectivity=1),
    )
    for trial in result.trials
  ]
  found = {name: getattr(result.segmenter, name) for name in ('scale', 'channel')}
  facts = {**dataclasses.asdict(config), **found, **versions()}
  write_page(
    workdir / 'report.html', 'Fine-tuned model', _expectation(result), result.losses, cases, facts
  )


def _expectation(result: Result) -> str:
  estimate = result.segmenter.estimate
  if estimate is None:
    return (
      'too little is annotated to hold some out: what to expect on new images is unknown, and how'
      ' touching objects are split is not learned. Annotate another image, or larger ones'
    )
  return f'expect an IoU of about {estimate:.2f} on new images of this kind'


def _tell(result: Result, workdir: Path) -> None:
  segmenter = result.segmenter
  print(
    f'objects are {segmenter.support.diameters[1]:.0f} pixels wide; scale {segmenter.scale:.3g}'
  )
  for trial in result.trials:
    print(f'held out: {trial.name}, IoU {trial.iou:.3f}')
  print(_expectation(result))
  print(f'model and pictures: {workdir}')


if __name__ == '__main__':
  run(finetune, Config, lambda _: Config(), 'nothing is kept: the same command begins anew')
