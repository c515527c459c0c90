"""Types that the packages share.

Arrays on the device are NHWC: images float32 in [-1, 1], masks float32 in {0, 1}.
"""

from typing import Any, NamedTuple

import jax
import optax

Params = Any  # nested dictionaries of float32 arrays, as Flax Linen makes them


class Episode(NamedTuple):
  """The crops of one task of the inner loop, B per field."""

  images: jax.Array  # (B, H, W, 1) float32: crops of the task's data set
  masks: jax.Array  # (B, H, W, 1) float32 in {0, 1}
  distillation_images: jax.Array  # (B, H, W, 1) float32: S_p, crops of another data set
  entropy_images: jax.Array  # (B, H, W, 1) float32: S_n, crops of another data set


class MetaState(NamedTuple):
  """The state of meta-training between meta-epochs."""

  step: jax.Array  # () int32: meta-epochs done
  params: Params  # the meta-initialisation
  opt_state: optax.OptState  # of the outer optimizer
