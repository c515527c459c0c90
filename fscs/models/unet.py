"""The U-Net of the paper: two levels, bilinear up-sampling."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fscs.models.convolution import Lowering
from fscs.models.layers import (
  BatchNorm,
  Convolution,
  Precision,
  kernel_initialiser,
  max_pool,
  upsample_aligned,
)


class DoubleConvolution(nn.Module):
  """Twice [3x3 convolution with bias, batch norm, ReLU]: (B, H, W, C) to (B, H, W, features).

  Takes one or more images, whose channels count as if they were concatenated.
  """

  features: int
  affine: bool = False
  kernel_init: str = 'normal'
  norm_scale: float = 0.1
  lowering: Lowering = 'auto'
  precision: Precision = 'float32'

  @nn.compact
  def __call__(self, *images: jax.Array) -> jax.Array:
    for index in (1, 2):
      options = (self.kernel_init, self.lowering, self.precision)
      convolution = Convolution(self.features, True, *options, name=f'conv{index}')
      norm = BatchNorm(self.affine, self.norm_scale, name=f'norm{index}')
      images = (nn.relu(norm(convolution(*images))),)
    return images[0]


class UNet(nn.Module):
  """Two pooled double convolutions, a third as bottleneck, and back up with skip connections.

  `apply({'params': params}, images)` takes (B, H, W, 1) images, H and W multiples of 4, and returns
  logits (B, H, W, 1) and the third block's features (B, H / 4, W / 4, widths[2]).

  Attributes: as `FCRN`; widths has the channels of the three levels.

  References:
    Ronneberger et al., MICCAI 2015; Dawoud et al., ECML-PKDD 2020, section 4.
  """

  widths: tuple[int, int, int] = (32, 64, 128)
  affine: bool = False
  kernel_init: str = 'normal'
  norm_scale: float = 0.1
  lowering: Lowering = 'auto'
  precision: Precision = 'float32'

  stride = 4

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    def block(name: str, features: int, *images: jax.Array) -> jax.Array:
      options = (self.affine, self.kernel_init, self.norm_scale, self.lowering, self.precision)
      return DoubleConvolution(features, *options, name=name)(*images)

    first = block('down1', self.widths[0], images)
    second = block('down2', self.widths[1], max_pool(first))
    features = x = block('down3', self.widths[2], max_pool(second))
    x = block('up2', self.widths[1], upsample_aligned(x), second)
    x = block('up1', self.widths[0], upsample_aligned(x), first)
    logits = Pointwise(self.kernel_init, name='conv_last')(x.astype(jnp.float32))
    return logits, features.astype(jnp.float32)


class Pointwise(nn.Module):
  """1x1 convolution with bias to one map: (B, H, W, C) to (B, H, W, 1)."""

  kernel_init: str = 'normal'

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (1, 1, x.shape[-1], 1)
    kernel = self.param('kernel', kernel_initialiser(self.kernel_init), shape)
    return x @ kernel[0, 0] + self.param('bias', nn.initializers.zeros, (1,))
