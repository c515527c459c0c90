"""Values that pass between the modules of fscs.

Arrays are NHWC. Images on the device are float32, normalised to [-1, 1]; masks are 0 or 1.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
import optax

Params = Any  # a pytree of float32 arrays: nested dictionaries, as Flax Linen makes them


class ImageSet(NamedTuple):
  """Annotated images of one kind, as they are on disk."""

  code: str  # 'B5', 'B39', 'ssTEM', 'EM', 'TNBC' or a name of the user's
  images: tuple[np.ndarray, ...]  # each (H, W) or (H, W, 3), uint8 or uint16, own bit depth
  masks: tuple[np.ndarray, ...]  # each (H, W) bool, True is foreground
  names: tuple[str, ...]  # original file names of the images, unique
  labels: tuple[np.ndarray, ...] | None = None  # each (H, W) int32, 0 is background


class Episode(NamedTuple):
  """What one task of the inner loop sees; B crops of H x W pixels in every field."""

  images: jax.Array  # (B, H, W, 1) float32: the task's own crops
  masks: jax.Array  # (B, H, W, 1) float32 in {0, 1}
  distillation_images: jax.Array  # (B, H, W, 1) float32: S_p, another source, for L_D
  entropy_images: jax.Array  # (B, H, W, 1) float32: S_n, another source, for L_ER


class MetaState(NamedTuple):
  """Everything that the outer loop carries from one meta-epoch to the next."""

  step: jax.Array  # () int32: meta-epochs done
  params: Params  # the meta-initialisation
  opt_state: optax.OptState  # of the outer optimizer
