"""Options of the commands: frozen dataclasses, filled from a preset, then the command line."""

import contextlib
import dataclasses
import io
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeVar

import jax
import optax
import tyro

from experiments.common.presets import PRESETS, Preset
from fscs.augmentation import AugmentationName
from fscs.data.datasets import default_data_dir
from fscs.data.preprocessing import Protocol
from fscs.errors import InputError
from fscs.losses import PixelLossName
from fscs.models import FCRN, Architecture, KernelInit, UNet, make_model
from fscs.models.convolution import Lowering
from fscs.models.layers import Precision
from fscs.optimizers import OptimizerName

Code = Literal['B5', 'B39', 'ssTEM', 'EM', 'TNBC']
Schedule = Literal['constant', 'cosine']


@dataclasses.dataclass(frozen=True)
class DataOptions:
  """Which images, and how they are prepared."""

  preset: Preset = 'paper'
  """Sizes of everything: paper (GPU), cpu (two cores), recommended (as cpu, a better
  recipe than the paper's), demo (minutes) or smoke (under one)."""
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
  """fcrn or unet, the paper's, or deep_unet: a level more and half the channels."""
  kernel_init: KernelInit = 'normal'
  """Initial kernels: normal, the paper's N(0, 1), or he."""
  widths: tuple[int, ...] | None = None
  """Channels of the levels: four for fcrn, two or more for others; the network's own by default."""
  lowering: Lowering = 'auto'
  """How convolutions run: auto chooses what the platform does best."""
  precision: Precision = 'float32'
  """Of convolutions: float32 (multiplied in TF32 on GPUs that can, unless
  JAX_DEFAULT_MATMUL_PRECISION=highest is set), or bfloat16 for GPUs and TPUs that run it faster."""
  seed: int = 0
  """Seed of initial parameters and of everything drawn."""


@dataclasses.dataclass(frozen=True)
class LearningOptions:
  """What training minimises, how, and what it does to crops."""

  loss: PixelLossName = 'weighted_bce'
  """Segmentation loss: the paper's weighted_bce, or bce_dice, which keeps rare foreground small."""
  optimizer: OptimizerName = 'adam'
  """The paper's adam, or muon, which needs fewer steps, at ten times the learning rate."""
  augmentation: AugmentationName = 'none'
  """Of crops at every step: none, mild (like the images themselves) or strong (other kinds)."""


def learning_rate(highest: float, schedule: Schedule, num_steps: int) -> optax.ScalarOrSchedule:
  """Constant, or from its highest value to 0 along half a cosine."""
  return highest if schedule == 'constant' else optax.cosine_decay_schedule(highest, num_steps)


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
    precision=options.precision,
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
  interrupted: str = 'the same command goes on from where it was saved last',
) -> None:
  """Parse the command line over `defaults` (those of --preset if none are given) and run `main`.

  `interrupted` is what to say where the user interrupts it.
  Whatever a user can mend ends the program with one line and exit status 2: wrong options, an
  `InputError`, a file that cannot be read or written.
  """
  arguments = sys.argv[1:]
  warnings.showwarning = _show_warning
  keep_compiled_programs()
  try:
    config = _parse(config_class, arguments, defaults or preset_defaults(config_class), main)
    main(config)
  except InputError as error:
    _stop(f'error: {error}', 2)
  except BrokenPipeError:  # the reader of the output has seen enough, as `--help | head` has
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(1) from None
  except OSError as error:
    _stop(f'error: {error.filename or "a file"}: {error.strerror or error}', 2)
  except KeyboardInterrupt:
    _stop(f'interrupted: {interrupted}', 130)


def keep_compiled_programs() -> None:
  """A command that compiles what an earlier one compiled reads it from disk, in a second."""
  if jax.config.jax_compilation_cache_dir is None:  # $JAX_COMPILATION_CACHE_DIR comes first
    jax.config.update('jax_compilation_cache_dir', str(default_data_dir(None) / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


def _parse(config_class, arguments: Sequence[str], defaults, main) -> Any:
  explanation = io.StringIO()
  try:
    with contextlib.redirect_stderr(explanation):
      return tyro.cli(
        config_class,
        args=arguments,
        default=defaults(arguments),
        description=sys.modules[main.__module__].__doc__,
      )
  except SystemExit as stop:
    if stop.code in (0, None):
      raise
    lines = explanation.getvalue().partition('For full helptext')[0].splitlines()[1:]  # no title
    text = re.sub(r'[^\x20-\x7e]+', ' ', ' '.join(lines))  # without the box around it
    raise InputError(' '.join(text.split()).rstrip('- ')) from stop


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
  """Our own warnings are for the user, in one line; a library's keep saying where they are from."""
  where = '' if category is UserWarning else f' ({category.__name__}, {filename}:{lineno})'
  print(f'warning: {message}{where}', file=file or sys.stderr)


def _stop(line: str, status: int) -> NoReturn:
  print(line, file=sys.stderr)
  raise SystemExit(status) from None
