"""Options of the commands: frozen dataclasses, filled from a preset, then the command line."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import jax
import tyro

from experiments.presets import PRESETS, Preset
from fscs.errors import InputError
from fscs.models import FCRN, Architecture, KernelInit, UNet, make_model
from fscs.models.convolution import Lowering
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
  widths: tuple[int, ...] | None = None
  """Channels of the levels: four for fcrn, three for unet; the paper's by default."""
  lowering: Lowering = 'auto'
  """How convolutions run: auto chooses what the platform does best; xla, patches, project."""
  seed: int = 0
  """Seed of initial parameters and of everything drawn."""


Config = TypeVar('Config')


def from_preset(config_class: type[Config], preset: str) -> Config:
  """The configuration of a preset: the class's defaults with the preset's values over them."""
  names = {field.name for field in dataclasses.fields(config_class)}
  values = {name: value for name, value in PRESETS[preset].items() if name in names}
  return config_class(preset=preset, **values)


def make_network(options: NetworkOptions, **attributes) -> FCRN | UNet:
  """The network that the options describe, with further attributes of `fscs.make_model`."""
  return make_model(
    options.arch,
    widths=options.widths,
    kernel_init=options.kernel_init,
    lowering=options.lowering,
    **attributes,
  )


def warn_without_accelerator(config: DataOptions) -> None:
  """Say so where the paper's sizes meet a machine without a GPU or TPU."""
  if config.preset == 'paper' and jax.default_backend() == 'cpu':
    print(
      'note: no GPU or TPU was found, and --preset=paper would take days on a CPU;'
      ' --preset=cpu is sized for one',
      file=sys.stderr,
    )


def preset_defaults(config_class: type[Config]) -> Callable[[Sequence[str]], Config]:
  """A function from the command line to the configuration of the preset that it names."""

  @dataclasses.dataclass(frozen=True)
  class Where:
    preset: Preset = config_class.preset

  def defaults(arguments: Sequence[str]) -> Config:
    where, _ = tyro.cli(Where, args=arguments, return_unknown_args=True, add_help=False)
    return from_preset(config_class, where.preset)

  return defaults


def run(
  main: Callable[[Config], Any],
  config_class: type[Config],
  defaults: Callable[[Sequence[str]], Config] | None = None,
) -> None:
  """Parse the command line over `defaults` (those of --preset if none are given) and run.

  Wrong options end the program with tyro's explanation, an `InputError` with one line; both with
  exit status 2.
  """
  arguments = sys.argv[1:]
  defaults = defaults or preset_defaults(config_class)
  try:
    config = tyro.cli(
      config_class,
      args=arguments,
      default=defaults(arguments),
      description=sys.modules[main.__module__].__doc__,
      config=(tyro.conf.FlagConversionOff,),
    )
    main(config)
  except InputError as error:
    print(f'error: {error}', file=sys.stderr)
    raise SystemExit(2) from None
  except KeyboardInterrupt:
    print('interrupted: the same command goes on from where it was saved last', file=sys.stderr)
    raise SystemExit(130) from None
