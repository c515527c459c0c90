"""Jobs, and inputs that are the same for fscs and PyTorch."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

NUM_CROPS = 5
INNER_LR, WEIGHT_DECAY, ALPHA, BETA = 1e-3, 5e-4, 0.01, 0.01
FOLDER_SHAPE = (520, 696)  # images of BBBC005 and BBBC039


def matrix_size(*, accelerator: bool) -> int:
  """Side of matrices that are large enough to reach the peak rate of the machine."""
  return 8192 if accelerator else 2048


class Job(NamedTuple):
  """Repeatable work with all inputs in memory."""

  run: Callable[[], float]  # does the work once; returns a number to compare, or NaN
  units: float  # steps, GFLOP or megapixels per run


def kernels(arch: str, *, affine: bool = False) -> dict[str, np.ndarray]:
  """A state dict in the names and layouts of the published code; kernels are N(0, 1)."""
  random = np.random.default_rng(0)
  return {
    name: random.standard_normal(shape, np.float32) if len(shape) == 4 else _vector(name, shape)
    for name, shape in _shapes(arch, affine).items()
  }


def _vector(name: str, shape: tuple[int, ...]) -> np.ndarray:
  scale = name.endswith('.weight')
  return np.full(shape, 0.1 if scale else 0.0, np.float32)


def _shapes(arch: str, affine: bool) -> dict[str, tuple[int, ...]]:
  shapes = {}

  def add(name: str, kernel: tuple[int, ...], bias: bool, norm: str | None, width: int) -> None:
    shapes[f'{name}.weight'] = kernel
    if bias:
      shapes[f'{name}.bias'] = (width,)
    if affine and norm:
      shapes[f'{norm}.weight'] = shapes[f'{norm}.bias'] = (width,)

  if arch == 'fcrn':
    for i, (c_in, c_out) in enumerate(((1, 32), (32, 64), (64, 128), (128, 512)), 1):
      add(f'conv{i}.0', (c_out, c_in, 3, 3), False, f'conv{i}.1', c_out)
    for i, (c_in, c_out) in enumerate(((512, 128), (128, 64), (64, 32)), 5):
      add(f'conv{i}.0', (c_in, c_out, 2, 2), False, f'conv{i}.1', c_out)
    add('conv8', (1, 32, 3, 3), True, None, 1)
    return shapes
  blocks = {'down1': (1, 32), 'down2': (32, 64), 'down3': (64, 128), 'up2': (192, 64)}
  for block, (c_in, c_out) in {**blocks, 'up1': (96, 32)}.items():
    for position, channels in ((0, c_in), (3, c_out)):
      layer = f'dconv_{block}'
      kernel = (c_out, channels, 3, 3)
      add(f'{layer}.{position}', kernel, True, f'{layer}.{position + 1}', c_out)
  add('conv_last', (1, 32, 1, 1), True, None, 1)
  return shapes


def images(seed: int, count: int, height: int, width: int) -> np.ndarray:
  """(count, height, width) uint8: noise on a ramp."""
  random = np.random.default_rng(seed)
  slope = np.linspace(60, 160, width)[None, None]
  return (slope + random.integers(0, 80, (count, height, width))).astype(np.uint8)


def masks(seed: int, count: int, height: int, width: int) -> np.ndarray:
  """(count, height, width) uint8 in {0, 1}: twelve disks per image, cut at the border."""
  random = np.random.default_rng(1000 + seed)
  rows, columns = np.mgrid[:height, :width]
  drawn = np.zeros((count, height, width), np.uint8)
  for image in drawn:
    for _ in range(12):
      row, column, radius = random.uniform((0, 0, 8), (height, width, 24))
      image |= ((rows - row) ** 2 + (columns - column) ** 2 < radius**2).astype(np.uint8)
  return drawn


def episode(seed: int, crop_size: int) -> dict[str, np.ndarray]:
  """The four fields of `fscs.typing.Episode`, each (NUM_CROPS, crop_size, crop_size) float32."""
  shape = (NUM_CROPS, crop_size, crop_size)
  drawn = [images(10 * seed + i, *shape).astype(np.float32) / 127.5 - 1 for i in range(3)]
  truth = masks(seed, *shape).astype(np.float32)
  return {
    'images': drawn[0],
    'masks': truth,
    'distillation_images': drawn[1],
    'entropy_images': drawn[2],
  }
