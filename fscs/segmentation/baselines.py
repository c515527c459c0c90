"""Baselines without a network: a threshold, and a random forest on hand-made features.

All learn from annotated grey images and return a function from an image (H, W) uint8 to the
probability of foreground (H, W) float32.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, logit
from skimage.filters import threshold_otsu

from fscs import metrics
from fscs.segmentation.cross_validation import ImagePart, make_folds
from fscs.segmentation.pixel_forest import NUM_TREES, Predict, forest

# Candidates of `best_threshold`; of equally good ones the first, nearest to the middle, is taken.
THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.1)
WIDE_THRESHOLDS = (*THRESHOLDS, 0.85, 0.9, 0.05, 0.95, 0.02, 0.98, 0.01, 0.99)
MIN_PROBABILITY = 1e-3  # probabilities are clipped before log-odds are taken


def otsu(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Predict:
  """Otsu's threshold of every image; bright or dark, whichever suits the annotated images."""

  def bright(image: np.ndarray) -> np.ndarray:
    return (image > threshold_otsu(image)).astype(np.float32)

  def dark(image: np.ndarray) -> np.ndarray:
    return 1 - bright(image)

  def score(predict: Predict) -> float:
    pairs = zip(images, masks, strict=True)
    return float(np.mean([metrics.iou(predict(image) > 0.5, mask > 0) for image, mask in pairs]))

  return max((bright, dark), key=score)


def tuned_forest(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Predict:
  """The forest at the threshold with the highest mean IoU on annotated pixels held out."""
  learn = functools.partial(forest, num_trees=NUM_TREES // 4)
  threshold = best_threshold(*predict_out_of_fold(learn, images, masks))
  return with_threshold(forest(images, masks), threshold)


def predict_out_of_fold(
  learn: Callable[..., Predict],
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  folds: Sequence[Sequence[ImagePart]] | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Predictions of parts of the annotated images by models of all other folds, and their masks.

  Args:
    learn: from images and masks of foreground to a function from an image to probabilities.
    images: (H, W) uint8 each.
    masks: (H, W) each; above 0 is foreground.
    folds: what is held out together, two at least; by default `make_folds`.
  """
  folds = make_folds(masks) if folds is None else folds

  def cut(arrays, parts) -> list[np.ndarray]:
    return [arrays[part.image][part.rows, part.columns] for part in parts]

  found = []
  for fold in folds:
    known = [part for other in folds if other is not fold for part in other]
    predict = learn(cut(images, known), [mask > 0 for mask in cut(masks, known)])
    found += [predict(image) for image in cut(images, fold)]
  return found, cut(masks, list(itertools.chain(*folds)))


def best_threshold(
  found: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  thresholds: Sequence[float] = THRESHOLDS,
) -> float:
  """The threshold with the highest mean IoU over images with foreground; 0.5 without any.

  Args:
    found: (H, W) probabilities each.
    masks: (H, W) each; above 0 is foreground.
    thresholds: candidates.
  """
  pairs = [(p, mask > 0) for p, mask in zip(found, masks, strict=True) if np.any(mask)]

  def score(threshold: float) -> float:
    return sum(float(metrics.iou(p > threshold, mask)) for p, mask in pairs)

  return max(thresholds, key=score) if pairs else 0.5


def with_threshold(predict: Predict, threshold: float) -> Predict:
  """The same predictions with log-odds shifted so that `threshold` becomes 0.5."""

  def shifted(images: np.ndarray) -> np.ndarray:
    odds = logit(np.clip(predict(images), MIN_PROBABILITY, 1 - MIN_PROBABILITY))
    return expit(odds - logit(threshold)).astype(np.float32)

  return shifted


BASELINES: dict[str, Callable[..., Predict]] = {
  'otsu': otsu,
  'forest': forest,
  'forest-tuned': tuned_forest,
}
QUICK_BASELINES: dict[str, Callable[..., Predict]] = {  # that fine-tuning is compared with
  "Otsu's threshold": otsu,
  'random forest of pixels': functools.partial(forest, num_trees=NUM_TREES // 4),
}
