"""Sources of meta-training and pre-training: options, images, pictures."""

import dataclasses
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from skimage.measure import label

from experiments.common import data, figures, source_folders
from experiments.common.data import Loaded
from fscs.data.bank import Bank, make_bank, sample_crops
from fscs.data.datasets import CODES, Code
from fscs.data.scaling import (
  DiameterRange,
  choose_scale,
  resize_set,
  scaled_stride,
  typical_diameter,
)
from fscs.errors import InputError

CROPS_IN_FIGURE = 5
NO_TARGET = 'none'
IMAGES_MEASURED = 10  # images of a source that its typical object size is measured on


@dataclasses.dataclass(frozen=True)
class SourceOptions:
  """Data sets to learn from."""

  target: Code | Literal['none'] = 'B5'
  """The data set to leave out and adapt to later, or none."""
  sources: tuple[str, ...] = ()
  """Data sets to learn from: B5, B39, ssTEM, EM, TNBC, or folders of annotated images, with masks
  beside the images or in images/ and masks/. By default all published ones except the target."""
  diameter_range: tuple[float, float] | None = None
  """Resize each source so that its typical object diameter lies in this range, in pixels. By
  default the preset's (none in paper)."""


class Sources(NamedTuple):
  """The sources on the device. A tenth of each source's images is held out for validation."""

  training: Bank
  validation: Bank
  fingerprints: dict[str, str]  # of the files, by name
  diameter_range: DiameterRange  # of the objects learned from, see `fscs.data.choose_scale`

  @property
  def names(self) -> tuple[str, ...]:
    """Codes, and the names of folders."""
    return tuple(self.fingerprints)

  @property
  def facts(self) -> dict[str, Any]:
    """Facts that must be equal when a run resumes."""
    return {'sources': self.names, 'data_fingerprints': self.fingerprints}


def codes_of(config: SourceOptions) -> tuple[str, ...]:
  """The codes and folders to learn from.

  Raises:
    InputError: one is neither, the target is among them, or two have the same name.
  """
  codes = config.sources or tuple(code for code in CODES if code != config.target)
  if config.target in codes and config.target != NO_TARGET:
    raise InputError(
      f'the sources have {config.target}, which is the target: an initialisation must not have'
      ' learned from its target',
      arguments=('sources', 'target'),
    )
  folders = [code for code in codes if code not in CODES]
  for folder in folders:
    if not Path(folder).is_dir():
      raise InputError(
        f'source {folder}: expected one of {" ".join(CODES)}, or a folder of annotated images',
        arguments=('sources',),
      )
    if source_folders.name_of(folder) in CODES:
      raise InputError(
        f'source {folder}: a published data set has that name; rename it', arguments=('sources',)
      )
  named: dict[str, list[str]] = {}
  for code in codes:
    named.setdefault(source_folders.name_of(code) if code in folders else code, []).append(code)
  for name, same in named.items():
    if len(same) > 1 and len(set(same)) == 1:
      raise InputError(f'source {same[0]} is given twice', arguments=('sources',))
    if len(same) > 1:
      raise InputError(
        f'sources {" and ".join(same)} have the same name, {name}: rename one of them, or leave it'
        ' out',
        arguments=('sources',),
      )
  return codes


def load(config, codes: tuple[str, ...]) -> Sources:
  """Load, prepare and split the sources; move them to the device."""
  loaded = data.load_prepared(codes, config)
  grey_sets = [one.grey_set for one in loaded]
  fingerprints = {one.grey_set.code: one.fingerprint for one in loaded}
  objects = [_objects(one) for one in loaded]
  for code, labels in zip(codes, objects, strict=True):
    if not any(image.any() for image in labels):
      raise InputError(
        f'{code}: no foreground is left: shrink the images less', arguments=('downscale',)
      )
  typical = float(np.median([typical_diameter(labels) for labels in objects]))
  found = config.diameter_range or (typical, typical)
  strides = [data.source_stride(code, config.downscale) for code in codes]
  if config.diameter_range is not None:
    scales = [choose_scale(labels, found) for labels in objects]
    grey_sets = [
      resize_set(grey_set, scale, config.crop_size)
      for grey_set, scale in zip(grey_sets, scales, strict=True)
    ]
    strides = [scaled_stride(*pair) for pair in zip(strides, scales, strict=True)]
  parts = [data.hold_out(grey_set, config.seed) for grey_set in grey_sets]
  banks = []
  for purpose, sets in zip(('training', 'validation'), zip(*parts, strict=True), strict=True):
    try:
      bank = make_bank(
        sets, crop_size=config.crop_size, strides=strides, min_foreground=config.min_foreground
      )
    except InputError as error:
      raise InputError(f'images for {purpose}: {error}', arguments=error.arguments) from error
    banks.append(bank)
  return Sources(*banks, fingerprints, found)


def _objects(loaded: Loaded) -> list[np.ndarray]:
  """(H, W) labels of some images of a source; connected components for published sets."""
  masks = loaded.grey_set.masks
  chosen = sorted(set(np.linspace(0, len(masks) - 1, IMAGES_MEASURED).astype(int)))
  if loaded.objects is not None:
    return [loaded.objects[i] for i in chosen]
  return [label(masks[i], connectivity=1) for i in chosen]


def draw_crops(path: Path, bank: Bank, codes: tuple[str, ...], config) -> None:
  """Write a picture of crops of every source with their masks, sampled as in training."""
  key = jax.random.fold_in(jax.random.key(config.seed), 3)  # training uses 0 to 2
  rows = [
    sample_crops(jax.random.fold_in(key, i), bank, i, CROPS_IN_FIGURE, config.crop_size)
    for i in range(len(codes))
  ]
  images, masks = (
    [np.asarray(crops[..., 0]) for crops in part] for part in zip(*rows, strict=True)
  )
  figures.draw_crops(path, codes, images, masks)


def draw_curves(workdir: Path) -> None:
  """Write loss curves of a run."""
  figures.draw_losses(workdir / 'losses.png', workdir / 'figures.csv')
