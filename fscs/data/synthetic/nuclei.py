"""B39: fluorescent nuclei of U2OS cells under a 16-bit camera, after BBBC039."""

import math

import numpy as np
from scipy import ndimage

from fscs.data.synthetic.drawing import (
  Blob,
  Shape,
  draw_blob,
  smooth_noise,
  stamp_points,
  uniform_places,
)

DARK_LEVEL = 112  # camera offset, grey values
FULL_SCALE = 4095  # of the 12-bit camera
PHOTONS_PER_GREY = 2.2
PIXELS_PER_ATTEMPT = 180  # one attempt to place a nucleus per so many pixels


def simulate_nuclei(random: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
  """Simulate one image of stained nuclei.

  Args:
    random: generator.
    shape: (H, W).

  Returns:
    (H, W) uint16 image of 0..4095, mostly 130..1200, and (H, W) int32 labels. Nuclei touch but do
    not overlap.
  """
  labels = np.zeros(shape, np.int32)
  stain = np.zeros(shape, np.float32)
  wanted = random.uniform(0.11, 0.28) * labels.size
  brightness = random.uniform(440, 680)
  chromatin = 1 + 0.09 * smooth_noise(random, shape, 1.6) + 0.07 * smooth_noise(random, shape, 5)
  nucleoli = stamp_points(random, np.full(shape, 1 / 900, np.float32), 1.7)
  chromatin *= 1 - 0.12 * nucleoli
  places: list[tuple[float, float]] = []
  for _ in range(100 + labels.size // PIXELS_PER_ATTEMPT):
    centre = _place(random, shape, places)
    dividing = random.random() < 0.012
    blob = _nucleus(random, shape, centre, 0.6 if dividing else 1.0)
    if blob is None or not _claim(labels, blob, len(places) + 1):
      continue
    places.append(centre)
    inside = labels[blob.window] == len(places)
    level = brightness * random.lognormal(0, 0.3) * (3.5 if dividing else 1)
    dome = 1.06 - 0.16 * blob.radius[inside] ** 2
    stain[blob.window][inside] = level * dome * chromatin[blob.window][inside]
    if np.count_nonzero(labels) >= wanted:
      break
  debris = stamp_points(random, np.full(shape, 4e-5, np.float32), 1.4)
  return _photograph(random, stain + 0.4 * brightness * debris), labels


def _place(
  random: np.random.Generator, shape: Shape, places: list[tuple[float, float]]
) -> tuple[float, float]:
  """Centre of the next nucleus; one in ten lies beside an earlier one, as after a division."""
  if places and random.random() < 0.1:
    row, column = places[random.integers(len(places))]
    turn, distance = random.uniform(0, 2 * math.pi), random.uniform(20, 30)
    return row + distance * math.sin(turn), column + distance * math.cos(turn)
  return uniform_places(random, shape, 6)


def _nucleus(
  random: np.random.Generator, shape: Shape, centre: tuple[float, float], scale: float
) -> Blob | None:
  """Outline of a nucleus, mostly a smooth ellipse, sometimes bent or lobed."""
  size = 15.5 * scale * random.lognormal(0, 0.13)
  aspect = math.sqrt(random.uniform(1.05, 2.1))
  odd = random.random() < 0.12
  if odd:
    size *= 0.85
  return draw_blob(
    random,
    shape,
    centre,
    (size * aspect, size / aspect),
    wobble=0.08 if odd else 0.025,
    finest=4,
    bend=random.normal(0, 0.45 if odd else 0.1),
  )


def _claim(labels: np.ndarray, blob: Blob, label: int) -> bool:
  """Write a nucleus to the labels, unless it is tiny or overlaps others; returns whether."""
  inside = blob.radius < 1
  free = inside & (labels[blob.window] == 0)
  if np.count_nonzero(inside) < 20 or free.sum() < 0.95 * inside.sum():
    return False
  labels[blob.window][free] = label
  return True


def _photograph(random: np.random.Generator, stain: np.ndarray) -> np.ndarray:
  """(H, W) uint16: the stain after optical blur, glow, shading, shot noise and read noise."""
  shape = stain.shape
  sharp = ndimage.gaussian_filter(stain, random.uniform(0.9, 1.4))
  # Light scattered from afar lifts the background around nuclei.
  glow = 0.05 * ndimage.gaussian_filter(stain, 12, truncate=3)
  shading = 1 + 0.05 * smooth_noise(random, shape, 150)
  light = (sharp + glow + random.uniform(22, 38)) * shading
  shot = random.standard_normal(shape, dtype=np.float32)
  noise = shot * np.sqrt(np.maximum(light, 0) / PHOTONS_PER_GREY)
  read = 2.5 * random.standard_normal(shape, dtype=np.float32)
  grey = np.rint(DARK_LEVEL + light + noise + read)
  return np.clip(grey, 0, FULL_SCALE).astype(np.uint16)
