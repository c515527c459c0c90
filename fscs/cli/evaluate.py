"""Score predicted objects against the truth, image by image and in total.

  python -m fscs.cli.evaluate --predictions=results --masks=annotations

Predictions are label images <image>_labels.tif or, for images without one, binary masks
<image>_mask.tif or .png. The truth of cell_labels.tif is a mask that belongs to an image cell.tif,
such as cell.png or cell_mask.tif; pages are compared one by one. A table is printed, and scores.csv
(a line per image or page) and summary.json (the total) are written.

IoU, Dice, precision and recall are of foreground pixels, and their total is the mean over images.
AP is TP / (TP + FP + FN) of objects at IoUs of 0.5, 0.75 and, as mAP, the mean over 0.5 to 0.95; F1
and panoptic quality PQ are at 0.5; their totals are of counts summed over images. The objects of a
binary mask are its connected components, and if all true masks are binary, so are those of every
prediction. Where neither truth nor prediction has objects all scores are 1; where one has, 0.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from experiments.common.options import run
from experiments.common.results import write_table
from fscs.environment import versions
from fscs.errors import InputError
from fscs.io import MASK_SUFFIXES, find_files, match, separate
from fscs.io.workdirs import write_text
from fscs.messages import examples, note
from fscs.progress import progress_bar
from fscs.segmentation.scoring import (
  LABELS,
  MASK,
  Page,
  Scores,
  choose_objects,
  score_file,
  total_scores,
)

SUFFIXES = ('.png', '.tif', '.tiff')  # of predictions

_HEADER = (
  'IoU',
  'Dice',
  'prec.',
  'recall',
  'AP50',
  'AP75',
  'mAP',
  'F1',
  'PQ',
  'found',
  'true',
  '+-',
)
_LEGEND = (
  'pixels: IoU to recall, in total the mean; objects: AP50 to PQ, in total of summed counts;'
  ' +-: found minus true'
)
_COMPONENTS = '* binary masks do not tell touching objects apart: objects are connected components'


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the evaluation."""

  predictions: str = ''
  """Folder of predictions: <image>_labels.tif, or <image>_mask.tif or .png."""
  masks: str = ''
  """Folder of the true masks: label images, binary masks or ImageJ ROIs, named as the images."""
  out: str = ''
  """Where scores.csv and summary.json are written; the folder of predictions by default."""


def evaluate(config: Config) -> None:
  """Score what can be scored; ends with status 1 if a file could not.

  Raises:
    InputError: a folder is missing or empty, nothing in one belongs to anything in the other, or
      no file could be scored.
  """
  pairs = _pairs(config)
  readings, errors = [], []
  with progress_bar('images', len(pairs)) as advance:
    for image, (prediction, truth) in pairs.items():
      try:
        readings += score_file(image, prediction, truth)
      except InputError as error:
        errors.append(error)
      advance(1)
  for error in errors:
    print(f'error: {error}', file=sys.stderr)
  pages = choose_objects(readings)
  if not pages:
    raise InputError(f'{config.predictions}: none of {len(pairs)} predictions could be scored')
  total = total_scores(pages)
  out = Path(config.out or config.predictions)
  out.mkdir(parents=True, exist_ok=True)
  _write(out, config, pages, total, len(errors))
  _show(pages, total)
  print(f'scores: {out / "scores.csv"}, {out / "summary.json"}')
  if errors:
    print(f'{len(errors)} of {len(pairs)} predictions could not be scored', file=sys.stderr)
    raise SystemExit(1)


def _pairs(config: Config) -> dict[str, tuple[Path, Path]]:
  """{image: (prediction, truth)}; says which have no counterpart."""
  for option, text in (('predictions', config.predictions), ('masks', config.masks)):
    if not text:
      raise InputError(f'give --{option}=DIR, the folder of the {option}')
  folder, masks_folder = Path(config.predictions), Path(config.masks)
  predictions = _predictions(folder)
  if folder.resolve() == masks_folder.resolve():
    raise InputError(
      f'--masks={masks_folder} is the folder of the predictions: give that of the true masks'
    )
  masks = find_files(masks_folder, MASK_SUFFIXES)
  masks = separate(masks, masks)[1] or masks  # images may be among them
  # Masks are named after images, of which the kind is not known here.
  images = {folder / f'{image}.*': image for image in predictions}
  pairs, without_mask = match(list(images), masks)
  unused = sorted(set(masks) - {pair.mask for pair in pairs})
  note(
    'predictions without a true mask, left out',
    [predictions[images[path]] for path in without_mask],
  )
  note('true masks without a prediction, left out', unused)
  named = ((images[pair.image], pair.mask) for pair in pairs)
  return {image: (predictions[image], mask) for image, mask in named}


def _predictions(folder: Path) -> dict[str, Path]:
  """{image: its labels or else its mask}."""
  files = find_files(folder, SUFFIXES)
  found = {}
  for ending in (MASK, LABELS):
    found |= {f.stem.removesuffix(ending): f for f in files if f.stem.endswith(ending)}
  if not found:
    raise InputError(
      f'{folder}: found {examples(files)}, expected predictions named <image>{LABELS}.tif or'
      f' <image>{MASK}.png; give the folder that they are in, or rename them'
    )
  return dict(sorted(found.items()))


def _write(
  out: Path, config: Config, pages: Sequence[Page], total: Scores, num_failed: int
) -> None:
  rows = [
    (page.image, page.page, 'components' if page.components else 'labels', *page.scores)
    for page in pages
  ]
  write_table(out / 'scores.csv', rows, ('image', 'page', 'objects', *Scores._fields))
  summary = {
    'predictions': config.predictions,
    'masks': config.masks,
    'images': len(pages),  # pages count as images
    'files_failed': num_failed,
    'images_with_components': sum(page.components for page in pages),
    **total._asdict(),
    'mean_absolute_count_error': float(np.mean([abs(p.scores.count_error) for p in pages])),
    'versions': versions(),
  }
  write_text(out / 'summary.json', json.dumps(summary, indent=2) + '\n')


def _show(pages: Sequence[Page], total: Scores) -> None:
  table = Table(box=None, pad_edge=False)
  table.add_column('image')
  for name in _HEADER:
    table.add_column(name, justify='right')
  several = {page.image for page in pages if page.page > 1}
  for page in pages:
    where = f', page {page.page}' if page.image in several else ''
    table.add_row(f'{page.image}{where}{" *" * page.components}', *_cells(page.scores))
  table.add_section()
  table.add_row(f'all {len(pages)}', *_cells(total))
  console = Console(width=1000)  # a terminal that is too narrow breaks lines, and nothing is lost
  console.print(table)
  print(_LEGEND)
  if any(page.components for page in pages):
    print(_COMPONENTS)


def _cells(scores: Scores) -> list[str]:
  texts = [f'{v:.3f}' if isinstance(v, float) else str(v) for v in scores]
  return [*texts[:-1], f'{scores.count_error:+d}']


if __name__ == '__main__':
  run(evaluate, Config, lambda _: Config())
