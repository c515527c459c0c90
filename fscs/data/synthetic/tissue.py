"""TNBC: nuclei in breast tissue stained with haematoxylin and eosin.

The image is the white light that both stains transmit. Neither darkness nor hue alone identifies
nuclei: cytoplasm and out-of-focus smudges take up haematoxylin too, fibres are dark with eosin, and
large tumour nuclei are pale inside.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from fscs.data.synthetic.drawing import (
  Blob,
  Shape,
  draw_blob,
  smooth_noise,
  to_uint8,
  uniform_places,
)

PIXELS_PER_ATTEMPT = 180  # one attempt to place a nucleus per so many pixels

# Optical densities per unit of stain in red, green and blue.
HAEMATOXYLIN = np.array([0.60, 0.74, 0.33], np.float32)
EOSIN = np.array([0.09, 0.46, 0.27], np.float32)
ORANGE = np.array([0.06, 0.36, 0.56], np.float32)  # collagen and red blood cells in some slides


class Nucleus(NamedTuple):
  """One kind of nuclei; lengths in pixels."""

  size: float  # geometric mean of the half axes
  aspect: tuple[float, float]  # range of long over short axis
  stain: tuple[float, float]  # range of the mean amount of haematoxylin
  chromatin: float  # strength of the texture inside
  rim: float  # additional stain of the nuclear membrane


LYMPHOCYTE = Nucleus(9.0, (1.0, 1.35), (0.45, 0.95), chromatin=0.24, rim=0.1)
FIBROBLAST = Nucleus(8.0, (1.8, 4.5), (0.35, 0.85), chromatin=0.18, rim=0.1)
TUMOUR = Nucleus(14.5, (1.0, 1.8), (0.24, 0.62), chromatin=0.34, rim=0.3)
KINDS = (LYMPHOCYTE, FIBROBLAST, TUMOUR)


class Slide(NamedTuple):
  """The tissue of one image; every field is (H, W) float32."""

  tissue: np.ndarray  # 0 where the slide is empty, 1 in tissue
  nests: np.ndarray  # 1 in nests of tumour cells, 0 in stroma
  direction: np.ndarray  # angle of the fibres to the horizontal, in radians
  haematoxylin: np.ndarray  # amount of stain
  eosin: np.ndarray  # amount of stain


def simulate_tissue(random: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
  """Simulate one image of stained tissue.

  Args:
    random: generator.
    shape: (H, W).

  Returns:
    (H, W, 3) uint8 image, and (H, W) int32 labels of the nuclei, at least one.
  """
  slide = _slide(random, shape)
  _smudge(random, slide)
  labels = np.zeros(shape, np.int32)
  coverage = random.uniform(0.05, 0.2)
  mixture = random.dirichlet([1.0, 0.9, 0.25])
  chromatin = 0.8 * smooth_noise(random, shape, 1.3) + 0.5 * smooth_noise(random, shape, 3)
  count = 0
  for attempt in range(100 + labels.size // PIXELS_PER_ATTEMPT):
    place = uniform_places(random, shape, 4)
    blob, kind = _nucleus(random, slide, place, mixture)
    # In a nearly empty image the only nucleus may lie anywhere.
    min_tissue = 0.0 if attempt > 90 and not count else 0.7
    if blob is None or not _claim(labels, blob, slide.tissue, min_tissue, count + 1):
      continue
    count += 1
    _stain(random, slide, blob, labels[blob.window] == count, kind, chromatin[blob.window])
    if np.count_nonzero(labels) >= coverage * labels.size:
      break
  return _photograph(random, slide), labels


def _slide(random: np.random.Generator, shape: Shape) -> Slide:
  """Tissue with empty spaces, nests of tumour cells, and wavy fibres between them."""
  emptiness = smooth_noise(random, shape, 45) + 0.25 * smooth_noise(random, shape, 7)
  emptiness += 0.15 * smooth_noise(random, shape, 2)
  tissue = np.clip((random.uniform(0.9, 2.6) - emptiness) / 0.25, 0, 1)
  if random.random() < 0.2:
    tissue *= _fat(random, shape)
  nests = smooth_noise(random, shape, 40) + 0.2 * smooth_noise(random, shape, 6)
  nests = np.clip((nests - random.uniform(-0.7, 1.6)) / 0.2, 0, 1)
  fibres, direction = _fibres(random, shape)
  grain = smooth_noise(random, shape, 1.2)
  clouds = smooth_noise(random, shape, 25)
  eosin = (
    random.uniform(0.22, 0.38)
    + 0.05 * clouds
    + (1 - 0.8 * nests) * random.uniform(0.07, 0.16) * fibres
    + 0.05 * grain
  )
  # Clefts between fibres.
  clefts = np.clip(2.2 * (fibres + 0.6 * smooth_noise(random, shape, 12) - 1.7), 0, 1)
  eosin *= 1 - 0.7 * clefts * (1 - nests)
  haematoxylin = 0.06 + 0.02 * clouds + 0.03 * smooth_noise(random, shape, 9) + 0.025 * grain
  haematoxylin += nests * (random.uniform(0.08, 0.18) + 0.05 * smooth_noise(random, shape, 3))
  return Slide(
    tissue,
    nests,
    direction,
    haematoxylin=np.maximum(haematoxylin, 0) * tissue,
    eosin=np.maximum(eosin, 0) * tissue,
  )


def _fat(random: np.random.Generator, shape: Shape) -> np.ndarray:
  """(H, W) float32: 0 in the round empty spaces left by fat cells, 1 elsewhere."""
  filled = np.ones(shape, np.float32)
  for _ in range(max(1, round(math.prod(shape) / 25000))):
    size = random.uniform(35, 70)
    radii = size * random.uniform(1.0, 1.4), size
    blob = draw_blob(random, shape, uniform_places(random, shape, 20), radii, wobble=0.05)
    if blob is not None:
      # The wall between two neighbouring cells remains.
      edge = np.clip((blob.radius - 1) * 0.5 * size, 0, 1)
      wall = np.exp(-(((blob.radius - 1.02) * size / 3) ** 2))
      filled[blob.window] = np.maximum(np.minimum(filled[blob.window], edge), wall)
  return filled


def _fibres(random: np.random.Generator, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
  """Wavy stripes of about zero mean and unit variance, and their angles: (H, W) float32 each."""
  rows, columns = np.indices(shape, dtype=np.float32)
  turn = random.uniform(0, math.pi)
  across = rows * math.cos(turn) - columns * math.sin(turn)
  across = across + 20 * smooth_noise(random, shape, 40)
  down, right = np.gradient(across)
  direction = np.arctan2(-right, down)
  across = across + 2.5 * smooth_noise(random, shape, 8)
  # A coarse random profile across the stripes; a fine one, of varying weight, breaks them up.
  length = math.ceil(math.hypot(*shape)) + 240
  place = np.clip(across - across.min(), 0, length - 1)
  stripes = [ndimage.gaussian_filter1d(random.standard_normal(length), s) for s in (1.2, 3.0)]
  stripes = [np.float32(stripe / stripe.std()) for stripe in stripes]
  weight = smooth_noise(random, shape, 10)
  fine, coarse = (np.interp(place, np.arange(length), stripe) for stripe in stripes)
  return (0.8 * weight * fine + 0.6 * coarse).astype(np.float32), direction


def _smudge(random: np.random.Generator, slide: Slide) -> None:
  """Add nuclei far out of focus and debris, in place; they are not annotated."""
  shape = slide.tissue.shape
  smudges = np.zeros(shape, np.float32)
  for _ in range(round(math.prod(shape) / 6500)):
    radii = random.uniform(8, 20), random.uniform(5, 10)
    blob = draw_blob(random, shape, uniform_places(random, shape, 5), radii, wobble=0.15)
    if blob is not None:
      smudges[blob.window] += random.uniform(0.1, 0.5) * (blob.radius < 1)
  smudges = ndimage.gaussian_filter(smudges, 2.5) * slide.tissue
  slide.haematoxylin[...] += smudges * (1 + 0.3 * smooth_noise(random, shape, 2))


def _nucleus(
  random: np.random.Generator, slide: Slide, place: tuple[float, float], mixture: np.ndarray
) -> tuple[Blob | None, Nucleus]:
  """Outline and kind of the next nucleus: tumour cells in nests, fibroblasts along fibres."""
  shape = slide.tissue.shape
  row, column = (int(np.clip(at, 0, side - 1)) for at, side in zip(place, shape, strict=True))
  if slide.nests[row, column] > 0.5 and random.random() < 0.85:
    kind = TUMOUR
  else:
    kind = KINDS[random.choice(len(KINDS), p=mixture)]
  size = kind.size * random.lognormal(0, 0.16)
  aspect = math.sqrt(random.uniform(*kind.aspect))
  angle = None
  if kind is FIBROBLAST:
    angle = slide.direction[row, column] + random.normal(0, 0.25)
  radii = size * aspect, size / aspect
  bend = random.normal(0, 0.25)
  return draw_blob(random, shape, place, radii, angle=angle, wobble=0.05, bend=bend), kind


def _claim(
  labels: np.ndarray, blob: Blob, tissue: np.ndarray, min_tissue: float, label: int
) -> bool:
  """Write a nucleus to the labels if it lies on tissue and overlaps no other; returns whether."""
  inside = blob.radius < 1
  size = np.count_nonzero(inside)
  if size < 25 or tissue[blob.window][inside].mean() < min_tissue:
    return False
  free = inside & (labels[blob.window] == 0)
  if free.sum() < 0.96 * size:
    return False
  labels[blob.window][free] = label
  return True


def _stain(
  random: np.random.Generator,
  slide: Slide,
  blob: Blob,
  inside: np.ndarray,
  kind: Nucleus,
  texture: np.ndarray,
) -> None:
  """Add one nucleus, and the pale ring of shrinkage around it, to the slide, in place."""
  opacity = ndimage.gaussian_filter(inside.astype(np.float32), 0.9, mode='nearest')
  rim = np.exp(-(((blob.radius - 0.92) / 0.12) ** 2))
  mean = random.uniform(*kind.stain)
  amount = mean * (1 + kind.chromatin * texture + 1.5 * kind.rim * (rim - 0.3))
  ring = np.clip(1.35 - blob.radius, 0, 0.35) / 0.35 * (blob.radius >= 1)
  pale = 1 - random.choice([0.0, 0.2, 0.6]) * ring
  for stain in (slide.haematoxylin, slide.eosin):
    stain[blob.window] *= pale
  slide.haematoxylin[blob.window] += opacity * (amount - slide.haematoxylin[blob.window])
  slide.eosin[blob.window] *= 1 - 0.45 * opacity


def _photograph(random: np.random.Generator, slide: Slide) -> np.ndarray:
  """(H, W, 3) uint8: the light that passes the slide, with the slide's own tint."""
  shape = slide.tissue.shape
  tint = 0.8 * random.uniform(0, 1) ** 3 * np.clip(0.5 + smooth_noise(random, shape, 60), 0, 1)
  eosin = EOSIN + tint[..., None] * (ORANGE - EOSIN)
  strength = random.uniform(0.75, 1.25, 2).astype(np.float32)
  density = strength[0] * slide.haematoxylin[..., None] * HAEMATOXYLIN
  density = density + strength[1] * slide.eosin[..., None] * eosin
  light = np.array([240, 241, 246], np.float32) * random.uniform(0.95, 1.0)
  image = light * np.exp(-1.25 * density)
  image = ndimage.gaussian_filter(image, (0.7, 0.7, 0))
  image += 2.0 * smooth_noise(random, shape, 0.7)[..., None]
  return to_uint8(image)
