"""Fine-tune initialisations on few images of the target and score them on its other images.

  python -m experiments.finetune_eval
  python -m experiments.finetune_eval --init runs/TNBC-fcrn-bce-s0 random --shots 1 5 \\
      --selections 1 2 3 --selections-file=paper

Without options it takes the newest meta-trained run, that run's target and data, all shots and ten
random selections. The workdir (runs/TARGET-ARCH-eval by default) gets results.csv (a row per
fine-tuning), summary.csv, summary.md, iou.png, overlays-*.png and selections.json. Run again, it
adds what is missing; run with other --init, --shots or --selections, it adds rows to compare.
"""

import itertools
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from experiments.common import data, evaluation_options, figures, initialisations, results
from experiments.common.bounds import check_bounds
from experiments.common.evaluation_options import Config
from experiments.common.finetuning import Adapted, Scores, make_finetune, make_score
from experiments.common.initialisations import Initialisation
from experiments.common.options import make_network, run
from experiments.common.results import Row
from experiments.common.selection_files import choose_selections, save_selections
from fscs.data.preprocessing import GreySet, split
from fscs.data.support_sets import Selections, support_indices, support_names
from fscs.errors import InputError
from fscs.io.workdirs import default_workdir, opened_workdir
from fscs.models import with_affine_norms
from fscs.progress import progress_bar

# Options that span the grid; with others, a workdir gets further rows.
GRID = ('init', 'shots', 'selections', 'checkpoint', 'kernel_init', 'shard', 'at_once')

OVERLAYS = ('best', 'median', 'worst')


def finetune_eval(config: Config) -> Path:
  """Fill in the grid of initialisations x shots x selections; returns the workdir."""
  check_bounds(config)
  _check_grid(config)
  evaluation_options.note_other_sizes(config)
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
        _write_summary(workdir, rows, f'{config.target}, {config.arch}')
  if rows:
    print((workdir / 'summary.md').read_text())
  print(f'table, scores and pictures: {workdir}')
  return workdir


def _check_grid(config: Config) -> None:
  results.shard_of(config.shard)
  for name in ('shots', 'selections', 'init'):
    values = getattr(config, name)
    if not values or len(set(values)) < len(values):
      raise InputError(f'--{name} needs at least one value, and none twice: found {values}')
  for name in ('shots', 'selections'):
    if min(getattr(config, name)) < 1:
      raise InputError(f'--{name} counts from 1: found {min(getattr(config, name))}')


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


def _fill_grid(config, inits, grey_set: GreySet, supports, workdir: Path) -> None:
  """Run every cell of this shard that no results file has; write its own file anew after each."""
  path = results.table_path(workdir, config.shard)
  everything = results.read_all(workdir)
  rows = everything if config.shard is None else results.read_rows(path)
  index, count = results.shard_of(config.shard)
  model = make_network(config, affine=True, norm_scale=config.norm_scale)
  finetune = make_finetune(model, evaluation_options.finetuning(config))
  score = make_score(model, **evaluation_options.testing(config))
  done = {row.key for row in everything}
  grid = [
    (init, shots, number)
    for shots in config.shots
    for init in inits
    for number in config.selections
  ]
  first, end = (len(grid) * part // count for part in (index - 1, index))
  cells = grid[first:end]  # neighbours, since these can be adapted together
  missing = [cell for cell in cells if _key(config, *cell) not in done]
  with progress_bar('fine-tunings', len(cells), len(cells) - len(missing)) as advance:
    for group in _together(missing, config.at_once or _at_once_by_default()):
      init = group[0][0]
      begin = time.perf_counter()
      params = with_affine_norms(model, init.params)
      annotated = [split(grey_set, sorted(supports[k, number])) for _, k, number in group]
      tuned = finetune(params, annotated)
      seconds = (time.perf_counter() - begin) / len(group)
      for cell, result in zip(group, tuned, strict=True):
        rows.append(_score(config, cell, result, grey_set, supports, score, seconds, workdir))
        results.write_table(path, rows, Row._fields)
        advance(1, IoU=rows[-1].iou)
  if config.shard is None:
    results.write_table(path, rows, Row._fields)  # what shards did, too


def _together(cells: Sequence[tuple], size: int) -> Iterator[list[tuple]]:
  """Groups of at most `size` cells of one initialisation and one number of shots."""
  for _, group in itertools.groupby(cells, key=lambda cell: (cell[0].name, cell[1])):
    while part := list(itertools.islice(group, size)):
      yield part


def _at_once_by_default() -> int:
  """A CPU works on one fine-tuning with all its cores; a GPU has room for several."""
  return 1 if jax.default_backend() == 'cpu' else 4


def _score(
  config, cell: tuple, tuned: Adapted, grey_set: GreySet, supports, score, seconds, workdir: Path
) -> Row:
  """The row of one fine-tuning; draws its overlays if it is of the first selection."""
  init, shots, selection = cell
  begin = time.perf_counter()
  if config.finetune_steps != 0:
    _check_losses(tuned.losses, f'{config.target}, {shots} shots, selection {selection}', init.name)
  indices = test_images(len(grey_set.names), supports[shots, selection], config)
  scores, predictions = score(tuned, grey_set, indices)
  if selection == config.selections[0]:
    picture = workdir / f'overlays-{init.name}-{shots}shot-selection{selection}.png'
    _draw_overlays(picture, grey_set, scores, predictions)
  means = (float(np.mean(s)) for s in (scores.iou, scores.dice, scores.foreground_accuracy))
  seconds += time.perf_counter() - begin
  return Row(*_key(config, *cell), *means, len(tuned.losses), len(indices), seconds)


def _check_losses(losses: np.ndarray, where: str, name: str) -> None:
  if not len(losses):
    warnings.warn(
      f'{where}: no annotated image has a crop with enough foreground, so {name} is scored as it'
      ' is: lower --min-foreground',
      stacklevel=2,
    )
  if not np.isfinite(losses).all():
    raise InputError(
      f'{where}: the segmentation loss became non-finite while fine-tuning {name}: lower'
      ' --finetune-lr'
    )


def _key(config: Config, init: Initialisation, shots: int, selection: int) -> tuple:
  of_init = (init.name, init.objective, init.step, init.digest)
  return (config.target, config.arch, *of_init, shots, selection)


def test_images(num_images: int, support: Sequence[int], config: Config) -> np.ndarray:
  """Which images to score: all but the support, or the first of them in a fixed random order."""
  order = np.random.default_rng(config.seed).permutation(num_images)
  return np.sort(order[~np.isin(order, support)][: config.max_test_images])


def _write_summary(workdir: Path, rows: Sequence[Row], title: str) -> None:
  summaries = results.summarise(rows)
  results.write_table(workdir / 'summary.csv', summaries, results.Summary._fields)
  table = results.by_initialisation(summaries)
  results.write_text(workdir / 'summary.md', results.markdown(title, table))
  figures.draw_iou_bars(workdir / 'iou.png', title, table)


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
  run(finetune_eval, Config, evaluation_options.defaults)
