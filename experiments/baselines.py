"""What a user would try without a network: a threshold, and a forest on hand-made features.

Both learn from K annotated grey images and give a function from an image (H, W) uint8 to the
probability of foreground (H, W) float32; the forest is `fscs.pixel_forest`.
"""

from collections.abc import Sequence

import numpy as np
from skimage.filters import threshold_otsu

from fscs import metrics
from fscs.pixel_forest import Predict, forest


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


BASELINES = {'otsu': otsu, 'forest': forest}
