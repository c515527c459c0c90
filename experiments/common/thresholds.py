"""The probability above which a pixel is foreground, chosen on annotated pixels."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit

from fscs import metrics
from fscs.segmentation.pixel_forest import LEAST_PROBABILITY, Predict

# That are tried; of equally good ones the first, which is nearer to the middle.
THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.75, 0.2, 0.8, 0.15, 0.1)
WIDE = (*THRESHOLDS, 0.85, 0.9, 0.05, 0.95, 0.02, 0.98, 0.01, 0.99)  # of what may be far off


def best(
  found: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  thresholds: Sequence[float] = THRESHOLDS,
) -> float:
  """The threshold of highest mean IoU over the images with foreground; 0.5 if there are none.

  Args:
    found: (H, W) probabilities each.
    masks: (H, W) alike; above 0 is foreground.
    thresholds: that are tried; of equally good ones the first is taken.
  """
  pairs = [(p, mask > 0) for p, mask in zip(found, masks, strict=True) if np.any(mask)]
  score = lambda threshold: sum(metrics.iou(p > threshold, mask) for p, mask in pairs)  # noqa: E731
  return max(thresholds, key=score) if pairs else 0.5


def moved(predict: Predict, threshold: float) -> Predict:
  """What predicts alike, with log-odds moved so that a probability of `threshold` becomes 0.5."""

  def predict_moved(images: np.ndarray) -> np.ndarray:
    odds = logit(np.clip(predict(images), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))
    return expit(odds - logit(threshold)).astype(np.float32)

  return predict_moved
