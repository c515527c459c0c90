"""ssTEM and EM: neuropil under the electron microscope, with mitochondria as the foreground.

Profiles (cross-sections of nerve and glial processes) tile the plane, separated by membranes.
Neither brightness nor local contrast identifies mitochondria: membranes, glia, obliquely cut
membranes and dense bodies are as dark.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from fscs.data.synthetic.drawing import Shape, smooth_noise, stamp_points, to_uint8
from fscs.data.synthetic.mitochondria import Cristae, place_mitochondria, stain_mitochondria
from fscs.data.synthetic.profiles import Layout, draw_profiles, profile_depth


class Microscope(NamedTuple):
  """Appearance of neuropil in one kind of electron microscopy; greys before the final scaling."""

  layout: Layout
  membrane: tuple[float, float]  # half width in pixels, grey value
  cleft: float  # maximum gap between the membranes of two neighbours, in pixels
  cytoplasm: tuple[float, float]  # mean grey value, and its deviation between profiles
  glia: float  # share of dark profiles
  grain: tuple[float, float, float]  # deviations of clouds, granules and fibrils, in grey values
  vesicles: tuple[float, float]  # number per pixel, outside and inside of clusters
  vesicle: float  # radius of a vesicle in pixels
  cristae: Cristae
  coverage: tuple[float, float]  # range of the share of pixels in mitochondria
  blur: float  # of the optics, in pixels
  noise: float  # of the detector, in grey values
  mean: float  # of the final image, with a little variation
  deviation: float  # of the final image, with a little variation


SSTEM = Microscope(
  layout=Layout(size=30, swellings=0.3, unevenness=0.55, rounding=5),
  membrane=(2.2, 15),
  cleft=0.6,
  cytoplasm=(172, 9),
  glia=0.10,
  grain=(14, 20, 20),
  vesicles=(0.0018, 0.006),
  vesicle=2.8,
  cristae=Cristae(
    radii=(17, 40), aspect=(1.0, 1.8), matrix=90, rim=35, fold=74, lumen=90, period=7.5, margin=5
  ),
  coverage=(0.04, 0.075),
  blur=0.6,
  noise=12,
  mean=130,
  deviation=54,
)

EM = Microscope(
  layout=Layout(size=38, swellings=0.3, unevenness=0.45, rounding=8),
  membrane=(2.8, 60),
  cleft=3.5,
  cytoplasm=(178, 11),
  glia=0.06,
  grain=(10, 10, 17),
  vesicles=(0.0010, 0.006),
  vesicle=4.0,
  cristae=Cristae(
    radii=(20, 40), aspect=(1.1, 2.6), matrix=98, rim=62, fold=42, lumen=30, period=8.5, margin=4
  ),
  coverage=(0.035, 0.09),
  blur=1.3,
  noise=12,
  mean=137,
  deviation=43,
)


def simulate_neuropil(
  random: np.random.Generator, shape: Shape, microscope: Microscope
) -> tuple[np.ndarray, np.ndarray]:
  """Simulate one section of neuropil.

  Args:
    random: generator.
    shape: (H, W).
    microscope: SSTEM or EM.

  Returns:
    (H, W) uint8 image, and (H, W) int32 labels of the mitochondria, at least one.
  """
  profiles = draw_profiles(random, shape, microscope.layout)
  depth = profile_depth(profiles, microscope.layout.rounding)
  coverage = random.uniform(*microscope.coverage)
  bodies = place_mitochondria(random, profiles, depth, microscope.cristae, coverage)
  labels = np.zeros(shape, np.int32)
  for label, body in enumerate(bodies, start=1):
    labels[body.window][body.inside] = label
  image = _cytoplasm(random, profiles, microscope)
  image *= 1 - _organelles(random, depth, labels > 0, microscope)
  stain_mitochondria(random, image, bodies, microscope.cristae)
  image = _membranes(random, image, depth, labels > 0, microscope)
  return _detect(random, image, microscope), labels


def _cytoplasm(
  random: np.random.Generator, profiles: np.ndarray, microscope: Microscope
) -> np.ndarray:
  """(H, W) float32: grey values of the cytoplasm, per profile, with clouds and fibrils."""
  mean, deviation = microscope.cytoplasm
  greys = random.normal(mean, deviation, profiles.max() + 1).astype(np.float32)
  glia = random.random(len(greys)) < microscope.glia
  greys[glia] = random.uniform(85, 135, glia.sum())
  clouds, granules, fibrils = microscope.grain
  shape = profiles.shape
  image = greys[profiles] + clouds * smooth_noise(random, shape, 14)
  image += granules * smooth_noise(random, shape, 1.4)
  # Only the dark half of the field is drawn: filaments and cross-sections of microtubules.
  return image - 1.6 * fibrils * np.maximum(smooth_noise(random, shape, 3.0), 0)


def _organelles(
  random: np.random.Generator, depth: np.ndarray, taken: np.ndarray, microscope: Microscope
) -> np.ndarray:
  """(H, W) float32: share of the electrons stopped by vesicles, reticulum and dense bodies."""
  shape = depth.shape
  room = ((depth > 5) & ~taken).astype(np.float32)
  quiet, crowded = microscope.vesicles
  crowds = smooth_noise(random, shape, 30) > 0.9
  density = room * np.where(crowds, crowded, quiet)
  vesicles = stamp_points(random, density, microscope.vesicle, hollow=True)
  cores = stamp_points(random, room * quiet, 0.6 * microscope.vesicle)
  dense = stamp_points(random, (depth > 9) * ~taken * np.float32(5e-5), 6)
  # Reticulum: pieces of the zero crossings of a smooth field.
  lines = np.exp(-((smooth_noise(random, shape, 11) / 0.14) ** 2))
  lines *= room * np.clip(2 * (smooth_noise(random, shape, 16) - 0.8), 0, 1)
  opacity = np.maximum(0.45 * vesicles, 0.5 * cores)
  return np.maximum(opacity, np.maximum(0.4 * lines, 0.65 * dense))


def _membranes(
  random: np.random.Generator,
  image: np.ndarray,
  depth: np.ndarray,
  taken: np.ndarray,
  microscope: Microscope,
) -> np.ndarray:
  """The image with plasma membranes, clefts, synapses and obliquely cut membranes."""
  shape = image.shape
  half_width, grey = microscope.membrane
  gap = microscope.cleft * np.clip(0.3 + 0.5 * smooth_noise(random, shape, 25), 0, 1)
  # Obliquely cut membranes are smeared: wider and less dark.
  slant = np.maximum(smooth_noise(random, shape, 28) - 1.3, 0)
  synapse = np.maximum(smooth_noise(random, shape, 14) - 1.9, 0)
  width = half_width * (1 + 1.5 * slant + 3 * np.minimum(synapse, 1))
  away = np.maximum(np.abs(depth - gap) - 0.4 * width, 0) / (0.8 * width)
  darkness = np.exp(-(away**2)) * (1 - 0.4 * np.minimum(slant, 1))
  darkness *= 1 - 0.9 * taken * (depth > 4)
  # Extracellular space between two membranes is light and smooth.
  between = np.clip((gap - half_width - depth) / 1.5, 0, 1)
  image = image + between * (microscope.cytoplasm[0] - image)
  return image + darkness * (grey - image)


def _detect(random: np.random.Generator, image: np.ndarray, microscope: Microscope) -> np.ndarray:
  """(H, W) uint8: the image after blur, uneven staining, noise and scaling of contrast."""
  shape = image.shape
  image = ndimage.gaussian_filter(image, microscope.blur)
  image = image * (1 + 0.04 * smooth_noise(random, shape, 120))
  image += microscope.noise * smooth_noise(random, shape, 0.6)
  mean = microscope.mean + random.normal(0, 2.5)
  deviation = microscope.deviation * random.uniform(0.95, 1.05)
  return to_uint8(mean + deviation * (image - image.mean()) / image.std())
