"""Annotated images of one kind: as they are on disk, and as training sees them."""

from typing import NamedTuple

import numpy as np


class ImageSet(NamedTuple):
  """Annotated images of one kind, as they are on disk."""

  code: str  # 'B5', 'B39', 'ssTEM', 'EM', 'TNBC', or the name of another data set
  images: tuple[np.ndarray, ...]  # (H, W) or (H, W, 3) each, uint8 or uint16
  masks: tuple[np.ndarray, ...]  # (H, W) bool each, True is foreground
  names: tuple[str, ...]  # file names of the images, unique
  labels: tuple[np.ndarray, ...] | None = None  # (H, W) int32 each, one value per object


class GreySet(NamedTuple):
  """Annotated images of one kind and size in 8-bit grey values."""

  code: str
  images: np.ndarray  # (N, H, W) uint8
  masks: np.ndarray  # (N, H, W) uint8 in {0, 1}
  names: tuple[str, ...]
