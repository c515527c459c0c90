"""B5: blurred bright cell bodies on a dark background, after BBBC005."""

import math

import numpy as np
from scipy import ndimage

from fscs.data.synthetic.drawing import Shape, draw_blob, smooth_noise, to_uint8, uniform_places

FULL_AREA = 520 * 696  # pixels, to which the numbers of cells below refer


def simulate_cells(random: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
  """Simulate one image of stained cells.

  Half of the images show small bodies (nuclear stain), half large ones (body stain). Cells overlap,
  and each has its own defocus.

  Args:
    random: generator.
    shape: (H, W).

  Returns:
    (H, W) uint8 image, and (H, W) int32 labels of the cell on top at each pixel.
  """
  large = random.random() < 0.5
  size = 31 if large else 15.7
  count = max(2, round(random.uniform(4, 75) * math.prod(shape) / FULL_AREA))
  image = np.full(shape, random.uniform(0.3, 1.2), np.float32)
  labels = np.zeros(shape, np.int32)
  texture = _texture(random, shape)
  brightness = random.uniform(130, 165)
  for label, centre in enumerate(_places(random, shape, count, 1.7 * size), start=1):
    radii = size * random.uniform(0.95, 1.12), size * random.uniform(0.88, 1.02)
    wobble = 0.10 if large else 0.05
    blob = draw_blob(random, shape, centre, radii, wobble=wobble, finest=6)
    if blob is None:
      continue
    inside = blob.radius < 1
    labels[blob.window][inside] = label
    _paint(random, image, blob.window, inside, brightness * texture[blob.window])
  image += 0.6 * random.standard_normal(shape, dtype=np.float32)
  return to_uint8(np.abs(image)), labels


def _texture(random: np.random.Generator, shape: Shape) -> np.ndarray:
  """(H, W) float32: relative brightness of the stain, with clouds of several sizes."""
  clouds = 0.10 * smooth_noise(random, shape, 7) + 0.06 * smooth_noise(random, shape, 3)
  return 1 + clouds + 0.05 * smooth_noise(random, shape, 0.9)


def _places(
  random: np.random.Generator, shape: Shape, count: int, reach: float
) -> list[tuple[float, float]]:
  """Centres, (row, column); a quarter lie beside an earlier one, so that cells touch or overlap."""
  first_row, first_column = (random.uniform(0.1, 0.9) * size for size in shape)
  places = [(first_row, first_column)]
  while len(places) < count:
    if random.random() < 0.25:
      row, column = places[random.integers(len(places))]
      turn = random.uniform(0, 2 * math.pi)
      distance = reach * random.uniform(0.8, 1.6)
      places.append((row + distance * math.sin(turn), column + distance * math.cos(turn)))
    else:
      places.append(uniform_places(random, shape, 5))
  return places


def _paint(
  random: np.random.Generator,
  image: np.ndarray,
  window: tuple[slice, slice],
  inside: np.ndarray,
  stain: np.ndarray,
) -> None:
  """Draw one cell over the image, in place; defocus blurs both outline and texture."""
  focus = random.choice([0.5, 1.5, 2.2, 2.8])
  opacity = ndimage.gaussian_filter(inside.astype(np.float32), focus, mode='nearest')
  rows, columns = np.indices(inside.shape, dtype=np.float32)
  turn = random.uniform(0, 2 * math.pi)
  slope = (rows * math.sin(turn) + columns * math.cos(turn)) / max(inside.shape)
  shading = random.uniform(0.8, 1.25) * (1 + 0.25 * (slope - slope.mean()))
  body = ndimage.gaussian_filter(stain * shading, focus, mode='nearest')
  image[window] = image[window] * (1 - opacity) + body * opacity
