"""Seeded parameters, images and masks that the golden values were computed from.

NumPy alone, so that the tests can draw the very same inputs without PyTorch and only outputs are
stored. `RandomState` is used because its streams are frozen. Everything is drawn in float64 and
rounded to float32 once, here: both sides start from identical numbers. Parameters have the
names and layouts of the authors' state dicts; images are NHWC.
"""

from typing import Literal

import numpy as np

Architecture = Literal['fcrn', 'unet']
StateDict = dict[str, np.ndarray]

FULL_WIDTHS = {'fcrn': (32, 64, 128, 512), 'unet': (32, 64, 128)}
NARROW_WIDTHS = {'fcrn': (4, 8, 16, 32), 'unet': (4, 8, 16)}
OBJECTIVES = ('bce', 'bce_entropy', 'bce_distillation', 'combined')
ALPHA, BETA = 0.01, 0.01
INNER_LR, WEIGHT_DECAY, NUM_INNER_STEPS = 1e-3, 5e-4, 20
META_LRS = (1.0, 0.5)
FULL_SEED, NARROW_SEED, FORWARD_SEED, EPISODE_SEEDS = 11, 14, 20, (30, 40)
# (affine, rows, columns): with and without batch-norm scales and biases, as in fine-tuning and in
# meta-training; square, and such that rows cannot be taken for columns.
FORWARD_CASES = ((False, 32, 32), (True, 16, 24))
# Each architecture once, and both kinds of normalisation: every case is a compilation.
GRADIENT_AFFINE = {'fcrn': True, 'unet': False}


def parameter_shapes(
  architecture: Architecture, widths: tuple[int, ...], affine: bool
) -> dict[str, tuple[int, ...]]:
  """Names and shapes of a state dict, in the order of the layers."""
  shapes: dict[str, tuple[int, ...]] = {}

  def norm(name, channels):
    if affine:
      shapes[f'{name}.weight'] = (channels,)
      shapes[f'{name}.bias'] = (channels,)

  if architecture == 'fcrn':
    w1, w2, w3, w4 = widths
    for i, (c_in, c_out) in enumerate(((1, w1), (w1, w2), (w2, w3), (w3, w4)), start=1):
      shapes[f'conv{i}.0.weight'] = (c_out, c_in, 3, 3)
      norm(f'conv{i}.1', c_out)
    for i, (c_in, c_out) in enumerate(((w4, w3), (w3, w2), (w2, w1)), start=5):
      shapes[f'conv{i}.0.weight'] = (c_in, c_out, 2, 2)
      norm(f'conv{i}.1', c_out)
    shapes['conv8.weight'], shapes['conv8.bias'] = (1, w1, 3, 3), (1,)
  else:
    w1, w2, w3 = widths
    blocks = {
      'dconv_down1': (1, w1),
      'dconv_down2': (w1, w2),
      'dconv_down3': (w2, w3),
      'dconv_up2': (w3 + w2, w2),
      'dconv_up1': (w2 + w1, w1),
    }
    for name, (c_in, c_out) in blocks.items():
      for position, channels in ((0, c_in), (3, c_out)):
        shapes[f'{name}.{position}.weight'] = (c_out, channels, 3, 3)
        shapes[f'{name}.{position}.bias'] = (c_out,)
        norm(f'{name}.{position + 1}', c_out)
    shapes['conv_last.weight'], shapes['conv_last.bias'] = (1, w1, 1, 1), (1,)
  return shapes


def draw_state_dict(
  architecture: Architecture, widths: tuple[int, ...], *, affine: bool, seed: int
) -> StateDict:
  """Kernels ~ N(0, 1) as in the reference; biases, scales and offsets small, none of them zero.

  Non-zero biases, and scales that differ by channel, are what lets a test see them misplaced.
  """
  random = np.random.RandomState(seed)
  state = {}
  for name, shape in parameter_shapes(architecture, widths, affine).items():
    value = random.standard_normal(shape)
    if len(shape) == 1:
      value *= 0.05
    if len(shape) == 1 and name.endswith('.weight'):
      value += 0.2
    state[name] = value.astype(np.float32)
  return state


def draw_images(seed: int, batch: int, height: int, width: int) -> np.ndarray:
  """(batch, height, width, 1) float32 in [-1, 1); continuous, so that max-pool has no ties."""
  random = np.random.RandomState(seed)
  return random.uniform(-1.0, 1.0, (batch, height, width, 1)).astype(np.float32)


def draw_masks(seed: int, batch: int, height: int, width: int) -> np.ndarray:
  """(batch, height, width, 1) float32 in {0, 1}; the share of foreground differs by image."""
  random = np.random.RandomState(seed)
  shares = np.linspace(0.05, 0.6, batch).reshape(batch, 1, 1, 1)
  return (random.uniform(size=(batch, height, width, 1)) < shares).astype(np.float32)


def draw_episode(seed: int, batch: int = 3, size: int = 32) -> dict[str, np.ndarray]:
  """The fields of `fscs.typing.Episode`, each (batch, size, size, 1) float32."""
  return {
    'images': draw_images(seed, batch, size, size),
    'masks': draw_masks(seed + 1, batch, size, size),
    'distillation_images': draw_images(seed + 2, batch, size, size),
    'entropy_images': draw_images(seed + 3, batch, size, size),
  }


def draw_loss_cases() -> dict[str, dict[str, np.ndarray]]:
  """Logits, masks and feature maps that are given to the losses directly.

  'ordinary': logits of a few units. 'large': logits up to some hundreds, where exp overflows
  in float32. 'degenerate': the first mask has no foreground, the second no background.
  """
  random = np.random.RandomState(70)
  shape = (3, 12, 20, 1)
  cases = {}
  for name, spread in (('ordinary', 2.0), ('large', 100.0), ('degenerate', 2.0)):
    masks = draw_masks(71, *shape[:3])
    if name == 'degenerate':
      masks[0], masks[1] = 0.0, 1.0
    cases[name] = {
      'logits': (spread * random.standard_normal(shape)).astype(np.float32),
      'masks': masks,
      'features': random.standard_normal((3, 4, 5, 16)).astype(np.float32),
      'other_features': random.standard_normal((3, 4, 5, 16)).astype(np.float32),
    }
  return cases


def flatten(state: StateDict) -> np.ndarray:
  """All entries of a state dict, one after another, as one vector."""
  return np.concatenate([np.ravel(value) for value in state.values()])


def unflatten(vector: np.ndarray, like: StateDict) -> StateDict:
  """Inverse of `flatten`; names, order and shapes are those of `like`."""
  ends = np.cumsum([value.size for value in like.values()])
  if vector.shape != (ends[-1],):
    raise ValueError(f'golden vector: found shape {vector.shape}, expected ({ends[-1]},)')
  parts = np.split(vector, ends[:-1])
  return {
    name: part.reshape(value.shape) for (name, value), part in zip(like.items(), parts, strict=True)
  }
