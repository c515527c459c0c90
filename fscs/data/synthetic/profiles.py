"""The tiling of simulated neuropil into profiles, and the depth of each pixel in its profile."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import measure

from fscs.data.synthetic.drawing import Shape, draw_blob, uniform_places, warp


class Layout(NamedTuple):
  """Sizes of the profiles."""

  size: float  # typical size of small profiles, in pixels
  swellings: float  # number of large profiles per small one
  unevenness: float  # sigma of the log-normal distribution of the large profiles' sizes
  rounding: float  # radius of the corners of profiles, in pixels


def draw_profiles(random: np.random.Generator, shape: Shape, layout: Layout) -> np.ndarray:
  """Draw large profiles over bundles of small ones.

  Args:
    random: generator.
    shape: (H, W).
    layout: sizes.

  Returns:
    (H, W) int32: the number of the profile that each pixel belongs to, from 1.
  """
  size = layout.size
  seeds = random.random(shape, dtype=np.float32) < 1 / size**2
  seeds[tuple(random.integers(side) for side in shape)] = True
  places = np.argwhere(seeds)
  nearest = _nearest(seeds)
  numbers = np.zeros(shape, np.int32)
  numbers[seeds] = _merge(random, places, 1.5 * size)
  profiles = warp(random, numbers[nearest], 1.3 * size, 0.5 * size)
  # From small to large: the largest end up on top, complete, and squeeze the others between them.
  count = round(layout.swellings * len(places))
  radii = np.sort(1.1 * size * random.lognormal(0, layout.unevenness, count))
  for number, radius in enumerate(radii, start=len(places) + 1):
    aspect = random.uniform(1.0, 1.7)
    lengths = min(radius, 4 * size) * aspect, min(radius, 4 * size) / aspect
    place = uniform_places(random, shape, 0.5 * radius)
    bend = random.normal(0, 0.4)
    blob = draw_blob(random, shape, place, lengths, wobble=0.09, finest=4, bend=bend)
    if blob is not None:
      profiles[blob.window][blob.radius < 1] = number
  profiles = warp(random, profiles, 0.6 * size, 0.2 * size)
  return _absorb(profiles, 0.35 * size**2)


def _merge(random: np.random.Generator, places: np.ndarray, reach: float) -> np.ndarray:
  """Number the seeds of profiles; neighbours may share a number, which gives lobed profiles.

  Args:
    random: generator.
    places: (N, 2), rows and columns of the seeds.
    reach: seeds closer than this may be joined, in pixels.

  Returns:
    (N,) int32 in 1..N.
  """
  numbers = np.arange(1, len(places) + 1, dtype=np.int32)
  for index in np.flatnonzero(random.random(len(places)) < 0.6):
    near = np.flatnonzero(np.hypot(*(places - places[index]).T) < reach)
    numbers[index] = numbers[random.choice(near)]
  return numbers


def _absorb(profiles: np.ndarray, area: float) -> np.ndarray:
  """Give connected pieces of fewer than `area` pixels to their neighbours."""
  pieces = np.asarray(measure.label(profiles, background=-1, connectivity=1))
  scraps = np.bincount(pieces.ravel())[pieces] < area
  if scraps.all():
    return profiles
  return profiles[_nearest(~scraps)]


def _distance_to(mask: np.ndarray) -> np.ndarray:
  """Distance of every pixel to the nearest pixel of the mask: (H, W) float64."""
  return np.asarray(ndimage.distance_transform_edt(~mask))


def _nearest(mask: np.ndarray) -> tuple[np.ndarray, ...]:
  """Index of the nearest pixel of the mask, for every pixel: (H, W) rows and columns."""
  places = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
  return tuple(np.asarray(places))


def profile_depth(profiles: np.ndarray, rounding: float) -> np.ndarray:
  """Distance of each pixel to the outline of its profile.

  Args:
    profiles: (H, W) int32 numbers.
    rounding: radius to which corners are rounded, in pixels.

  Returns:
    (H, W) float32 in pixels; negative between rounded profiles.
  """
  border = np.zeros(profiles.shape, bool)
  border[1:] |= profiles[1:] != profiles[:-1]
  border[:, 1:] |= profiles[:, 1:] != profiles[:, :-1]
  if not border.any():
    return np.full(profiles.shape, min(profiles.shape) / 2, np.float32)
  distance = _distance_to(border)
  core = distance > rounding
  outside = _distance_to(core) if core.any() else rounding - distance
  depth = np.where(core, distance, rounding - outside + 1)
  return np.asarray(ndimage.gaussian_filter(depth.astype(np.float32), 1.0))
