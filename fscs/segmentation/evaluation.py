"""Scores of predicted masks and objects against the truth, page by page and in total."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.measure import label

from fscs.io import Mask, open_image, read_mask, require_pages
from fscs.messages import Notes, add_notes
from fscs.metrics import dice, iou
from fscs.metrics.objects import (
  THRESHOLDS,
  Matching,
  f1,
  match_each,
  object_accuracy,
  panoptic_quality,
  pool,
)

LABELS, MASK = '_labels', '_mask'  # ends of the names of predictions


class Scores(NamedTuple):
  """Agreement of one page, or of all."""

  iou: float  # this and the next three are of pixels
  dice: float
  precision: float
  recall: float
  ap_50: float  # this and the next four are of objects
  ap_75: float
  ap_mean: float
  f1_50: float
  panoptic_quality_50: float
  objects_predicted: int
  objects_true: int
  count_error: int


NUM_PIXEL_SCORES = Scores._fields.index('ap_50')


class PageScores(NamedTuple):
  """What was found on one page."""

  image: str
  page: int  # counted from 1
  components: bool  # objects are connected components in the prediction, the truth or both
  scores: Scores
  matchings: list[Matching]  # at every threshold


class Readings(NamedTuple):
  """A page scored with the objects of its files, and with connected components."""

  labels: PageScores
  components: PageScores | None  # None if the truth tells objects apart


def score_file(
  image: str,
  prediction: Path,
  truth: Path,
  foreground: int | None = None,
  notes: Notes | None = None,
) -> list[Readings]:
  """Scores of every page of a prediction; both files are read by the same rules.

  Args:
    image: its name.
    prediction: label image or, by its name, mask.
    truth: mask file.
    foreground: its value in true masks, see `fscs.io.read_mask`.
    notes: gets what was guessed.

  Raises:
    InputError: a file cannot be read, or they differ in size or number of pages.
  """
  with open_image(prediction) as file:
    pages, *shape = file.shape
  require_pages(truth, pages, prediction)
  readings = []
  notes = {} if notes is None else notes
  for page in range(pages):
    found = read_prediction(prediction, (shape[0], shape[1]), page, pages)
    true = read_mask(
      truth, found.labels.shape, page, pages=pages, foreground=foreground, allow_empty=True
    )
    readings.append(_score_page(image, page, found, true))
    for path, mask in ((prediction, found), (truth, true)):
      add_notes(notes, mask.notes, path.name)
  return readings


def choose_objects(readings: Sequence[Readings]) -> list[PageScores]:
  """Scores of labels, or of components if no truth tells objects apart: splits would be wrong."""
  components = [reading.components for reading in readings if reading.components]
  if len(components) == len(readings):
    return components
  return [reading.labels for reading in readings]


def read_prediction(path: Path, shape: tuple[int, int], page: int = 0, pages: int = 1) -> Mask:
  """A page of a label image or, by its name, of a mask, which may be all background or foreground.

  Raises:
    InputError: as `fscs.io.read_mask`.
  """
  mask = read_mask(path, shape, page, pages=pages, predicted=True)
  if not path.stem.endswith(LABELS):
    return Mask(_components(mask.labels), False, mask.notes)
  if mask.instances:
    whole = ('no pixel is 0, so all is foreground; is the lowest value background?',)
    return mask._replace(notes=(*mask.notes, *(whole if mask.labels.all() else ())))
  return Mask((mask.labels > 0).astype(np.int32), True, mask.notes)  # one object


def _score_page(image: str, page: int, prediction: Mask, truth: Mask) -> Readings:
  pixels = _pixel_scores(prediction.labels > 0, truth.labels > 0)

  def page_of(found: np.ndarray, true: np.ndarray, components: bool) -> PageScores:
    matchings = match_each(found, true)
    scores = Scores._make((*pixels, *_object_scores(matchings)))
    return PageScores(image, page + 1, components, scores, matchings)

  # A truth of one object holds one value too.
  joined = not prediction.instances or (not truth.instances and int(truth.labels.max()) > 1)
  labels = page_of(prediction.labels, truth.labels, joined)
  if truth.instances:
    return Readings(labels, None)
  return Readings(labels, page_of(_components(prediction.labels), truth.labels, True))


def _components(values: np.ndarray) -> np.ndarray:
  """(H, W) labels of the connected components of the foreground, as `read_mask` makes them."""
  return label(values != 0, connectivity=1)


def total_scores(pages: Sequence[PageScores]) -> Scores:
  """Means of pixel scores over pages, and object scores of counts summed over pages."""
  means = np.mean([page.scores[:NUM_PIXEL_SCORES] for page in pages], axis=0)
  pooled = [pool(of_pages) for of_pages in zip(*(p.matchings for p in pages), strict=True)]
  return Scores._make((*means.tolist(), *_object_scores(pooled)))


def _pixel_scores(prediction: np.ndarray, truth: np.ndarray) -> tuple[float, float, float, float]:
  """IoU, Dice, precision and recall of (H, W) boolean masks."""
  both, found, true = (np.count_nonzero(m) for m in (prediction & truth, prediction, truth))
  nothing = float(found == true)  # for a share of no pixels
  return (
    float(iou(prediction, truth)),
    float(dice(prediction, truth)),
    both / found if found else nothing,
    both / true if true else nothing,
  )


def _object_scores(
  matchings: Sequence[Matching],
) -> tuple[float, float, float, float, float, int, int, int]:
  """The scores of objects from matchings at every threshold."""
  accuracies = [object_accuracy(matching) for matching in matchings]
  at_half = matchings[THRESHOLDS.index(0.5)]
  found, false, missed = at_half[:3]
  return (
    accuracies[THRESHOLDS.index(0.5)],
    accuracies[THRESHOLDS.index(0.75)],
    float(np.mean(accuracies)),
    f1(at_half),
    panoptic_quality(at_half),
    found + false,
    found + missed,
    false - missed,
  )
