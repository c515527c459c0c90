"""Fine-tune initialisations on few images of the target and score them on its other images.

  python -m experiments.finetune_eval
  python -m experiments.finetune_eval --init runs/TNBC-fcrn-bce-s0 random --shots 1 5 \\
      --selections 1 2 3 --selections-file=paper

Without options it takes the newest meta-trained run, that run's target and data, all shots and ten
random support sets. The workdir (runs/TARGET-ARCH-eval by default) gets results.csv (a row per
fine-tuning), summary.csv, summary.md, iou.png, overlays-*.png and selections.json. Run again, it
adds what is missing; with other --init, --shots or --selections it adds rows to compare.
"""

import dataclasses
import itertools
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from experiments.common import data, figures, initialisations, results
from experiments.common.finetuning import (
  FineTuning,
  Scores,
  make_finetune,
  make_predict,
  score_images,
)
from experiments.common.initialisations import (
  RANDOM,
  Candidate,
  Which,
  as_initialisation,
  run_of,
)
from experiments.common.options import (
  DataOptions,
  LearningOptions,
  NetworkOptions,
  Schedule,
  learning_rate,
  make_network,
  run,
)
from experiments.common.results import Row
from experiments.common.runs import default_workdir, newest_run
from experiments.common.sources import NO_TARGET
from experiments.common.support_set_files import choose_selections, save_selections
from experiments.configs import PRESETS, Preset
from fscs.augmentation import make_augment
from fscs.data.datasets import Code
from fscs.data.image_sets import GreySet
from fscs.data.preprocessing import Protocol as ImageProtocol
from fscs.data.preprocessing import select_images
from fscs.data.support_sets import Selections, support_indices, support_names
from fscs.errors import InputError
from fscs.io.atomic import write_csv
from fscs.io.workdirs import opened_workdir
from fscs.losses import PIXEL_LOSSES
from fscs.models import with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.progress import progress_bar
from fscs.segmentation.config import FineTuningConfig
from fscs.segmentation.finetuning import finetune_and_validate

# Options that span the grid; with others a workdir gets further rows.
GRID = ('init', 'shots', 'selections', 'checkpoint', 'kernel_init', 'shard', 'at_once')

# Options of the paper's fine-tuning.
OF_PAPER = (
  *('finetune_epochs', 'finetune_steps', 'finetune_batch_size', 'finetune_lr', 'finetune_schedule'),
  *('norm_scale', 'loss', 'optimizer', 'augmentation', 'weight_decay', 'test_batch_size'),
)

OVERLAYS = ('best', 'median', 'worst')
TEST_BATCH_SIZE = {'EM': 20}  # of the reference, where it is not 32


@dataclasses.dataclass(frozen=True)
class Config(LearningOptions, NetworkOptions, DataOptions):
  """Options of the evaluation. Those that are not given are the run's, or else its preset's."""

  preset: Preset | None = None
  """Sizes and the way to adapt; by default the run's preset."""
  data: Literal['real', 'simulated'] | None = None
  """Published images, or simulated ones; by default the run's."""
  data_seed: int | None = None
  """Seed of the simulated images; by default the run's."""
  protocol: ImageProtocol | None = None
  """How images are prepared, see experiments.meta_train; by default as in the run."""
  init: tuple[str, ...] = ()
  """Workdirs of runs, folders of fscs.io.save_init, or random; by default the newest meta-trained
  run."""
  target: Code | None = None
  """The data set to adapt to; by default the run's target."""
  checkpoint: Which = 'latest'
  """Checkpoint of meta-trained runs: latest or best. Transfer runs give their best."""
  shots: tuple[int, ...] = (1, 3, 5, 7, 10)
  """Numbers of annotated images, K."""
  selections: tuple[int, ...] = tuple(range(1, 11))
  """Numbers of the support sets."""
  selections_file: str | None = None
  """A file of support sets (.json or .pkl), or paper for the published ones; random by default."""
  adaptation: Literal['paper', 'fscs'] | None = None
  """The paper's fine-tuning, with the options below, or that of `fscs finetune`, with its default
  settings and without cross-validation. By default the preset's."""
  shard: str | None = None
  """Do only the i-th of n parts of the grid (i/n), beside other processes that do the others."""
  at_once: int | None = None
  """Support sets that are fine-tuned on in one call; by default 1 on a CPU and 4 elsewhere."""
  max_test_images: int | None = None
  """Score at most so many of the other images; by default the preset's."""
  statistics: Literal['auto', 'image', 'batch'] = 'auto'
  """Batch-norm statistics in the paper's prediction: of the test image (image) or of a batch of
  test images, as in the reference (batch). auto is batch with --protocol=paper, else image."""
  test_batch_size: int | None = None
  """Images per batch of --statistics=batch; by default the reference's, 20 for EM and 32 for
  others."""
  finetune_epochs: int | None = None
  """Passes over all crops of the annotated images; by default the preset's."""
  finetune_steps: int | None = None
  """At most so many steps; 0 scores initialisations as they are. By default the preset's."""
  finetune_batch_size: int | None = None
  """Crops per step; by default the preset's."""
  finetune_lr: float | None = None
  """Learning rate; by default the preset's."""
  finetune_schedule: Schedule | None = None
  """constant, or cosine: it falls to 0 over --finetune-steps. By default the preset's."""
  norm_scale: float | None = None
  """Batch-norm scale that fine-tuning starts from; by default the preset's."""
  workdir: str | None = None
  """Folder of the results; runs/TARGET-ARCH-eval by default."""

  def __post_init__(self) -> None:
    """Check what is given; see `with_run_defaults` for the rest."""
    self.check()


class Cell(NamedTuple):
  """A part of the grid."""

  init: Candidate
  shots: int
  selection: int


def finetune_eval(config: Config) -> Path:
  """Fill in the grid of initialisations, shots and support sets; returns the workdir."""
  config = with_run_defaults(config)
  _check_grid(config)
  if config.preset == 'smoke':
    print(
      'note: --preset=smoke only shows that the commands run: its scores and pictures mean nothing',
      file=sys.stderr,
    )
  inits = initialisations.load_all(
    config.init, config, target=config.target, which=config.checkpoint
  )
  ((grey_set, fingerprint, _),) = data.load_prepared([config.target], config)
  selections = choose_selections(
    config.selections_file,
    grey_set.names,
    config.target,
    shots=config.shots,
    selections=config.selections,
    seed=config.seed,
    data_dir=config.data_dir,
  )
  supports = _supports(config, selections, grey_set.names)
  workdir = default_workdir(config, f'{config.target}-{config.arch}-eval')
  facts = {'command': 'finetune_eval', 'data_fingerprints': {config.target: fingerprint}}
  with opened_workdir(workdir, config, facts, free=GRID, part=config.shard):
    save_selections(workdir / 'selections.json', selections)
    try:
      _fill_grid(config, inits, grey_set, supports, workdir)
    finally:
      rows = results.read_all(workdir)
      if rows:
        title = f'{config.target}, {config.arch}'
        summary = results.write_summary(workdir, rows, title)
        figures.draw_iou_bars(workdir / 'iou.png', title, summary)
  if rows:
    print((workdir / 'summary.md').read_text())
  print(f'table, scores and pictures: {workdir}')
  return workdir


def with_run_defaults(config: Config) -> Config:
  """The configuration with all values: those given, then the run's, then the preset's.

  The run gives its target, network and data, and its preset says how to adapt.

  Raises:
    InputError: there is no run, it cannot be read, it has left no data set out and no target is
      given, or an option is given that the adaptation has no use for.
  """
  init = config.init or (str(newest_run('meta_train')),)
  if not config.init:
    print(f'evaluating {init[0]}', file=sys.stderr)
  found = next((run_of(name) for name in init if name != RANDOM), None)
  of_run = _values_of_run(found['config'], config.preset) if found else {}
  preset = config.preset or of_run.get('preset', 'paper')
  of_preset = {'data': 'real', 'data_seed': 0, 'protocol': 'corrected', **PRESETS[preset]}
  values: dict[str, Any] = {'init': init, 'preset': preset}
  for field in dataclasses.fields(config):
    if getattr(config, field.name) is None and field.name not in values:
      values[field.name] = of_run.get(field.name, of_preset.get(field.name))
  if values.get('adaptation', config.adaptation) == 'fscs':
    _require_unset(config)
  if values.get('target', config.target) is None:
    if found:
      raise InputError(
        f'the run of {" ".join(init)} has left no data set out: give a target (own images are for'
        ' fscs finetune)',
        arguments=('target',),
      )
    values['target'] = 'B5'
  return dataclasses.replace(config, **values)


def _values_of_run(run_config: dict[str, Any], preset: Preset | None) -> dict[str, Any]:
  """The options of a run that hold for its evaluation too, unless others are given."""
  names = {'target', 'arch', 'widths', 'kernel_init', 'data', 'raw_dir', 'data_dir', 'data_seed'}
  names.add('protocol')
  if preset is None:
    names |= {field.name for field in dataclasses.fields(DataOptions)}
  if run_config['target'] == NO_TARGET:
    names.remove('target')
  return {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in run_config.items()
    if name in names and value is not None
  }


def _require_unset(config: Config) -> None:
  """Raises InputError if options of the paper's fine-tuning are given."""
  given = [name for name in OF_PAPER if getattr(config, name) is not None]
  if given:
    raise InputError(
      f'{", ".join(given)}: found options of the fine-tuning of the paper, expected none, since'
      ' that of fscs has its own settings; leave them out, or choose the adaptation paper',
      arguments=(*given, 'adaptation'),
    )


def _check_grid(config: Config) -> None:
  results.shard_of(config.shard)
  for name in ('shots', 'selections', 'init'):
    values = getattr(config, name)
    if not values or len(set(values)) < len(values):
      raise InputError(
        f'{name}: expected at least one value, and none twice, found {values}', arguments=(name,)
      )
  for name in ('shots', 'selections'):
    smallest = min(getattr(config, name))
    if smallest < 1:
      raise InputError(f'{name} count from 1: found {smallest}', arguments=(name,))
  if config.finetune_schedule == 'cosine' and not config.finetune_steps:
    raise InputError(
      'a cosine schedule needs to know its end: give the number of steps',
      arguments=('finetune_steps',),
    )


def _supports(
  config: Config, selections: Selections, names: Sequence[str]
) -> dict[tuple[int, int], list[int]]:
  """{(shots, selection): indices of the annotated images}."""
  supports = {}
  for shots in config.shots:
    for number in config.selections:
      wanted = support_names(selections, selection=number, shots=shots, code=config.target)
      supports[shots, number] = support_indices(names, wanted, config.target, shots=shots)
  return supports


Adapt = Callable[[Candidate, Sequence[GreySet]], list['Predictor']]


class Predictor(NamedTuple):
  """An adapted initialisation."""

  predict: Callable[[np.ndarray], np.ndarray]  # (N, H, W) uint8 to probabilities
  losses: np.ndarray  # (num_steps,)


def _make_adapt(config: Config) -> Adapt:
  """A function from (initialisation, support sets) to what predicts after adaptation."""
  return _make_fscs_adapt(config) if config.adaptation == 'fscs' else _make_paper_adapt(config)


def _make_paper_adapt(config: Config) -> Adapt:
  model = make_network(config, affine=True, norm_scale=config.norm_scale)
  rate = learning_rate(config.finetune_lr, config.finetune_schedule, config.finetune_steps)
  finetune = make_finetune(
    model,
    FineTuning(
      inner_optimizer(rate, config.weight_decay, config.optimizer),
      config.crop_size,
      data.finetune_stride(config.target, config.downscale),
      config.min_foreground,
      batch_size=config.finetune_batch_size,
      num_epochs=config.finetune_epochs,
      max_steps=config.finetune_steps,
      seed=config.seed,
      pixel_loss=PIXEL_LOSSES[config.loss],
      augment=make_augment(config.augmentation),
    ),
  )
  statistics = config.statistics
  if statistics == 'auto':
    statistics = 'batch' if config.protocol == 'paper' else 'image'
  batch_size = config.test_batch_size or TEST_BATCH_SIZE.get(config.target, 32)
  predict = make_predict(model, statistics=statistics, batch_size=batch_size)

  def adapt(init: Candidate, supports: Sequence[GreySet]) -> list[Predictor]:
    tuned = finetune(with_affine_norms(model, init.params), supports)
    return [
      Predictor(lambda images, params=one.params: predict(params, images), one.losses)
      for one in tuned
    ]

  return adapt


def _make_fscs_adapt(config: Config) -> Adapt:
  """The product's fine-tuning, see `fscs.segmentation.finetuning`."""
  settings = FineTuningConfig(estimate=False, seed=config.seed)

  def adapt(init: Candidate, supports: Sequence[GreySet]) -> list[Predictor]:
    start = as_initialisation(init, config.arch)
    found = [finetune_and_validate(s.images, s.masks, start, settings) for s in supports]

    def predict(images: np.ndarray, segmenter) -> np.ndarray:
      return np.stack([segmenter.predict_proba(image) for image in images])

    return [
      Predictor(lambda images, one=result.segmenter: predict(images, one), result.losses)
      for result in found
    ]

  return adapt


def _fill_grid(
  config: Config,
  inits: Sequence[Candidate],
  grey_set: GreySet,
  supports: dict[tuple[int, int], list[int]],
  workdir: Path,
) -> None:
  """Run every cell of this shard that no results file has; write its own file after each."""
  path = results.table_path(workdir, config.shard)
  everything = results.read_all(workdir)
  rows = everything if config.shard is None else results.read_rows(path)
  index, count = results.shard_of(config.shard)
  adapt = _make_adapt(config)
  done = {row.key for row in everything}
  grid = [
    Cell(init, shots, number)
    for shots in config.shots
    for init in inits
    for number in config.selections
  ]
  first, end = (len(grid) * part // count for part in (index - 1, index))
  cells = grid[first:end]  # neighbours, since these can be adapted together
  missing = [cell for cell in cells if _key(config, cell) not in done]
  with progress_bar('fine-tunings', len(cells), len(cells) - len(missing)) as advance:
    for group in _together(missing, config.at_once or _default_at_once()):
      begin = time.perf_counter()
      annotated = [
        select_images(grey_set, sorted(supports[cell.shots, cell.selection])) for cell in group
      ]
      adapted = adapt(group[0].init, annotated)
      seconds = (time.perf_counter() - begin) / len(group)
      for cell, predictor in zip(group, adapted, strict=True):
        support = supports[cell.shots, cell.selection]
        rows.append(_score(config, cell, predictor, grey_set, support, seconds, workdir))
        write_csv(path, rows, Row._fields)
        advance(1, IoU=rows[-1].iou)
  if config.shard is None:
    write_csv(path, rows, Row._fields)  # with the rows of shards


def _together(cells: Sequence[Cell], size: int) -> Iterator[list[Cell]]:
  """Groups of at most `size` cells of one initialisation and one number of shots."""
  for _, group in itertools.groupby(cells, key=lambda cell: (cell.init.name, cell.shots)):
    while part := list(itertools.islice(group, size)):
      yield part


def _default_at_once() -> int:
  """A CPU works on one fine-tuning with all its cores; a GPU has room for several."""
  return 1 if jax.default_backend() == 'cpu' else 4


def _score(
  config: Config,
  cell: Cell,
  predictor: Predictor,
  grey_set: GreySet,
  support: list[int],
  seconds: float,
  workdir: Path,
) -> Row:
  """The row of a cell; overlays are drawn for the first support set."""
  begin = time.perf_counter()
  if config.finetune_steps != 0:
    where = f'{config.target}, {cell.shots} shots, selection {cell.selection}'
    _check_losses(predictor.losses, where, cell.init.name)
  indices = test_images(len(grey_set.names), support, config)
  scores, predictions = score_images(predictor.predict, grey_set, indices)
  if cell.selection == config.selections[0]:
    name = f'overlays-{cell.init.name}-{cell.shots}shot-selection{cell.selection}.png'
    _draw_overlays(workdir / name, grey_set, scores, predictions)
  means = (float(np.mean(s)) for s in (scores.iou, scores.dice, scores.foreground_accuracy))
  seconds += time.perf_counter() - begin
  return Row(*_key(config, cell), *means, len(predictor.losses), len(indices), seconds)


def _check_losses(losses: np.ndarray, where: str, name: str) -> None:
  if not len(losses):
    warnings.warn(
      f'{where}: no annotated image has a crop with enough foreground, so {name} is scored as it'
      ' is: lower --min-foreground',
      stacklevel=2,
    )
  if not np.isfinite(losses).all():
    raise InputError(
      f'{where}: the segmentation loss became non-finite while fine-tuning {name}: lower the'
      ' learning rate',
      arguments=('finetune_lr',),
    )


def _key(config: Config, cell: Cell) -> tuple:
  init = cell.init
  of_init = (init.name, init.objective, init.step, init.digest)
  return (config.target, config.arch, *of_init, cell.shots, cell.selection)


def test_images(num_images: int, support: Sequence[int], config: Config) -> np.ndarray:
  """Images to score: all but the support set, or the first of them in a fixed random order."""
  order = np.random.default_rng(config.seed).permutation(num_images)
  return np.sort(order[~np.isin(order, support)][: config.max_test_images])


def _draw_overlays(path: Path, grey_set: GreySet, scores: Scores, predictions: np.ndarray) -> None:
  """The test images of best, median and worst IoU."""
  order = np.argsort(scores.iou)
  places = [order[-1], order[len(order) // 2], order[0]]
  images = scores.indices[places]
  figures.draw_overlays(
    path,
    [
      f'{word}: {grey_set.names[image][:28]}\nIoU {scores.iou[place]:.3f}'
      for word, image, place in zip(OVERLAYS, images, places, strict=True)
    ],
    grey_set.images[images],
    grey_set.masks[images] > 0,
    predictions[places],
  )


if __name__ == '__main__':
  run(finetune_eval, Config)
