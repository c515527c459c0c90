"""Domain-shift warnings: images that are unlike those a segmenter was fine-tuned on."""

from collections.abc import Sequence

import numpy as np

from fscs.data.intensity import stretch
from fscs.segmentation.segmenter import Segmenter

TOLERANCE = 2.0  # in units of the range of the annotated images


def domain_shift_warnings(
  segmenter: Segmenter, grey: np.ndarray, diameters: Sequence[float]
) -> list[str]:
  """What is unusual about an image and the objects found in it, a phrase each.

  Args:
    segmenter: made the prediction.
    grey: (h, w) grey values of the image, or of evenly spaced pixels of it.
    diameters: of the objects found, in pixels; see `fscs.data.scaling.object_diameters`.

  Returns:
    An empty list if nothing is unusual.
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
    room = (TOLERANCE - 1) * max(high - low, 0.25 * high)
    if not low - room <= value <= high + room:
      found.append(f'{name} {value:.0f}, annotated images had {low:.0f} to {high:.0f}')
  if not len(diameters):
    return [*found, 'no objects were found']
  smallest, _, largest = support.diameters
  typical = float(np.median(diameters))
  if not smallest / TOLERANCE <= typical <= largest * TOLERANCE:
    found.append(
      f'objects {typical:.0f} pixels wide, annotated ones were {smallest:.0f} to {largest:.0f}'
    )
  return found
