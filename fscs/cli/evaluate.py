"""`fscs evaluate`: scores predicted masks and objects against true ones.

Predictions are label images NAME_labels.tif or, without one, binary masks NAME_mask.tif or .png.
The truth of NAME is a mask that belongs to an image NAME.tif; pages are compared one by one. The
output folder gets scores.csv (a line per page) and summary.json.

IoU, Dice, precision and recall are of foreground pixels; their total is the mean over images. AP is
TP / (TP + FP + FN) of objects at IoU 0.5, 0.75 and, as mAP, the mean over 0.5 to 0.95; F1 and
panoptic quality (PQ) are at 0.5; their totals are of summed counts. Objects of a binary mask are
its connected components; if all true masks are binary, so are those of every prediction. Without
objects in truth and prediction all scores are 1; if one of them has objects, 0.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fscs.errors import InputError
from fscs.messages import Notes, examples, note, shortened

if TYPE_CHECKING:
  from fscs.segmentation.evaluation import PageScores, Scores

SUFFIXES = ('.png', '.tif', '.tiff')  # of predictions

_COLUMNS = (
  *('IoU', 'Dice', 'prec.', 'recall', 'AP50', 'AP75', 'mAP', 'F1', 'PQ', 'found', 'true', '+-'),
)
_LEGEND = (
  'IoU to recall: pixels (last row: mean over images). AP50 to PQ: objects (last row: from summed'
  ' counts). +-: objects found minus true.'
)
_COMPONENTS = '* binary masks do not tell touching objects apart: objects are connected components'


@dataclasses.dataclass(frozen=True)
class Evaluate:
  """Score predictions against true masks, image by image and in total.

  fscs evaluate --predictions results --masks more-masks

  Do not score the images that were annotated for fine-tuning.
  """

  predictions: Path
  """Folder of predictions: NAME_labels.tif, or NAME_mask.tif or .png."""
  masks: Path
  """Folder of the true masks: label images, binary masks or ImageJ ROIs, named as the images."""
  out: Path | None = None
  """Folder for scores.csv and summary.json; by default that of the predictions."""
  foreground: int | None = None
  """Value of the objects in the true masks; by default the larger of two, and labels."""


def evaluate(config: Evaluate) -> None:
  """Score what can be scored.

  Raises:
    InputError: a folder is missing or empty, nothing in one belongs to anything in the other, or,
      when all others are done, a file could not be scored.
  """
  from fscs.progress import progress_bar
  from fscs.segmentation.evaluation import choose_objects, score_file, total_scores

  pairs = _find_pairs(config)
  readings, errors = [], []
  notes: Notes = {}
  with progress_bar('images', len(pairs)) as advance:
    for image, (prediction, truth) in pairs.items():
      try:
        readings += score_file(image, prediction, truth, config.foreground, notes)
      except InputError as error:
        errors.append(str(error))
      advance(1)
  for text, names in notes.items():
    print(note(text, names), file=sys.stderr)
  for message in errors:
    print(f'left out: {message}', file=sys.stderr)
  pages = choose_objects(readings)
  if not pages:
    raise InputError(f'{config.predictions}: none of {len(pairs)} predictions could be scored')
  total = total_scores(pages)
  out = config.out or config.predictions
  out.mkdir(parents=True, exist_ok=True)
  _write(out, config, pages, total, len(errors))
  _show(pages, total)
  print(f'scores: {out / "scores.csv"}, {out / "summary.json"}')
  if errors:
    raise InputError(f'{len(errors)} of {len(pairs)} predictions could not be scored; see above')


def _find_pairs(config: Evaluate) -> dict[str, tuple[Path, Path]]:
  """{image: (prediction, truth)}; notes which have no counterpart."""
  from fscs.io import MASK_SUFFIXES, NothingPairedError, find_files, match, separate
  from fscs.segmentation.evaluation import LABELS, MASK

  folder, masks_folder = config.predictions, config.masks
  predictions = _find_predictions(folder)
  if folder.resolve() == masks_folder.resolve():
    raise InputError(
      f'{masks_folder} is the folder of the predictions: give that of the true masks',
      arguments=('masks',),
    )
  masks = find_files(masks_folder, MASK_SUFFIXES)
  masks = separate(masks, masks)[1] or masks  # images may be among them
  # Masks are named after images, whose suffix is not known here.
  images = {folder / f'{image}.*': image for image in predictions}
  try:
    pairs, without_mask = match(list(images), masks)
  except NothingPairedError as error:
    raise InputError(
      f'{folder}: found the predictions {examples(predictions.values())}, and in {masks_folder} the'
      f' masks {examples(masks)}, of which none belong together; expected for NAME{LABELS}.tif or'
      f' NAME{MASK}.png a mask NAME.tif, NAME_gt.tif or the like; rename the masks, or give those'
      ' of the images that were segmented',
      arguments=('predictions', 'masks'),
    ) from error
  unused = sorted(set(masks) - {pair.mask for pair in pairs})
  for line in (
    note(
      'predictions without a true mask, left out',
      [predictions[images[path]] for path in without_mask],
    ),
    note('true masks without a prediction, left out', unused),
  ):
    if line:
      print(line, file=sys.stderr)
  named = ((images[pair.image], pair.mask) for pair in pairs)
  return {image: (predictions[image], mask) for image, mask in named}


def _find_predictions(folder: Path) -> dict[str, Path]:
  """{image: its labels or else its mask}."""
  from fscs.io import find_files
  from fscs.segmentation.evaluation import LABELS, MASK

  files = find_files(folder, SUFFIXES)
  found: dict[str, Path] = {}
  for ending in (MASK, LABELS):
    found |= {f.stem.removesuffix(ending): f for f in files if f.stem.endswith(ending)}
  if not found:
    raise InputError(
      f'{folder}: found {examples(files)}, expected predictions named NAME{LABELS}.tif or'
      f' NAME{MASK}.png; give the folder that they are in, or rename them',
      arguments=('predictions',),
    )
  return dict(sorted(found.items()))


def _write(
  out: Path, config: Evaluate, pages: 'Sequence[PageScores]', total: 'Scores', num_failed: int
) -> None:
  from fscs.environment import versions
  from fscs.io.atomic import write_csv, write_text

  rows = [
    (page.image, page.page, 'components' if page.components else 'labels', *page.scores)
    for page in pages
  ]
  write_csv(out / 'scores.csv', rows, ('image', 'page', 'objects', *total._fields))
  count_errors = [abs(page.scores.count_error) for page in pages]
  summary = {
    'predictions': str(config.predictions),
    'masks': str(config.masks),
    'images': len(pages),  # pages count as images
    'files_failed': num_failed,
    'images_with_components': sum(page.components for page in pages),
    **total._asdict(),
    'mean_absolute_count_error': sum(count_errors) / len(count_errors),
    'versions': versions(),
  }
  write_text(out / 'summary.json', json.dumps(summary, indent=2) + '\n')


def _show(pages: 'Sequence[PageScores]', total: 'Scores') -> None:
  from rich.console import Console
  from rich.table import Table

  table = Table(box=None, pad_edge=False)
  table.add_column('image')
  for name in _COLUMNS:
    table.add_column(name, justify='right')
  stacks = {page.image for page in pages if page.page > 1}
  for page in pages:
    where = f', page {page.page}' if page.image in stacks else ''
    star = ' *' if page.components else ''
    table.add_row(f'{shortened(page.image)}{where}{star}', *_cells(page.scores))
  table.add_section()
  table.add_row(f'all {len(pages)}', *_cells(total))
  console = Console(width=1000)  # a narrow terminal then breaks lines, and nothing is cut off
  console.print(table)
  print(_LEGEND)
  if any(page.components for page in pages):
    print(_COMPONENTS)


def _cells(scores: 'Scores') -> list[str]:
  texts = [f'{v:.3f}' if isinstance(v, float) else str(v) for v in scores]
  return [*texts[:-1], f'{scores.count_error:+d}']
