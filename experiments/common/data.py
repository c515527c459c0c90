"""From options to prepared sets: the same for every command."""

import functools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from experiments.common import own_sources
from experiments.common.options import DataOptions
from fscs.data import datasets
from fscs.data.preprocessing import FINETUNE_STRIDES, SOURCE_STRIDES, GreySet, prepare, split
from fscs.errors import InputError
from fscs.typing import ImageSet

VALIDATION_SHARE = 10  # one image in so many of a source is held out for validation


class Loaded(NamedTuple):
  """A data set, prepared."""

  grey_set: GreySet
  fingerprint: str  # of its files
  objects: list[np.ndarray] | None = None  # (H, W) labels of its images, where they are own ones


def load_set(code: str, options: DataOptions) -> ImageSet:
  """One of the published data sets, real or simulated, as it is on disk."""
  sys.stderr.write(f'data: {code} ({options.data})\n')  # in one piece, as sets load at once
  if options.data == 'simulated':
    return _simulated(code, options.simulated_images, options.data_seed)
  return datasets.load(code, data_dir=options.data_dir, raw_dir=options.raw_dir)


@functools.lru_cache(maxsize=2 * len(datasets.CODES))
def _simulated(code: str, num_images: int, seed: int) -> ImageSet:
  """Drawn once in a process: a set takes seconds, and commands that call others ask again."""
  from fscs.data.synthetic import simulate

  return simulate(code, num_images=num_images, seed=seed)


def load_prepared(codes: Sequence[str], options: DataOptions) -> list[Loaded]:
  """Prepared sets in the order of `codes`, folders of own images among them.

  Simulated ones are drawn at once, each in a thread; real ones load in turn, as they may have to be
  downloaded first, which must be seen and can be interrupted.
  """

  def load_one(code: str) -> Loaded:
    return _prepared(load_set(code, options), options)

  with ThreadPoolExecutor() as threads:
    load = threads.map if options.data == 'simulated' else map
    published = load(load_one, [code for code in codes if code in datasets.CODES])
    return [next(published) if c in datasets.CODES else _load_own(c, options) for c in codes]


def _load_own(folder: str, options: DataOptions) -> Loaded:
  sys.stderr.write(f'data: {folder}\n')
  image_set = own_sources.read(folder, options.crop_size * options.downscale)
  loaded = _prepared(image_set, options)
  return loaded._replace(objects=own_sources.objects(image_set, options.downscale))


def _prepared(image_set: ImageSet, options: DataOptions) -> Loaded:
  grey_set = prepare(image_set, protocol=options.protocol, downscale=options.downscale)
  return Loaded(grey_set, datasets.fingerprint(image_set))


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
