"""From foreground probability to labelled objects, by the watershed of the distance transform.

Probabilities are (H, W) float32 in [0, 1], labels (H, W) int32 with 0 for background.
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
from fscs.metrics import objects as instances

# What is tried where annotated objects tell: thresholds, and distances between the centres of
# touching objects as shares of the typical diameter (None: connected regions are objects).
THRESHOLDS = (0.35, 0.5, 0.65)
DISTANCES = (None, 0.25, 0.4, 0.6)
USUAL_DISTANCE = 0.5  # alike, where nothing tells
SMALLEST_SHARE = 0.25  # an object below this share of a small annotated one's area is dropped


class Splitting(NamedTuple):
  """How objects are found; lengths and areas in pixels."""

  threshold: float = 0.5
  distance: float | None = None  # least distance of two objects' centres; None: do not split
  min_area: int = 1


def find_objects(probability: np.ndarray, splitting: Splitting) -> np.ndarray:
  """Labels 1 to n of the objects: holes filled, small ones dropped, touching ones split."""
  mask = ndimage.binary_fill_holes(probability > splitting.threshold)
  labels = label(mask, connectivity=1)
  if splitting.distance is not None:
    labels = _split(mask, labels, splitting.distance)
  areas = np.bincount(labels.ravel())
  kept = areas >= splitting.min_area
  kept[0] = False
  numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
  return numbers[labels]


def _split(mask: np.ndarray, regions: np.ndarray, distance: float) -> np.ndarray:
  depth = ndimage.distance_transform_edt(mask)
  depth = ndimage.gaussian_filter(depth, distance / 8)  # plateaus and rough edges make no centres
  centres = peak_local_max(
    depth, min_distance=max(1, round(distance)), labels=regions, exclude_border=False
  )
  markers = np.zeros(mask.shape, np.int32)
  markers[tuple(centres.T)] = np.arange(1, len(centres) + 1)
  return watershed(-depth, markers, mask=mask)


def whole_regions(labels: Sequence[np.ndarray]) -> Splitting:
  """What to do where masks say nothing about touching objects: connected regions are objects."""
  return Splitting(min_area=_smallest_area(labels))


def usual_splitting(labels: Sequence[np.ndarray]) -> Splitting:
  """How to split touching objects where nothing has been tried; not at all without annotated ones.

  Args:
    labels: of the annotated images, (H, W) each.
  """
  if not any(image.any() for image in labels):
    return Splitting()
  return whole_regions(labels)._replace(distance=USUAL_DISTANCE * typical_diameter(labels))


def learn_splitting(
  probabilities: Sequence[np.ndarray], labels: Sequence[np.ndarray], diameter: float
) -> Splitting:
  """The splitting of highest mean average precision (IoU 0.5 to 0.95) on annotated objects.

  Args:
    probabilities: predictions of images that the network has not learned from.
    labels: their annotated objects.
    diameter: typical diameter of the objects, in pixels.
  """
  min_area = _smallest_area(labels)
  choices = [
    Splitting(threshold, None if share is None else share * diameter, min_area)
    for threshold, share in itertools.product(THRESHOLDS, DISTANCES)
  ]

  def score(splitting: Splitting) -> float:
    pairs = zip(probabilities, labels, strict=True)
    return float(
      np.mean([instances.average_precision(find_objects(p, splitting), t) for p, t in pairs])
    )

  return max(choices, key=score)


def _smallest_area(labels: Sequence[np.ndarray]) -> int:
  """A share of the area that one annotated object in twenty falls short of, in pixels."""
  diameters = np.concatenate([object_diameters(image) for image in labels])
  area = np.pi / 4 * np.quantile(diameters, 0.05) ** 2
  return max(1, round(SMALLEST_SHARE * area))
