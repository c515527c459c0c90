"""Mitochondria of the simulated electron micrographs: their places and their staining."""

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from fscs.data.synthetic.drawing import Blob, Shape, draw_blob, smooth_noise

PIXELS_PER_ATTEMPT = 2500  # one attempt to place a body per so many pixels


class Cristae(NamedTuple):
  """Sizes and inner texture of mitochondria; lengths in pixels, the rest in grey values."""

  radii: tuple[float, float]  # range of the short half axis
  aspect: tuple[float, float]  # range of long over short axis
  matrix: float  # mean grey of the inside
  rim: float  # grey of the outer membrane
  fold: float  # how much darker than the matrix the folds are
  lumen: float  # how much lighter swollen folds are
  period: float  # distance from fold to fold
  margin: float  # minimum distance from the membrane of the profile


class Mitochondrion(NamedTuple):
  """One body, within a window of the image."""

  window: tuple[slice, slice]  # place of the (h, w) arrays below in the image
  inside: np.ndarray  # (h, w) bool
  along: np.ndarray  # (h, w) float32: pixels from the centre along the long axis
  across: np.ndarray  # (h, w) float32: pixels from the centre along the short axis


def place_mitochondria(
  random: np.random.Generator,
  profiles: np.ndarray,
  depth: np.ndarray,
  cristae: Cristae,
  coverage: float,
) -> list[Mitochondrion]:
  """Place disjoint bodies, each within one profile.

  Args:
    random: generator.
    profiles: (H, W) int32 numbers.
    depth: (H, W) float32, distance to the outline of the profile in pixels.
    cristae: sizes.
    coverage: share of the image to fill, approximately.

  Returns:
    At least one body; they cover less than asked for if there is no room.
  """
  free = depth > cristae.margin
  roomy = np.flatnonzero(depth > 0.7 * cristae.radii[0])
  bodies: list[Mitochondrion] = []
  covered, wanted = 0, coverage * depth.size
  attempts = 100 + depth.size // PIXELS_PER_ATTEMPT
  for _ in range(attempts if len(roomy) else 0):
    site = _site(random.choice(roomy), depth.shape)
    body = _grow(random, profiles, free, site, float(depth[site]), cristae)
    if body is None or covered + np.count_nonzero(body.inside) > 1.25 * wanted:
      continue
    bodies.append(body)
    # With a ring around the body, which keeps neighbours apart.
    free[body.window] &= np.logical_not(ndimage.binary_dilation(body.inside, iterations=4))
    covered += int(np.count_nonzero(body.inside))
    if covered >= wanted:
      break
  if not bodies:
    bodies.append(_smallest(random, depth, cristae))
  return bodies


def _site(index: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
  """(row, column) of a flat index.

  They are integers of NumPy, not of Python: outlines around them are then computed in float64, as
  for the images of version 0.1.
  """
  row, column = np.unravel_index(index, shape)
  return row, column


def _draw(
  random: np.random.Generator,
  shape: Shape,
  site: tuple[int, int],
  radii: tuple[float, float],
  bend: float = 0.0,
) -> Blob:
  blob = draw_blob(random, shape, site, radii, wobble=0.03, bend=bend)
  assert blob is not None, 'a site lies inside the image'
  return blob


def _grow(
  random: np.random.Generator,
  profiles: np.ndarray,
  free: np.ndarray,
  site: tuple[int, int],
  depth: float,
  cristae: Cristae,
) -> Mitochondrion | None:
  """A body around a site, cut to the free part of its profile; None if that cuts off much."""
  short = min(random.uniform(*cristae.radii), 1.1 * depth)
  long = short * random.uniform(*cristae.aspect)
  bend = random.normal(0, 0.3)
  blob = _draw(random, _shape_of(free), site, (long, short), bend)
  whole = blob.radius < 1
  inside = whole & free[blob.window] & (profiles[blob.window] == profiles[site])
  if short < 0.7 * cristae.radii[0] or inside.sum() < 0.88 * whole.sum():
    return None
  # Smoothing removes the corners that cutting leaves.
  inside &= ndimage.gaussian_filter(inside.astype(np.float32), 3, mode='nearest') > 0.5
  parts = np.zeros(inside.shape, np.int32)
  ndimage.label(inside, output=parts)
  here = parts[site[0] - blob.window[0].start, site[1] - blob.window[1].start]
  if here == 0:
    return None
  return Mitochondrion(blob.window, parts == here, blob.along, blob.across)


def _smallest(random: np.random.Generator, depth: np.ndarray, cristae: Cristae) -> Mitochondrion:
  """A round body in the deepest place, for an image without a large enough profile."""
  site = _site(int(depth.argmax()), depth.shape)
  radius = 0.7 * cristae.radii[0]
  blob = _draw(random, _shape_of(depth), site, (radius, radius))
  return Mitochondrion(blob.window, blob.radius < 1, blob.along, blob.across)


def _shape_of(image: np.ndarray) -> Shape:
  height, width = image.shape
  return height, width


def stain_mitochondria(
  random: np.random.Generator, image: np.ndarray, bodies: list[Mitochondrion], cristae: Cristae
) -> None:
  """Draw bodies over an image (H, W) float32, in place: rim, cleft, matrix and folds."""
  for body in bodies:
    distance = np.asarray(ndimage.distance_transform_edt(body.inside))
    grey = _inside(random, body, cristae)
    # Two membranes: a dark line, a lighter cleft, and a fainter dark line inside.
    inner = np.exp(-(((distance - 5.5) / 1.2) ** 2))
    cleft = np.exp(-(((distance - 3.5) / 1.0) ** 2))
    grey += 0.25 * cristae.lumen * cleft - 0.3 * (grey - cristae.rim) * inner
    rim = np.clip((3.0 - distance) / 1.2, 0, 1)
    grey += rim * (cristae.rim - grey)
    image[body.window][body.inside] = grey[body.inside]


def _inside(random: np.random.Generator, body: Mitochondrion, cristae: Cristae) -> np.ndarray:
  """(h, w) float32: grey values of the matrix and its folds, which run across the long axis."""
  shape = body.inside.shape
  turn = random.normal(0, 0.5)
  place = body.along * math.cos(turn) + body.across * math.sin(turn)
  place = place + 0.35 * cristae.period * smooth_noise(random, shape, 9)
  wave = np.sin(2 * math.pi / (cristae.period * random.uniform(0.85, 1.2)) * place)
  # Folds end within the body, and few are swollen.
  present = np.clip(0.7 + 0.5 * smooth_noise(random, shape, 5), 0, 1)
  swollen = np.clip(smooth_noise(random, shape, 4.5) - 1.2, 0, 1)
  grey = cristae.matrix * random.uniform(0.9, 1.1) + 12 * smooth_noise(random, shape, 1.3)
  fold = cristae.fold * random.uniform(0.4, 1.15)
  return grey - fold * present * np.maximum(wave, 0) + cristae.lumen * swollen * (1 - wave)
