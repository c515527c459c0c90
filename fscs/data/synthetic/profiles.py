"""The tiling of simulated neuropil: which profile each pixel lies in, and how deep."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import measure

from fscs.data.synthetic.drawing import Shape, draw_blob, uniform_places, warp


class Layout(NamedTuple):
  """Sizes of the profiles."""

  size: float  # typical size of small profiles in pixels
  swellings: float  # large profiles for each small one
  unevenness: float  # spread of the large profiles' sizes, as of a log-normal distribution
  rounding: float  # radius in pixels to which the corners of profiles are rounded


def draw_profiles(random: np.random.Generator, shape: Shape, layout: Layout) -> np.ndarray:
  """(H, W) int32, the profile that each pixel belongs to: large ones over bundles of small ones."""
  size = layout.size
  seeds = random.random(shape, dtype=np.float32) < 1 / size**2
  seeds[tuple(random.integers(side) for side in shape)] = True
  places = np.argwhere(seeds)
  nearest = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
  numbers = np.zeros(shape, np.int32)
  numbers[seeds] = _merge(random, places, 1.5 * size)
  profiles = warp(random, numbers[tuple(nearest)], 1.3 * size, 0.5 * size)
  # The largest are laid on top, whole, and squeeze the others between them.
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
  """Number of the profile of each seed; some neighbours share one, so that profiles are lobed.

  Args:
    random: generator.
    places: (N, 2) row and column of the seeds.
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
  """Profiles without scraps: a connected piece of fewer pixels than area joins its neighbours."""
  pieces = measure.label(profiles, background=-1, connectivity=1)
  scraps = np.bincount(pieces.ravel())[pieces] < area
  if scraps.all():
    return profiles
  nearest = ndimage.distance_transform_edt(scraps, return_distances=False, return_indices=True)
  return profiles[tuple(nearest)]


def profile_depth(profiles: np.ndarray, rounding: float) -> np.ndarray:
  """Distance in pixels to the outline of the own, rounded profile.

  Returns:
    (H, W) float32, negative between profiles.
  """
  border = np.zeros(profiles.shape, bool)
  border[1:] |= profiles[1:] != profiles[:-1]
  border[:, 1:] |= profiles[:, 1:] != profiles[:, :-1]
  if not border.any():
    return np.full(profiles.shape, min(profiles.shape) / 2, np.float32)
  distance = ndimage.distance_transform_edt(~border)
  core = distance > rounding
  outside = ndimage.distance_transform_edt(~core) if core.any() else rounding - distance
  depth = np.where(core, distance, rounding - outside + 1)
  return ndimage.gaussian_filter(depth.astype(np.float32), 1.0)
