"""Whether an image is like those that a segmenter has learned from."""

from collections.abc import Sequence

import numpy as np

from fscs.data.scaling import stretch
from fscs.segmentation.segmenter import Segmenter

TOO_FAR = 2.0  # times the range of the annotated images


def doubts(segmenter: Segmenter, grey: np.ndarray, diameters: Sequence[float]) -> list[str]:
  """What is unusual about an image and the objects found in it, a phrase each; often nothing.

  Args:
    segmenter: has learned from some annotated images.
    grey: (h, w) grey values of the image, or of some of its pixels that are evenly spread.
    diameters: of the objects that the segmenter found there, in pixels; see `object_diameters`.
  """
  support = segmenter.support
  found = []
  stretched = stretch(grey)
  if not stretched.any():
    return ['all pixels have the same grey value']
  for name, value, (low, _, high) in (
    ('mean brightness', stretched.mean(), support.grey),
    ('contrast', stretched.std(), support.contrast),
  ):
    room = (TOO_FAR - 1) * max(high - low, 0.25 * high)
    if not low - room <= value <= high + room:
      found.append(f'{name} {value:.0f}, annotated images had {low:.0f} to {high:.0f}')
  if not len(diameters):
    return [*found, 'no objects were found']
  low, _, high = support.diameters
  typical = float(np.median(diameters))
  if not low / TOO_FAR <= typical <= high * TOO_FAR:
    found.append(f'objects {typical:.0f} pixels wide, annotated ones were {low:.0f} to {high:.0f}')
  return found
