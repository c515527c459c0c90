"""Simulated stand-ins for the five data sets: one domain of each kind, drawn from a seed.

They need neither data nor network. Each looks like its model and is about as hard: bright cells
and nuclei give way to a threshold, mitochondria and stained nuclei do not.
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
from fscs.errors import InputError

Simulator = Callable[[np.random.Generator, Shape], tuple[np.ndarray, np.ndarray]]

SMALLEST_SIDE = 64  # pixels; below this an image may have no room for one object

# The place of a code enters the seed: append new ones, never reorder.
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
  """Simulated images of one kind, with exact masks and instance labels.

  The same arguments give the same bytes, and image i is the same whatever num_images is.

  Args:
    code: 'B5' (stained cells), 'B39' (fluorescent nuclei), 'ssTEM' or 'EM' (mitochondria in
      electron micrographs) or 'TNBC' (nuclei in H&E tissue).
    num_images: at least 1.
    shape: (H, W), each at least 64; None takes the size of the real images. Objects keep their
      size in pixels, so that smaller images show fewer.
    seed: at least 0.

  Returns:
    ImageSet of (H, W) images, uint8 (B39: uint16 up to 4095; TNBC: (H, W, 3) uint8), with labels;
    every image has foreground. Names are like 'B5_simulated_000.png'.

  Raises:
    InputError: if an argument is outside its range.
  """
  _check(code, num_images, shape, seed)
  simulator, full_shape = SIMULATORS[code]
  place = list(SIMULATORS).index(code)
  images, masks, labels = [], [], []
  for index in range(num_images):
    random = np.random.default_rng([seed, place, index])
    image, numbers = simulator(random, tuple(shape or full_shape))
    images.append(image)
    labels.append(_number_on(numbers))
    masks.append(numbers > 0)
  names = tuple(f'{code}_simulated_{index:03d}.png' for index in range(num_images))
  return ImageSet(code, tuple(images), tuple(masks), names, tuple(labels))


def _check(code: str, num_images: int, shape: Shape | None, seed: int) -> None:
  """Raises InputError for arguments that simulate cannot use."""
  if code not in SIMULATORS:
    valid = ', '.join(SIMULATORS)
    raise InputError(f'no simulated domain is called {code!r}; choose one of {valid}')
  if num_images < 1:
    raise InputError(f'num_images is {num_images}, expected at least 1')
  if shape is not None and (len(shape) != 2 or min(shape) < SMALLEST_SIDE):
    raise InputError(
      f'shape is {shape}, expected (height, width) of at least {SMALLEST_SIDE} pixels each'
    )
  if seed < 0:
    raise InputError(f'seed is {seed}, expected 0 or more')


def _number_on(labels: np.ndarray) -> np.ndarray:
  """Labels (H, W) int32 renumbered 1, 2, ... without gaps; some objects end up fully covered."""
  present = np.unique(labels)
  present = present[present > 0]
  numbers = np.zeros(labels.max() + 1, np.int32)
  numbers[present] = np.arange(1, len(present) + 1)
  return numbers[labels]
