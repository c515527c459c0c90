"""Building blocks of the simulators: smooth random fields, blobs, spots.

Images are (H, W) float32 while they are drawn. Positions and sizes are in pixels, (row, column).
Random functions take a NumPy generator as their first argument.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

Shape = tuple[int, int]


class Blob(NamedTuple):
  """A closed outline within a window of the image, with coordinates for the texture inside."""

  window: tuple[slice, slice]  # place of the (h, w) arrays below in the image
  radius: np.ndarray  # (h, w) float32: 0 at the centre, 1 on the outline
  along: np.ndarray  # (h, w) float32: pixels from the centre along the long axis
  across: np.ndarray  # (h, w) float32: pixels from the centre along the short axis


def smooth_noise(random: np.random.Generator, shape: Shape, sigma: float) -> np.ndarray:
  """Gaussian random field of about zero mean and unit variance.

  Args:
    random: generator.
    shape: (H, W).
    sigma: standard deviation of the Gaussian that smooths white noise, in pixels; at least 0.5.

  Returns:
    (H, W) float32.

  >>> field = smooth_noise(np.random.default_rng(0), (200, 300), sigma=2.0)
  >>> field.shape, bool(abs(field.std() - 1) < 0.1)
  ((200, 300), True)
  """
  # Drawn on a coarser grid, of half the sigma: as good for a field this smooth, and much faster.
  step = max(1, int(sigma / 2))
  coarse_shape = tuple(-(-size // step) + 1 for size in shape)
  coarse_sigma = sigma / step
  field = random.standard_normal(coarse_shape, dtype=np.float32)
  field = ndimage.gaussian_filter(field, coarse_sigma, mode='wrap', truncate=3)
  field *= 2 * math.sqrt(math.pi) * coarse_sigma
  if step > 1:
    field = _enlarge(_enlarge(field, step, shape[0]).T, step, shape[1]).T
  return np.ascontiguousarray(field[: shape[0], : shape[1]])


def _enlarge(field: np.ndarray, step: int, size: int) -> np.ndarray:
  """Linear interpolation to `size` rows, `step` rows per row of the field."""
  position = np.arange(size, dtype=np.float32) / step
  below = position.astype(np.intp)
  weight = (position - below)[:, None]
  return field[below] * (1 - weight) + field[below + 1] * weight


def warp(random: np.random.Generator, field: np.ndarray, sigma: float, reach: float) -> np.ndarray:
  """Displace the pixels of a field smoothly; values are copied, not mixed, so labels stay labels.

  Args:
    random: generator.
    field: (H, W), any type.
    sigma: smoothness of the displacement, in pixels.
    reach: standard deviation of the displacement along each axis, in pixels.

  Returns:
    (H, W) of the type of the field.
  """
  sources = []
  for axis, size in enumerate(field.shape):
    places = np.arange(size).reshape((-1, 1) if axis == 0 else (1, -1))
    moved = places + reach * smooth_noise(random, field.shape, sigma)
    sources.append(np.clip(np.rint(moved), 0, size - 1).astype(np.intp))
  return field[tuple(sources)]


def draw_blob(
  random: np.random.Generator,
  shape: Shape,
  centre: tuple[float, float],
  radii: tuple[float, float],
  *,
  angle: float | None = None,
  wobble: float = 0.0,
  finest: int = 5,
  bend: float = 0.0,
) -> Blob | None:
  """An ellipse with a wavy outline and a curved long axis.

  Args:
    random: generator.
    shape: (H, W) of the image.
    centre: (row, column); may lie outside the image.
    radii: (long, short) half axes.
    angle: of the long axis to the horizontal, in radians; None draws it.
    wobble: amplitude of the outline's waves, relative to the radius.
    finest: highest number of waves per turn; the lowest is 2.
    bend: how far the ends of the long axis curve off, in short radii.

  Returns:
    The blob, or None if it lies outside the image.
  """
  angle = random.uniform(0, math.pi) if angle is None else angle
  cosine, sine = math.cos(angle), math.sin(angle)
  waves = _draw_waves(random, wobble, finest)
  growth = 1 + float(np.abs(waves).sum())
  sides = np.hypot(radii[0] * sine, radii[1] * cosine), np.hypot(radii[0] * cosine, radii[1] * sine)
  window = _window(shape, centre, [growth * side + abs(bend) * radii[1] + 2 for side in sides])
  if any(part.start >= part.stop for part in window):
    return None
  along, across = _turned(window, centre, cosine, sine)
  if bend:
    across -= bend * radii[1] * ((along / radii[0]) ** 2 - 0.5)
  radius = _wavy_radius(along / radii[0], across / radii[1], waves)
  return Blob(window, radius, along, across)


def _draw_waves(random: np.random.Generator, wobble: float, finest: int) -> np.ndarray:
  """(finest - 1,) complex: amplitudes and phases of 2, 3, ... waves per turn."""
  # Slow waves are stronger than fast ones, else blobs look like stars.
  waves = random.normal(0, 2 * wobble / np.arange(2, finest + 1))
  return waves * np.exp(1j * random.uniform(0, 2 * math.pi, len(waves)))


def _window(shape: Shape, centre: tuple[float, float], reaches: list[float]) -> tuple[slice, slice]:
  """Pixels of the image within (rows, columns) of the centre; may be empty."""
  rows, columns = (
    slice(max(0, math.floor(place - reach)), min(size, math.ceil(place + reach) + 1))
    for place, reach, size in zip(centre, reaches, shape, strict=True)
  )
  return rows, columns


def _turned(
  window: tuple[slice, slice], centre: tuple[float, float], cosine: float, sine: float
) -> tuple[np.ndarray, np.ndarray]:
  """Distances from the centre along the long and the short axis: (h, w) float32 each."""
  rows = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - centre[0]
  columns = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None] - centre[1]
  return columns * cosine + rows * sine, rows * cosine - columns * sine


def _wavy_radius(along: np.ndarray, across: np.ndarray, waves: np.ndarray) -> np.ndarray:
  """Distance from the centre, relative to that of a wavy outline.

  Args:
    along: (h, w), in long radii.
    across: (h, w), in short radii.
    waves: (N,) complex: amplitudes and phases of 2, 3, ... waves per turn.

  Returns:
    (h, w) float32, 1 on the outline.
  """
  place = (along + 1j * across).astype(np.complex64)
  radius = np.abs(place)
  turn = place / np.maximum(radius, 1e-6)
  # The waves are the real part of a polynomial in exp(i angle), evaluated by Horner's rule.
  outline = np.zeros_like(turn)
  for wave in waves[::-1]:
    outline = (outline + np.complex64(wave)) * turn
  return radius / np.maximum(1 + (outline * turn).real, 0.2)


def stamp_points(
  random: np.random.Generator, density: np.ndarray, radius: float, *, hollow: bool = False
) -> np.ndarray:
  """Small round spots at random places, at some distance from each other.

  Args:
    random: generator.
    density: (H, W), spots per pixel; at most one is drawn per (2 radius + 2) ** 2 pixels.
    radius: of a disc, or of the middle of a ring, in pixels.
    hollow: draw rings instead of discs.

  Returns:
    (H, W) float32: 1 inside discs or in the middle of rings, 0 elsewhere, with soft edges.
  """
  height, width = density.shape
  step = 2 * radius + 2
  rows, columns = (np.arange(0, size, step) for size in density.shape)
  jitter = random.uniform(0, step, (2, len(rows), len(columns)))
  rows = np.minimum(rows[:, None] + jitter[0], height - 1).astype(np.intp)
  columns = np.minimum(columns[None] + jitter[1], width - 1).astype(np.intp)
  kept = random.random(rows.shape) < density[rows, columns] * step**2
  rows, columns = rows[kept], columns[kept]
  reach = math.ceil(radius + 2)
  offsets = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
  distance = np.hypot(*offsets)
  rim = np.exp(-(((distance - radius) / 0.9) ** 2))
  kernel = rim if hollow else np.where(distance < radius, 1, rim)
  spots = np.zeros((height + 2 * reach, width + 2 * reach), np.float32)
  places = rows[:, None, None] + offsets[0] + reach, columns[:, None, None] + offsets[1] + reach
  np.maximum.at(spots, places, np.broadcast_to(kernel.astype(np.float32), places[0].shape))
  return spots[reach : reach + height, reach : reach + width]


def to_uint8(image: np.ndarray) -> np.ndarray:
  """Round and clip to 0..255.

  >>> to_uint8(np.array([-3.0, 1.6, 300.0]))
  array([  0,   2, 255], dtype=uint8)
  """
  return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def uniform_places(random: np.random.Generator, shape: Shape, margin: float) -> tuple[float, float]:
  """(row, column) anywhere in the image or up to `margin` pixels outside."""
  row, column = (random.uniform(-margin, size - 1 + margin) for size in shape)
  return row, column
