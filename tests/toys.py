"""A network of a few channels, and images of disks, for tests that need no real ones."""

import numpy as np
from skimage.draw import disk

from experiments.common import data
from fscs.data.image_sets import ImageSet

WIDTHS = {'fcrn': (4, 4, 8, 8), 'unet': (4, 4, 8)}


def disk_image(seed: int, size: int = 64, radius: int = 12) -> tuple[np.ndarray, np.ndarray]:
  """A bright disk on noise: image (size, size) uint8 and mask (size, size) bool."""
  rng = np.random.default_rng(seed)
  mask = np.zeros((size, size), bool)
  mask[disk(rng.integers(radius, size - radius, 2), radius)] = True
  image = rng.integers(20, 80, (size, size)) + mask * 120
  return image.astype(np.uint8), mask


def disk_set(code: str = 'B5', num_images: int = 12, size: int = 64) -> ImageSet:
  """Annotated images of one disk each; every code has other images."""
  seeds = [1000 * sum(code.encode()) + i for i in range(num_images)]
  images, masks = zip(*(disk_image(seed, size) for seed in seeds), strict=True)
  return ImageSet(code, images, masks, tuple(f'{i:02}.png' for i in range(num_images)))


def use_toy_data(patch) -> None:
  """Commands see disks in place of the published images, by pytest's monkeypatch."""
  patch.setattr(data, 'load_set', lambda code, _: disk_set(code))
  for stride in ('source_stride', 'finetune_stride'):
    patch.setattr(data, stride, lambda *_: (8, 8))
