"""What a user would try without a network: a threshold, and a forest on hand-made features.

All learn from K annotated grey images and give a function from an image (H, W) uint8 to the
probability of foreground (H, W) float32; the forest is `fscs.segmentation.pixel_forest`.
"""

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
from skimage.filters import threshold_otsu

from experiments.common import thresholds
from fscs import metrics
from fscs.segmentation.folds import make_folds
from fscs.segmentation.pixel_forest import NUM_TREES, Predict, forest


def otsu(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Predict:
  """Otsu's threshold of every image by itself; bright or dark, what fits the annotated images."""

  def bright(image: np.ndarray) -> np.ndarray:
    return (image > threshold_otsu(image)).astype(np.float32)

  def dark(image: np.ndarray) -> np.ndarray:
    return 1 - bright(image)

  def score(predict: Predict) -> float:
    pairs = zip(images, masks, strict=True)
    return float(np.mean([metrics.iou(predict(image) > 0.5, mask > 0) for image, mask in pairs]))

  return max((bright, dark), key=score)


def tuned_forest(images: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> Predict:
  """The forest with log-odds moved so that 0.5 is the threshold of highest mean IoU.

  Forests of fewer trees are tried on annotated pixels that they have not seen; without foreground
  among them nothing is moved.
  """
  learn = functools.partial(forest, num_trees=NUM_TREES // 4)
  threshold = thresholds.best(*held_out(learn, images, masks))
  return thresholds.moved(forest(images, masks), threshold)


def held_out(
  learn: Callable[..., Predict], images: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
  """Predictions of pieces of the annotated images, learned from all other folds; their masks.

  Args:
    learn: from images and masks of foreground to a function from an image to probabilities.
    images: (H, W) uint8 each.
    masks: (H, W) alike; above 0 is foreground.
  """
  folds = make_folds(masks)
  cut = lambda arrays, pieces: [arrays[p.image][p.rows, p.columns] for p in pieces]  # noqa: E731
  found = []
  for fold in folds:
    known = [piece for other in folds if other is not fold for piece in other]
    predict = learn(cut(images, known), [mask > 0 for mask in cut(masks, known)])
    found += [predict(image) for image in cut(images, fold)]
  return found, cut(masks, list(itertools.chain(*folds)))


BASELINES = {'otsu': otsu, 'forest': forest, 'forest-tuned': tuned_forest}
