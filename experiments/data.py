"""From options to prepared sets: the same for every command."""

import functools
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from experiments import own_sources
from experiments.options import DataOptions
from fscs import datasets
from fscs.errors import InputError
from fscs.preprocessing import FINETUNE_STRIDES, SOURCE_STRIDES, GreySet, prepare, split
from fscs.types import ImageSet

VALIDATION_SHARE = 10  # one image in so many of a source is held out for validation


def load_set(code: str, options: DataOptions) -> ImageSet:
  """One data set, real or simulated, as it is on disk; a folder of own images if it is no code."""
  if code not in datasets.CODES:
    sys.stderr.write(f'data: {code}\n')
    return own_sources.read(code)
  sys.stderr.write(f'data: {code} ({options.data})\n')  # in one piece, as sets load at once
  if options.data == 'simulated':
    return _simulated(code, options.simulated_images, options.data_seed)
  return datasets.load(code, data_dir=options.data_dir, raw_dir=options.raw_dir)


@functools.lru_cache(maxsize=2 * len(datasets.CODES))
def _simulated(code: str, num_images: int, seed: int) -> ImageSet:
  """Drawn once in a process: a set takes seconds, and commands that call others ask again."""
  from fscs.datasets.simulated import simulate

  return simulate(code, num_images=num_images, seed=seed)


def load_prepared(
  codes: Iterable[str], options: DataOptions
) -> tuple[list[GreySet], dict[str, str]]:
  """Prepared sets in the order of `codes` (or folders), and the fingerprint of each set's files.

  Simulated ones are drawn at once, each in a thread; real ones load in turn, as they may have to be
  downloaded first, which must be seen and can be interrupted.
  """

  def load_one(code: str) -> tuple[GreySet, str]:
    image_set = load_set(code, options)
    grey_set = prepare(image_set, protocol=options.protocol, downscale=options.downscale)
    return grey_set, datasets.fingerprint(image_set)

  codes = list(codes)
  if options.data == 'simulated':
    with ThreadPoolExecutor() as threads:
      loaded = list(threads.map(load_one, codes))
  else:
    loaded = list(map(load_one, codes))
  sets, fingerprints = zip(*loaded, strict=True)
  names = [grey_set.code for grey_set in sets]
  return list(sets), dict(zip(names, fingerprints, strict=True))


def hold_out(grey_set: GreySet, seed: int) -> tuple[GreySet, GreySet]:
  """Split a source by images into the part to train on and the part to validate on (a tenth)."""
  if len(grey_set.images) < 2:
    raise InputError(
      f'{grey_set.code}: 1 image is there, and a source needs two at least, one of them to validate'
      ' on: add images (to --raw-dir, if it is published), or leave it out of --sources'
    )
  order = np.random.default_rng(seed).permutation(len(grey_set.images))
  num_held_out = max(1, len(order) // VALIDATION_SHARE)
  held_out, kept = np.sort(order[:num_held_out]), np.sort(order[num_held_out:])
  return split(grey_set, kept), split(grey_set, held_out)


def source_stride(code: str, downscale: int) -> tuple[int, int]:
  """(rows, columns) between the crops of a source, after shrinking."""
  return _shrunk(SOURCE_STRIDES.get(code, own_sources.STRIDE), downscale)


def finetune_stride(code: str, downscale: int) -> tuple[int, int]:
  """(rows, columns) between the crops of a target, after shrinking."""
  return _shrunk(FINETUNE_STRIDES[code], downscale)


def _shrunk(stride: tuple[int, int], downscale: int) -> tuple[int, int]:
  return max(1, stride[0] // downscale), max(1, stride[1] // downscale)
