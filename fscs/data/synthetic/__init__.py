"""Simulated stand-ins for the five public data sets, drawn from a seed.

They need no download. Each resembles its data set and is about as hard: a threshold segments the
bright cells and nuclei, but neither mitochondria nor nuclei in stained tissue.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from fscs.data.image_sets import ImageSet
from fscs.data.synthetic.cells import simulate_cells
from fscs.data.synthetic.drawing import Shape
from fscs.data.synthetic.neuropil import EM, SSTEM, simulate_neuropil
from fscs.data.synthetic.nuclei import simulate_nuclei
from fscs.data.synthetic.tissue import simulate_tissue
from fscs.errors import InputError, lookup

Simulator = Callable[[np.random.Generator, Shape], tuple[np.ndarray, np.ndarray]]

MIN_SIDE = 64  # pixels; a smaller image may have no room for an object

# The position of a code enters the seed: append new ones, never reorder.
SIMULATORS: dict[str, tuple[Simulator, Shape]] = {
  'B5': (simulate_cells, (520, 696)),
  'B39': (simulate_nuclei, (520, 696)),
  'ssTEM': (partial(simulate_neuropil, microscope=SSTEM), (1024, 1024)),
  'EM': (partial(simulate_neuropil, microscope=EM), (768, 1024)),
  'TNBC': (simulate_tissue, (512, 512)),
}


def simulate(
  code: str, *, num_images: int = 20, shape: Shape | None = None, seed: int = 0
) -> ImageSet:
  """Simulate images of one kind, with exact masks and instance labels.

  Deterministic; image i does not depend on `num_images`.

  Args:
    code: 'B5' (stained cells), 'B39' (fluorescent nuclei), 'ssTEM' or 'EM' (mitochondria in
      electron micrographs) or 'TNBC' (nuclei in H&E-stained tissue).
    num_images: at least 1.
    shape: (H, W), each at least 64; None is the size of the real images. Objects keep their size in
      pixels, so smaller images show fewer.
    seed: at least 0.

  Returns:
    An ImageSet with labels. Images are (H, W) uint8, for B39 (H, W) uint16 up to 4095, for TNBC
    (H, W, 3) uint8. Every image has foreground. Names are as 'B5_simulated_000.png'.

  Raises:
    InputError: an argument is out of range.

  >>> image_set = simulate('B39', num_images=1, shape=(64, 96))
  >>> image_set.images[0].shape, image_set.masks[0].shape, image_set.names
  ((64, 96), (64, 96), ('B39_simulated_000.png',))
  """
  simulator, full_shape = lookup(SIMULATORS, code, 'code')
  _check_ranges(num_images, shape, seed)
  size = full_shape if shape is None else (shape[0], shape[1])
  position = list(SIMULATORS).index(code)
  images, masks, labels = [], [], []
  for index in range(num_images):
    random = np.random.default_rng([seed, position, index])
    image, objects = simulator(random, size)
    images.append(image)
    labels.append(_without_gaps(objects))
    masks.append(objects > 0)
  names = tuple(f'{code}_simulated_{index:03d}.png' for index in range(num_images))
  return ImageSet(code, tuple(images), tuple(masks), names, tuple(labels))


def _check_ranges(num_images: int, shape: Shape | None, seed: int) -> None:
  """Raise InputError for arguments out of range."""
  if num_images < 1:
    raise InputError(f'num_images is {num_images}: expected at least 1', arguments=('num_images',))
  if shape is not None and (len(shape) != 2 or min(shape) < MIN_SIDE):
    raise InputError(
      f'shape is {shape}: expected (height, width) of at least {MIN_SIDE} pixels each',
      arguments=('shape',),
    )
  if seed < 0:
    raise InputError(f'seed is {seed}: expected at least 0', arguments=('seed',))


def _without_gaps(labels: np.ndarray) -> np.ndarray:
  """Labels (H, W) int32 renumbered 1, 2, ...; some objects may be completely covered by others."""
  present = np.unique(labels)
  present = present[present > 0]
  numbers = np.zeros(labels.max() + 1, np.int32)
  numbers[present] = np.arange(1, len(present) + 1)
  return numbers[labels]
