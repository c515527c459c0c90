"""The fully convolutional regression network of the paper."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fscs.models.convolution import Lowering
from fscs.models.layers import BatchNorm, Convolution, Precision, TransposedConvolution, max_pool


class FCRN(nn.Module):
  """Encoder of three pooled blocks, a wide bottleneck, decoder of three transposed convolutions.

  `apply({'params': params}, images)` takes (B, H, W, 1) images, H and W multiples of 8, and returns
  logits (B, H, W, 1) and the bottleneck's features (B, H / 8, W / 8, widths[3]).

  Attributes:
    widths: channels of the three blocks and of the bottleneck.
    affine: whether batch norms have a scale and a bias: no in meta-training, yes in fine-tuning.
    kernel_init: 'normal' for the paper's N(0, 1), or 'he'.
    norm_scale: initial scale of affine batch norms.
    lowering: implementation of 3x3 convolutions; see `fscs.models.convolution`.
    precision: 'float32' or 'bfloat16', of convolutions and activations. Parameters, statistics,
      logits and returned features are always float32.

  References:
    Dawoud et al., ECML-PKDD 2020, section 4; Xie, Noble and Zisserman, CMBBE 2018 (FCRN).
  """

  widths: tuple[int, int, int, int] = (32, 64, 128, 512)
  affine: bool = False
  kernel_init: str = 'normal'
  norm_scale: float = 0.1
  lowering: Lowering = 'auto'
  precision: Precision = 'float32'

  stride = 8
  receptive_radius = 24  # largest distance in pixels to a pixel that a logit depends on

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    def convolution(index: int, features: int, use_bias: bool = False) -> Convolution:
      options = (self.kernel_init, self.lowering, self.precision)
      return Convolution(features, use_bias, *options, name=f'conv{index}')

    def activate(index: int, x: jax.Array) -> jax.Array:
      return nn.relu(BatchNorm(self.affine, self.norm_scale, name=f'norm{index}')(x))

    x = images
    for index, width in enumerate(self.widths[:3], start=1):
      x = max_pool(activate(index, convolution(index, width)(x)))
    features = x = activate(4, convolution(4, self.widths[3])(x))
    for index, width in enumerate(reversed(self.widths[:3]), start=5):
      upsample = TransposedConvolution(width, self.kernel_init, self.precision, name=f'conv{index}')
      x = activate(index, upsample(x))
    logits = convolution(8, 1, use_bias=True)(x)
    return logits.astype(jnp.float32), features.astype(jnp.float32)
