"""From options to prepared data sets, the same for every command."""

import functools
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from experiments.common import source_folders
from experiments.common.options import DataOptions
from fscs.data import datasets
from fscs.data.image_sets import GreySet, ImageSet
from fscs.data.preprocessing import prepare, select_images
from fscs.errors import InputError

VALIDATION_SHARE = 10  # one image in so many of a source is held out

# Distance between crops at full resolution in (rows, columns), as published.
SOURCE_STRIDES = {
  'B5': (140, 140),
  'B39': (55, 55),
  'EM': (85, 85),
  'TNBC': (20, 20),
  'ssTEM': (32, 32),
}
FINETUNE_STRIDES = {
  'B5': (30, 30),
  'B39': (50, 26),
  'EM': (30, 30),
  'TNBC': (28, 28),
  'ssTEM': (30, 30),
}


class Loaded(NamedTuple):
  """A prepared data set."""

  grey_set: GreySet
  fingerprint: str  # of its files
  objects: list[np.ndarray] | None = None  # (H, W) labels of its images, of folders only


def load_set(code: str, options: DataOptions) -> ImageSet:
  """A published data set, real or simulated, as it is on disk."""
  sys.stderr.write(f'data: {code} ({options.data})\n')  # one write, as sets load in threads
  if options.data == 'simulated':
    return _simulated(code, options.simulated_images or 1, options.data_seed)
  return datasets.load(code, data_dir=options.data_dir, raw_dir=options.raw_dir)


@functools.lru_cache(maxsize=2 * len(datasets.CODES))
def _simulated(code: str, num_images: int, seed: int) -> ImageSet:
  """Cached: drawing a set takes seconds, and commands that call others ask again."""
  from fscs.data.synthetic import simulate

  return simulate(code, num_images=num_images, seed=seed)


def load_prepared(codes: Sequence[str], options: DataOptions) -> list[Loaded]:
  """Prepared sets in the order of `codes`, folders of annotated images among them.

  Simulated sets are drawn in threads. Real ones load in turn, since downloads are shown and can be
  interrupted.
  """

  def load_one(code: str) -> Loaded:
    return _prepared(load_set(code, options), options)

  with ThreadPoolExecutor() as threads:
    load = threads.map if options.data == 'simulated' else map
    published = load(load_one, [code for code in codes if code in datasets.CODES])
    return [
      next(published) if code in datasets.CODES else _load_folder(code, options) for code in codes
    ]


def _load_folder(folder: str, options: DataOptions) -> Loaded:
  sys.stderr.write(f'data: {folder}\n')
  image_set = source_folders.read_folder(folder, options.crop_size * options.downscale)
  loaded = _prepared(image_set, options)
  return loaded._replace(objects=source_folders.shrunk_labels(image_set, options.downscale))


def _prepared(image_set: ImageSet, options: DataOptions) -> Loaded:
  grey_set = prepare(image_set, protocol=options.protocol, downscale=options.downscale)
  return Loaded(grey_set, datasets.fingerprint(image_set))


def hold_out(grey_set: GreySet, seed: int) -> tuple[GreySet, GreySet]:
  """Split a source by images: one part to train on, and a tenth to validate on.

  Raises:
    InputError: there is one image only.
  """
  if len(grey_set.images) < 2:
    raise InputError(
      f'{grey_set.code}: found 1 image, and a source needs two at least, one of them to validate'
      ' on: add images, or leave the source out',
      arguments=('raw_dir', 'sources'),
    )
  order = np.random.default_rng(seed).permutation(len(grey_set.images))
  num_held_out = max(1, len(order) // VALIDATION_SHARE)
  held_out, kept = np.sort(order[:num_held_out]), np.sort(order[num_held_out:])
  return select_images(grey_set, kept), select_images(grey_set, held_out)


def source_stride(code: str, downscale: int) -> tuple[int, int]:
  """(rows, columns) between the crops of a source, after shrinking."""
  return _shrunk(SOURCE_STRIDES.get(code, source_folders.STRIDE), downscale)


def finetune_stride(code: str, downscale: int) -> tuple[int, int]:
  """(rows, columns) between the crops of a target, after shrinking."""
  return _shrunk(FINETUNE_STRIDES[code], downscale)


def _shrunk(stride: tuple[int, int], downscale: int) -> tuple[int, int]:
  return max(1, stride[0] // downscale), max(1, stride[1] // downscale)
