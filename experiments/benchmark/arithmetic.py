"""Multiplications and additions of the networks' convolutions, counted layer by layer."""

# (level of the pixels that the kernel is applied at, kernel positions, channels in, channels out);
# a level has a quarter of the pixels of the one above it
_FCRN = (
  (0, 9, 1, 32),
  (1, 9, 32, 64),
  (2, 9, 64, 128),
  (3, 9, 128, 512),
  (3, 4, 512, 128),  # transposed: every input pixel meets the four positions of the kernel
  (2, 4, 128, 64),
  (1, 4, 64, 32),
  (0, 9, 32, 1),
)
_UNET = (
  (0, 9, 1, 32),
  (0, 9, 32, 32),
  (1, 9, 32, 64),
  (1, 9, 64, 64),
  (2, 9, 64, 128),
  (2, 9, 128, 128),
  (1, 9, 192, 64),
  (1, 9, 64, 64),
  (0, 9, 96, 32),
  (0, 9, 32, 32),
  (0, 1, 32, 1),
)
_LAYERS = {'fcrn': _FCRN, 'unet': _UNET}
_ENCODER = {'fcrn': 4, 'unet': 6}  # layers up to the features


def forward(arch: str, pixels: float, *, encoder_only: bool = False) -> float:
  """Floating-point operations of one pass over so many pixels, two per multiply-add."""
  layers = _LAYERS[arch][: _ENCODER[arch]] if encoder_only else _LAYERS[arch]
  per_pixel = sum(k * c_in * c_out / 4**level for level, k, c_in, c_out in layers)
  return 2 * per_pixel * pixels


def inner_step(arch: str, objective: str, pixels: float) -> float:
  """Operations of one inner step: forward, gradient of inputs and gradient of kernels.

  The input gradient of the first layer is not needed and not counted.
  """
  passes = [False]
  passes += [False] * (objective in ('bce_entropy', 'combined'))
  passes += [True] * (objective in ('bce_distillation', 'combined'))
  first = 2 * 9 * 32 * pixels
  return sum(3 * forward(arch, pixels, encoder_only=only) - first for only in passes)
