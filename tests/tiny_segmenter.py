"""A segmenter with random parameters, for what does not depend on how good it is."""

import dataclasses

import jax
import numpy as np

from fscs.models import init_params, make_model
from fscs.segmentation.instances import Splitting
from fscs.segmentation.segmenter import Segmenter, Support, statistics_of

WIDTHS = {'fcrn': (4, 4, 8, 8), 'unet': (4, 4, 8), 'deep_unet': (4, 4, 4, 8)}


def tiny_segmenter(architecture='fcrn', *, keep_statistics=True) -> Segmenter:
  widths = WIDTHS[architecture]
  model = make_model(architecture, widths=widths, kernel_init='he', affine=True, norm_scale=1.0)
  segmenter = Segmenter(
    architecture=architecture,
    widths=widths,
    params=init_params(model, jax.random.key(3)),
    statistics=None,
    scale=1.0,
    channel=None,
    splitting=Splitting(min_area=4),
    support=Support((1.0, 8.0, 40.0), (0.0, 120.0, 255.0), (1.0, 60.0, 120.0)),
  )
  if not keep_statistics:
    return segmenter
  noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64)).astype(np.uint8)
  return dataclasses.replace(segmenter, statistics=statistics_of(segmenter, noise))
