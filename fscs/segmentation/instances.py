"""From foreground probability to labelled objects.

Pixels above a high threshold are split by the watershed of their distance transform. These seeds
grow into the foreground, the pixels above a lower threshold, in the order of their probability.

Probabilities are (H, W) float32 in [0, 1]; labels are (H, W) int32, 0 is background.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.measure import label
from skimage.segmentation import watershed

from fscs.data.scaling import object_diameters, typical_diameter
from fscs.metrics.objects import average_precision
from fscs.metrics.pixels import iou
from fscs.progress import Progress, no_progress

# Candidates of `learn_watershed`: thresholds of foreground and seeds, and least distances between
# the centres of touching objects in units of the typical diameter (None: do not split).
THRESHOLDS = (0.35, 0.5, 0.65)
SEED_THRESHOLDS = (0.0, 0.65, 0.8)
RELATIVE_DISTANCES = (None, 0.25, 0.4, 0.6)
DEFAULT_RELATIVE_DISTANCE = 0.5
MIN_RELATIVE_AREA = 0.25  # objects below this share of a small annotated one are dropped


class Watershed(NamedTuple):
  """Parameters of the watershed; lengths and areas in pixels of the image."""

  threshold: float = 0.5  # on the foreground probability
  min_distance: float | None = None  # between the centres of objects; None: do not split
  min_area: int = 1
  seed_threshold: float = 0.0  # objects have a pixel above it; counts if above the other threshold


def resized(params: Watershed, factor: float) -> Watershed:
  """The same watershed for images that are resized by a factor."""
  distance = None if params.min_distance is None else params.min_distance * factor
  return params._replace(min_distance=distance, min_area=max(1, round(params.min_area * factor**2)))


def find_objects(probability: np.ndarray, params: Watershed) -> np.ndarray:
  """Labels 1 to n: holes are filled, touching objects split, small objects dropped.

  Args:
    probability: (H, W) in [0, 1].
    params: of the watershed.

  Returns:
    (H, W) int32.

  >>> find_objects(np.array([[0.9, 0.1, 0.8]]), Watershed())
  array([[1, 0, 2]], dtype=int32)
  """
  highest = max(params.threshold, params.seed_threshold)
  seeds = ndimage.binary_fill_holes(probability > highest)
  labels = label(seeds, connectivity=1)
  if params.min_distance is not None:
    labels = _split(seeds, labels, params.min_distance)
  if highest > params.threshold:
    foreground = ndimage.binary_fill_holes(probability > params.threshold)
    labels = watershed(-probability, labels, mask=foreground | seeds)
  areas = np.bincount(labels.ravel())
  kept = areas >= params.min_area
  kept[0] = False
  numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
  return numbers[labels]


def _split(mask: np.ndarray, regions: np.ndarray, min_distance: float) -> np.ndarray:
  depth = ndimage.distance_transform_edt(mask)
  depth = ndimage.gaussian_filter(depth, min_distance / 8)  # merges maxima of rough outlines
  centres = peak_local_max(
    depth, min_distance=max(1, round(min_distance)), labels=regions, exclude_border=False
  )
  markers = np.zeros(mask.shape, np.int32)
  markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
  return watershed(-depth, markers, mask=mask)


def unsplit_watershed(labels: Sequence[np.ndarray]) -> Watershed:
  """Connected components as objects, for masks that do not tell touching objects apart."""
  return Watershed(min_area=_smallest_area(labels))


def default_watershed(labels: Sequence[np.ndarray]) -> Watershed:
  """Parameters from the size of the annotated objects alone.

  Args:
    labels: (H, W) each; without any object nothing is split.
  """
  if not any(image.any() for image in labels):
    return Watershed()
  distance = DEFAULT_RELATIVE_DISTANCE * typical_diameter(labels)
  return unsplit_watershed(labels)._replace(min_distance=distance)


def learn_watershed(
  probabilities: Sequence[np.ndarray],
  labels: Sequence[np.ndarray],
  diameter: float,
  progress: Progress = no_progress,
) -> Watershed:
  """The parameters that fit annotated objects best.

  The threshold of the foreground has the highest mean IoU of pixels. That of the seeds and the
  distance then have the highest mean average precision (IoU 0.5 to 0.95).

  Args:
    probabilities: (H, W) each, of images that the network was not trained on.
    labels: (H, W) each, their annotated objects.
    diameter: typical diameter of the objects in pixels.
    progress: shows the candidates that were tried.
  """
  min_area = _smallest_area(labels)

  def pixel_iou(threshold: float) -> float:
    pairs = zip(probabilities, labels, strict=True)
    return float(np.mean([iou(found > threshold, truth > 0) for found, truth in pairs]))

  threshold = max(THRESHOLDS, key=pixel_iou)
  seeds = [seed for seed in SEED_THRESHOLDS if seed == 0 or seed > threshold]
  candidates = [
    Watershed(threshold, None if distance is None else distance * diameter, min_area, seed)
    for seed, distance in itertools.product(seeds, RELATIVE_DISTANCES)
  ]

  def score(params: Watershed) -> float:
    pairs = zip(probabilities, labels, strict=True)
    scores = [average_precision(find_objects(found, params), truth) for found, truth in pairs]
    return float(np.mean(scores))

  with progress('learning to split touching objects', len(candidates)) as advance:
    scores = []
    for candidate in candidates:
      scores.append(score(candidate))
      advance()
  return candidates[int(np.argmax(scores))]


def _smallest_area(labels: Sequence[np.ndarray]) -> int:
  """A share of the area at the 5th percentile of the annotated objects, in pixels."""
  diameters = np.concatenate([object_diameters(image) for image in labels])
  area = np.pi / 4 * np.quantile(diameters, 0.05) ** 2
  return max(1, round(MIN_RELATIVE_AREA * area))
