"""Score predicted objects against the truth, image by image and in total.

  python -m experiments.evaluate --predictions=results --masks=annotations

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
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.measure import label

from experiments.options import run
from experiments.progress import progress_bar
from experiments.results import write_table
from experiments.runs import versions, write_text
from fscs import instances, metrics
from fscs.errors import InputError
from fscs.images import (
  MASK_SUFFIXES,
  ImageFile,
  Mask,
  find_files,
  mask_pages,
  match,
  open_image,
  read_mask,
)
from fscs.instances import THRESHOLDS, Matching

LABELS, MASK = '_labels', '_mask'  # ends of the names of predictions
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
_EXAMPLES = 3  # names in a message


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the evaluation."""

  predictions: str = ''
  """Folder of predictions: <image>_labels.tif, or <image>_mask.tif or .png."""
  masks: str = ''
  """Folder of the true masks: label images, binary masks or ImageJ ROIs, named as the images."""
  out: str = ''
  """Where scores.csv and summary.json are written; the folder of predictions by default."""


class Scores(NamedTuple):
  """Agreement of one page or, as the module says, of all."""

  iou: float  # of pixels, as are the next three
  dice: float
  precision: float
  recall: float
  ap_50: float  # of objects, as are the next four
  ap_75: float
  ap_mean: float
  f1_50: float
  panoptic_quality_50: float
  objects_predicted: int
  objects_true: int
  count_error: int


NUM_PIXEL_SCORES = Scores._fields.index('ap_50')


class Page(NamedTuple):
  """What was found on one page."""

  image: str
  page: int  # counted from 1
  components: bool  # objects are connected components, of the prediction, the truth or both
  scores: Scores
  matchings: list[Matching]  # at every threshold


class Readings(NamedTuple):
  """A page with the objects that its files tell apart, and with components for objects."""

  labels: Page
  components: Page | None  # None where the truth tells objects apart


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


def score_file(image: str, prediction: Path, truth: Path) -> list[Readings]:
  """Scores of every page of a prediction.

  Raises:
    InputError: a file cannot be read, or they differ in size or number of pages.
  """
  with open_image(prediction) as file:
    num_pages = file.shape[0]
    if mask_pages(truth) != num_pages:
      raise InputError(
        f'{truth}: found {mask_pages(truth)} pages, expected {num_pages} as in {prediction}; give'
        ' the mask of this image'
      )
    return [
      _score_page(image, page, read_prediction(file, page), truth) for page in range(num_pages)
    ]


def choose_objects(readings: Sequence[Readings]) -> list[Page]:
  """Labels, unless no truth tells objects apart, as then a prediction's would count as wrong."""
  binary = all(reading.components is not None for reading in readings)
  return [reading.components if binary else reading.labels for reading in readings]


def read_prediction(file: ImageFile, page: int) -> Mask:
  """A page of a label image or, by its name, of a mask, where all but 0 is foreground.

  Unlike the mask of a training image it may be all background or all foreground.

  Raises:
    InputError: it is damaged, or labels are no integers or negative.
  """
  values = file.read(page, slice(None), slice(None))
  if not file.path.stem.endswith(LABELS):
    return Mask(_components(values), instances=False)
  if values.dtype.kind not in 'iu' or values.min() < 0:
    raise InputError(
      f'{file.path}: found {values.dtype} values from {values.min()} on, expected integers from 0'
      ' on; save the labels as such'
    )
  return Mask(values, instances=True)


def _score_page(image: str, page: int, prediction: Mask, truth_path: Path) -> Readings:
  truth = read_mask(truth_path, prediction.labels.shape, page, allow_empty=True)
  pixels = _pixel_scores(prediction.labels > 0, truth.labels > 0)

  def page_of(found: np.ndarray, true: np.ndarray, components: bool) -> Page:
    matchings = instances.match_each(found, true)
    return Page(image, page + 1, components, Scores(*pixels, *_object_scores(matchings)), matchings)

  # A truth of one object holds one value too.
  joined = not prediction.instances or (not truth.instances and int(truth.labels.max()) > 1)
  labels = page_of(prediction.labels, truth.labels, joined)
  if truth.instances:
    return Readings(labels, None)
  return Readings(labels, page_of(_components(prediction.labels), truth.labels, True))


def _components(values: np.ndarray) -> np.ndarray:
  """(H, W) labels of the connected components of what is not 0, as `read_mask` makes them."""
  return label(values != 0, connectivity=1)


def total_scores(pages: Sequence[Page]) -> Scores:
  """Pixel scores: means over pages. Object scores: of counts summed over pages."""
  means = np.mean([page.scores[:NUM_PIXEL_SCORES] for page in pages], axis=0)
  pooled = [
    instances.pool(of_pages) for of_pages in zip(*(p.matchings for p in pages), strict=True)
  ]
  return Scores(*means.tolist(), *_object_scores(pooled))


def _pixel_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, ...]:
  """IoU, Dice, precision and recall of (H, W) boolean masks."""
  both, found, true = (np.count_nonzero(m) for m in (prediction & truth, prediction, truth))
  nothing = float(found == true)  # for a share of no pixels
  return (
    float(metrics.iou(prediction, truth)),
    float(metrics.dice(prediction, truth)),
    both / found if found else nothing,
    both / true if true else nothing,
  )


def _object_scores(matchings: Sequence[Matching]) -> tuple[float, ...]:
  """The scores of objects from matchings at every threshold."""
  accuracies = [instances.object_accuracy(matching) for matching in matchings]
  at_half = matchings[THRESHOLDS.index(0.5)]
  found, false, missed = at_half[:3]
  return (
    accuracies[THRESHOLDS.index(0.5)],
    accuracies[THRESHOLDS.index(0.75)],
    float(np.mean(accuracies)),
    instances.f1(at_half),
    instances.panoptic_quality(at_half),
    found + false,
    found + missed,
    false - missed,
  )


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
  # Masks are named after images, of which the kind is not known here.
  images = {folder / f'{image}.*': image for image in predictions}
  pairs, without_mask = match(list(images), masks)
  unused = sorted(set(masks) - {pair.mask for pair in pairs})
  _note('predictions without a true mask', [predictions[images[path]] for path in without_mask])
  _note('true masks without a prediction', unused)
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
      f'{folder}: found {_examples(files)}, expected predictions named <image>{LABELS}.tif or'
      f' <image>{MASK}.png; give the folder that they are in, or rename them'
    )
  return dict(sorted(found.items()))


def _note(what: str, paths: Sequence[Path]) -> None:
  if paths:
    print(f'note: {what}, left out: {len(paths)} ({_examples(paths)})', file=sys.stderr)


def _examples(paths: Sequence[Path]) -> str:
  more = ', ...' if len(paths) > _EXAMPLES else ''
  return ', '.join(path.name for path in paths[:_EXAMPLES]) + more


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
