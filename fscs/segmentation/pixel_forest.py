"""A random forest on intensity, edges and texture of a pixel's surroundings."""

from collections.abc import Callable, Sequence

import numpy as np
from skimage.feature import multiscale_basic_features

Predict = Callable[[np.ndarray], np.ndarray]  # (H, W) uint8 to (H, W) float32 probabilities

NUM_TREES = 100
MAX_PIXELS = 100_000  # that a forest learns from
SIGMAS = (1.0, 16.0)  # smallest and largest scale of the features in pixels


def forest(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  *,
  seed: int = 0,
  num_trees: int = NUM_TREES,
) -> Predict:
  """A function from an image to the probability of foreground of every pixel.

  Args:
    images: (H, W) uint8 each.
    masks: (H, W) each; above 0 is foreground.
    seed: of the trees, and of the pixels if there are more than `MAX_PIXELS`.
    num_trees: size of the forest.
  """
  from sklearn.ensemble import RandomForestClassifier  # takes a second to import

  features = np.concatenate([_features(image) for image in images])
  truth = np.concatenate([np.ravel(mask) > 0 for mask in masks])
  chosen = np.random.default_rng(seed).permutation(len(truth))[:MAX_PIXELS]
  classifier = RandomForestClassifier(num_trees, min_samples_leaf=5, n_jobs=-1, random_state=seed)
  classifier.fit(features[chosen], truth[chosen])
  classes = list(classifier.classes_)

  def predict(image: np.ndarray) -> np.ndarray:
    if True not in classes:
      return np.zeros(image.shape, np.float32)
    probability = classifier.predict_proba(_features(image))[:, classes.index(True)]
    return probability.astype(np.float32).reshape(image.shape)

  return predict


def _features(image: np.ndarray) -> np.ndarray:
  """(pixels, F): smoothed intensity, gradient magnitude, eigenvalues of the Hessian."""
  low, high = SIGMAS
  features = multiscale_basic_features(image, sigma_min=low, sigma_max=high)
  return features.astype(np.float32).reshape(image.size, -1)
