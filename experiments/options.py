"""Options of the commands: frozen dataclasses, filled from a preset, then the command line."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import tyro

from experiments.presets import PRESETS, Preset
from fscs.errors import InputError
from fscs.models import Architecture, KernelInit
from fscs.preprocessing import Protocol

Code = Literal['B5', 'B39', 'ssTEM', 'EM', 'TNBC']


@dataclasses.dataclass(frozen=True)
class DataOptions:
  """Which images, and how they are prepared."""

  preset: Preset = 'paper'
  """Sizes of everything: paper (GPU), cpu (two cores) or smoke (under a minute)."""
  data: Literal['real', 'simulated'] = 'real'
  """Published images, or simulated ones of the same five kinds, made from --data-seed."""
  raw_dir: str | None = None
  """Folder of already downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Where prepared data is kept; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  data_seed: int = 0
  """Seed of the simulated images."""
  simulated_images: int = 40
  """Simulated images per kind."""
  protocol: Protocol = 'corrected'
  """corrected, or paper: with the published code's clipping of 16-bit images at 255."""
  downscale: int = 1
  """Whole factor by which images shrink."""
  crop_size: int = 256
  """Side of the crops in pixels, after shrinking."""
  min_foreground: int = 360
  """Foreground pixels that a crop needs at least."""


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
  """Which network."""

  arch: Architecture = 'fcrn'
  """fcrn or unet."""
  kernel_init: KernelInit = 'normal'
  """Initial kernels: normal, the paper's N(0, 1), or he."""
  seed: int = 0
  """Seed of initial parameters and of everything drawn."""


Config = TypeVar('Config')


def from_preset(config_class: type[Config], preset: str) -> Config:
  """The configuration of a preset: the class's defaults with the preset's values over them."""
  names = {field.name for field in dataclasses.fields(config_class)}
  values = {name: value for name, value in PRESETS[preset].items() if name in names}
  return config_class(preset=preset, **values)


def parse(config_class: type[Config], arguments: Sequence[str] | None = None) -> Config:
  """Read the command line: --preset first, then every other option over its values.

  Wrong options end the program with status 2.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  default = from_preset(config_class, _preset_of(arguments, config_class))
  return tyro.cli(
    config_class,
    args=arguments,
    default=default,
    description=sys.modules[config_class.__module__].__doc__,
    config=(tyro.conf.FlagConversionOff,),
  )


def _preset_of(arguments: Sequence[str], config_class: type) -> str:
  preset = config_class.preset
  for index, argument in enumerate(arguments):
    if argument.startswith('--preset='):
      preset = argument.partition('=')[2]
    elif argument == '--preset' and index + 1 < len(arguments):
      preset = arguments[index + 1]
  return preset if preset in PRESETS else config_class.preset  # tyro names the choices


def run(main: Callable[[Config], None], config_class: type[Config]) -> None:
  """Parse the command line and run; an `InputError` becomes one line and exit status 2."""
  config = parse(config_class)
  try:
    main(config)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    raise SystemExit(2) from None
  except KeyboardInterrupt:
    print('interrupted: the same command goes on from the last checkpoint', file=sys.stderr)
    raise SystemExit(130) from None
