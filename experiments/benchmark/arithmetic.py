"""Multiplications and additions of the networks' convolutions, counted layer by layer."""

# One layer each: level, kernel positions, channels in, channels out. Level n has 1 / 4**n of the
# pixels of the image.
_FCRN = (
  (0, 9, 1, 32),
  (1, 9, 32, 64),
  (2, 9, 64, 128),
  (3, 9, 128, 512),
  (3, 4, 512, 128),  # transposed: every input pixel is multiplied by all four kernel positions
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
  """Floating-point operations of one forward pass, two per multiply-add."""
  layers = _LAYERS[arch][: _ENCODER[arch]] if encoder_only else _LAYERS[arch]
  per_pixel = sum(k * c_in * c_out / 4**level for level, k, c_in, c_out in layers)
  return 2 * per_pixel * pixels


def inner_step(arch: str, objective: str, pixels: float) -> float:
  """Operations of one inner step: forward pass, gradients of inputs, gradients of kernels.

  The gradient of the images is not needed and not counted.
  """
  gradient_of_images = 2 * 9 * 32 * pixels
  whole = 3 * forward(arch, pixels) - gradient_of_images
  encoder = 3 * forward(arch, pixels, encoder_only=True) - gradient_of_images
  operations = whole
  if objective in ('bce_entropy', 'combined'):
    operations += whole
  if objective in ('bce_distillation', 'combined'):
    operations += encoder
  return operations
