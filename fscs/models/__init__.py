"""The two networks of the paper and a deeper U-Net, as Flax Linen modules.

`model.apply({'params': params}, images)` maps images (B, H, W, 1) to logits (B, H, W, 1) and the
features of the bottleneck. `fscs.meta` and `fscs.training` take any function of that form. For
`init_params` a network of your own needs the attributes `stride` (pixels of the image per pixel of
the coarsest level), `lowering` and `affine`, and `fscs.models.layers.BatchNorm`.
"""

from fscs.models.factory import (
  OUTPUT_LAYERS,
  Architecture,
  KernelInit,
  init_params,
  make_model,
  widths_of,
  with_affine_norms,
)
from fscs.models.fcrn import FCRN
from fscs.models.unet import UNet

__all__ = [
  'FCRN',
  'OUTPUT_LAYERS',
  'Architecture',
  'KernelInit',
  'UNet',
  'init_params',
  'make_model',
  'widths_of',
  'with_affine_norms',
]
