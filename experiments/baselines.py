"""What a user would try without a network: a threshold, and a forest on hand-made features.

Both learn from K annotated grey images and give a function from an image (H, W) uint8 to the
probability of foreground (H, W) float32.
"""

from collections.abc import Callable, Sequence

import numpy as np
from skimage.feature import multiscale_basic_features
from skimage.filters import threshold_otsu

from fscs import metrics
from fscs.errors import InputError

Predict = Callable[[np.ndarray], np.ndarray]

NUM_TREES = 100
MAX_PIXELS = 100_000  # that a forest learns from
SIGMAS = (1.0, 16.0)  # smallest and largest scale of the features, in pixels


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


def forest(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], *, seed: int = 0) -> Predict:
  """A random forest over intensity, edges and texture at several scales, pixel by pixel.

  Raises:
    InputError: scikit-learn is not installed.
  """
  try:
    from sklearn.ensemble import RandomForestClassifier
  except ImportError as error:
    raise InputError("the random forest needs scikit-learn: pip install 'fscs[study]'") from error
  features = np.concatenate([_features(image).reshape(image.size, -1) for image in images])
  truth = np.concatenate([np.ravel(mask) > 0 for mask in masks])
  chosen = np.random.default_rng(seed).permutation(len(truth))[:MAX_PIXELS]
  classifier = RandomForestClassifier(NUM_TREES, min_samples_leaf=5, n_jobs=-1, random_state=seed)
  classifier.fit(features[chosen], truth[chosen])

  def predict(image: np.ndarray) -> np.ndarray:
    found = classifier.predict_proba(_features(image).reshape(image.size, -1))
    foreground = list(classifier.classes_).index(True) if True in classifier.classes_ else None
    probability = np.zeros(image.size) if foreground is None else found[:, foreground]
    return probability.reshape(image.shape).astype(np.float32)

  return predict


def _features(image: np.ndarray) -> np.ndarray:
  """(H, W, F): smoothed intensity, its gradient, and the eigenvalues of its Hessian."""
  low, high = SIGMAS
  return multiscale_basic_features(image, sigma_min=low, sigma_max=high).astype(np.float32)
