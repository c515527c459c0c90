"""A random forest over grey values, edges and texture of a pixel's surroundings.

It learns in seconds from few annotated images, knows no shapes, and errs elsewhere than a network:
mixed in, it steadies what the network makes of images unlike the annotated ones. How far it is to
be trusted is seen on halves of the annotated images that it has not learned from.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, logit
from skimage.feature import multiscale_basic_features

Predict = Callable[[np.ndarray], np.ndarray]  # (H, W) uint8 to (H, W) float32 probabilities

NUM_TREES = 100
MAX_PIXELS = 100_000  # that a forest learns from
SIGMAS = (1.0, 16.0)  # smallest and largest scale of the features, in pixels
TRUSTED_FROM, TRUSTED_AT = 0.35, 0.65  # held-out IoU at which trust begins and is full
LEAST_PROBABILITY = 1e-3  # and most below 1: what either of two that are mixed may say


def forest(
  images: Sequence[np.ndarray],
  masks: Sequence[np.ndarray],
  *,
  seed: int = 0,
  num_trees: int = NUM_TREES,
) -> Predict:
  """A function from an image to probabilities of foreground, pixel by pixel.

  Args:
    images: (H, W) uint8 each.
    masks: (H, W) alike; above 0 is foreground.
    seed: of the trees, and of which pixels are learned from if there are many.
    num_trees: how many there are.
  """
  features = np.concatenate([_features(image).reshape(image.size, -1) for image in images])
  truth = np.concatenate([np.ravel(mask) > 0 for mask in masks])
  probability = _grow(features, truth, num_trees, seed)
  return lambda image: probability(_features(image).reshape(image.size, -1)).reshape(image.shape)


def held_out_iou(
  images: Sequence[np.ndarray], masks: Sequence[np.ndarray], *, seed: int = 0
) -> float:
  """IoU over all pixels of forests of fewer trees, on halves of the images that they have not seen.

  The halves are upper and lower, and features of pixels near the cut look across it; arguments are
  those of `forest`.
  """
  features = _halves([_features(image) for image in images])
  truth = _halves([mask > 0 for mask in masks])
  intersection = union = 0
  for known, held_out in ((0, 1), (1, 0)):
    probability = _grow(features[known], truth[known], NUM_TREES // 4, seed)
    found = probability(features[held_out]) > 0.5
    intersection += np.count_nonzero(found & truth[held_out])
    union += np.count_nonzero(found | truth[held_out])
  return float(intersection / union) if union else 1.0


def trust(iou: float) -> float:
  """From 0 to 1, by the IoU on what a forest has not seen: one that misses most of it misleads."""
  return float(np.clip((iou - TRUSTED_FROM) / (TRUSTED_AT - TRUSTED_FROM), 0, 1))


def _halves(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """The pixels (N, ...) of the upper and of the lower halves of arrays (H, W, ...)."""
  halves = zip(*(np.array_split(array, 2) for array in arrays), strict=True)
  upper, lower = (
    np.concatenate([part.reshape(-1, *part.shape[2:]) for part in half]) for half in halves
  )
  return upper, lower


def _grow(
  features: np.ndarray, truth: np.ndarray, num_trees: int, seed: int
) -> Callable[[np.ndarray], np.ndarray]:
  """A function from features (N, F) to probabilities (N,), learned from such and their truth."""
  from sklearn.ensemble import RandomForestClassifier  # here, since it takes a second to import

  chosen = np.random.default_rng(seed).permutation(len(truth))[:MAX_PIXELS]
  classifier = RandomForestClassifier(num_trees, min_samples_leaf=5, n_jobs=-1, random_state=seed)
  classifier.fit(features[chosen], truth[chosen])
  classes = list(classifier.classes_)

  def probability(features: np.ndarray) -> np.ndarray:
    if True not in classes:
      return np.zeros(len(features), np.float32)
    return classifier.predict_proba(features)[:, classes.index(True)].astype(np.float32)

  return probability


def mix(probability: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
  """Probabilities whose log-odds are a mean of those of two, `share` of it the other's."""
  bounds = (LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
  odds, others = (logit(np.clip(p, *bounds, dtype=np.float32)) for p in (probability, other))
  return expit((1 - share) * odds + share * others)


def _features(image: np.ndarray) -> np.ndarray:
  """(H, W, F): smoothed intensity, its gradient, and the eigenvalues of its Hessian."""
  low, high = SIGMAS
  return multiscale_basic_features(image, sigma_min=low, sigma_max=high).astype(np.float32)
