"""The U-Net of the paper and deeper ones, with bilinear up-sampling."""

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
  upsample,
  upsample_aligned,
)


class DoubleConvolution(nn.Module):
  """Two times 3x3 convolution with bias, batch norm, ReLU: (B, H, W, C) to (B, H, W, features).

  Several images are concatenated along channels.
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
  """Encoder of pooled double convolutions, bottleneck, and decoder with skip connections.

  `apply({'params': params}, images)` takes (B, H, W, 1) images, H and W multiples of `stride`, and
  returns logits (B, H, W, 1) and the features of the bottleneck, (B, H / stride, W / stride,
  widths[-1]).

  Attributes: as `FCRN`, except:
    widths: channels of the levels, three in the paper. One more level doubles the context.
    aligned: whether up-sampling aligns corners, as in the paper. It then depends on the size of the
      image; otherwise it does not.

  References:
    Ronneberger et al., MICCAI 2015; Dawoud et al., ECML-PKDD 2020, section 4.
  """

  widths: tuple[int, ...] = (32, 64, 128)
  affine: bool = False
  kernel_init: str = 'normal'
  norm_scale: float = 0.1
  lowering: Lowering = 'auto'
  precision: Precision = 'float32'
  aligned: bool = True

  @property
  def stride(self) -> int:
    """Sides of images must be multiples of it."""
    return 2 ** (len(self.widths) - 1)

  @property
  def receptive_radius(self) -> int:
    """Distance in pixels to the farthest pixel that a logit depends on."""
    return 2 ** (len(self.widths) + 2) - 6

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    def block(name: str, features: int, *images: jax.Array) -> jax.Array:
      options = (self.affine, self.kernel_init, self.norm_scale, self.lowering, self.precision)
      return DoubleConvolution(features, *options, name=name)(*images)

    *outer, bottleneck = self.widths
    x, skipped = images, []
    for level, width in enumerate(outer, start=1):
      skipped.append(block(f'down{level}', width, x))
      x = max_pool(skipped[-1])
    features = x = block(f'down{len(self.widths)}', bottleneck, x)
    for level, width in reversed(list(enumerate(outer, start=1))):
      enlarged = upsample_aligned(x) if self.aligned else upsample(x)
      x = block(f'up{level}', width, enlarged, skipped.pop())
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
