"""Options of the commands: frozen dataclasses whose unset fields take the preset's values."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import optax

from experiments.configs import PRESETS, Preset
from fscs.augmentation import AugmentationName
from fscs.cli.console import closed_output_allowed, input_errors_shown, run_command
from fscs.cli.parsing import parse
from fscs.data.preprocessing import Protocol
from fscs.errors import InputError
from fscs.losses import PixelLossName
from fscs.models import FCRN, Architecture, KernelInit, UNet, make_model
from fscs.models.convolution import Lowering
from fscs.models.layers import Precision
from fscs.optimizers import OptimizerName

Schedule = Literal['constant', 'cosine']

_AT_LEAST_0 = (
  *('seed', 'data_seed', 'alpha', 'beta', 'weight_decay', 'norm_scale', 'finetune_steps'),
)
_AT_LEAST_1 = (
  *('simulated_images', 'downscale', 'crop_size', 'min_foreground', 'meta_epochs', 'task_batch'),
  *('num_inner_steps', 'num_crops', 'block_epochs', 'pretrain_epochs', 'pretrain_steps'),
  *('pretrain_batch_size', 'pretrain_block_steps', 'validation_crops', 'finetune_epochs'),
  *('finetune_batch_size', 'max_test_images', 'at_once', 'test_batch_size'),
)
_ABOVE_0 = ('inner_lr', 'meta_lr', 'pretrain_lr', 'finetune_lr')
_SEEDS = ('seed', 'data_seed')
_MAX_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class PresetOptions:
  """Options of which the preset decides those that are not given."""

  preset: Preset = 'paper'
  """paper (GPU), cpu (two cores), recommended (recipe of the pretrained initialisation), demo (two
  minutes) or smoke (seconds, only to try the commands); see experiments/configs."""

  def __post_init__(self) -> None:
    """Fill in the preset's values, then check all of them.

    Raises:
      InputError: as `check`.
    """
    for field in dataclasses.fields(self):
      if getattr(self, field.name) is None and field.name in PRESETS[self.preset]:
        object.__setattr__(self, field.name, PRESETS[self.preset][field.name])
    self.check()

  def check(self) -> None:
    """Check the values that are given.

    Raises:
      InputError: a number is too small or too large to mean anything.
    """
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      if value is not None:
        _check(field.name, value)
    if isinstance(self, NetworkOptions) and (crop_size := getattr(self, 'crop_size', None)):
      stride = make_network(self).stride
      if crop_size % stride:
        raise InputError(
          f'crop_size is {crop_size}: {self.arch} needs a multiple of {stride}',
          arguments=('crop_size',),
        )


def _check(name: str, value: Any) -> None:
  wrong = ''
  if name in _AT_LEAST_0 and not value >= 0:
    wrong = 'at least 0'
  elif name in _AT_LEAST_1 and not value >= 1:
    wrong = 'at least 1'
  elif name in _ABOVE_0 and not value > 0:
    wrong = 'a number above 0'
  elif name in _SEEDS and value > _MAX_SEED:
    wrong = f'at most {_MAX_SEED}'
  elif name == 'diameter_range' and not 0 < value[0] <= value[1]:
    wrong = 'two numbers above 0, the smaller one first'
  if wrong:
    raise InputError(f'{name} is {value}: expected {wrong}', arguments=(name,))


@dataclasses.dataclass(frozen=True)
class DataOptions(PresetOptions):
  """Which images, and how they are prepared."""

  data: Literal['real', 'simulated'] = 'real'
  """Published images, or simulated ones of the same five kinds."""
  raw_dir: str | None = None
  """Folder of downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Folder for prepared data; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  data_seed: int = 0
  """Seed of the simulated images."""
  simulated_images: int | None = None
  """Simulated images per kind; by default the preset's."""
  protocol: Protocol = 'corrected'
  """corrected, or paper: 16-bit images are clipped at 255, as in the published code."""
  downscale: int | None = None
  """Whole factor by which images shrink; by default the preset's."""
  crop_size: int | None = None
  """Side of the crops in pixels, after shrinking; by default the preset's."""
  min_foreground: int | None = None
  """Least number of foreground pixels in a crop; by default the preset's."""


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
  """Which network."""

  arch: Architecture | None = None
  """fcrn or unet, the paper's networks, or deep_unet: one more level, half the channels. By default
  the preset's."""
  kernel_init: KernelInit | None = None
  """Initial kernels: normal, the paper's N(0, 1), or he; by default the preset's."""
  widths: tuple[int, ...] | None = None
  """Channels of the levels; the network's own by default."""
  lowering: Lowering = 'auto'
  """How convolutions run; auto chooses what is fastest on the platform."""
  precision: Precision = 'float32'
  """Of convolutions: float32 (multiplied in TF32 on GPUs that can, unless
  JAX_DEFAULT_MATMUL_PRECISION=highest is set), or bfloat16."""
  seed: int = 0
  """Seed of initial parameters and of everything drawn."""


@dataclasses.dataclass(frozen=True)
class LearningOptions:
  """What training minimises, with which optimizer, and how crops are augmented."""

  loss: PixelLossName | None = None
  """Segmentation loss: weighted_bce, the paper's, or bce_dice; by default the preset's."""
  optimizer: OptimizerName | None = None
  """adam, the paper's, or muon, which needs fewer steps at ten times the learning rate; by default
  the preset's."""
  augmentation: AugmentationName | None = None
  """Of crops at every step: none or mild; by default the preset's."""
  weight_decay: float | None = None
  """Weight decay, added to the gradient; by default the preset's."""


def learning_rate(highest: float, schedule: Schedule, num_steps: int) -> optax.ScalarOrSchedule:
  """Constant, or falling to 0 along half a cosine."""
  return highest if schedule == 'constant' else optax.cosine_decay_schedule(highest, num_steps)


def make_network(options: NetworkOptions, **attributes) -> FCRN | UNet:
  """The network of the options, with further attributes of `fscs.models.make_model`."""
  return make_model(
    options.arch or 'fcrn',
    widths=options.widths,
    kernel_init=options.kernel_init or 'normal',
    lowering=options.lowering,
    precision=options.precision,
    **attributes,
  )


def warn_without_accelerator(config: PresetOptions) -> None:
  """A note if the paper's sizes meet a machine without a GPU or TPU."""
  if config.preset == 'paper' and jax.default_backend() == 'cpu':
    print(
      'note: no GPU or TPU was found, and --preset=paper would take days on a CPU;'
      ' --preset=cpu is sized for one',
      file=sys.stderr,
    )


Config = TypeVar('Config')


def run(command: Callable[[Config], Any], config_class: type[Config]) -> None:
  """Parse the command line and run a command; see `fscs.cli.console.run_command`."""
  with closed_output_allowed():
    module = sys.modules[command.__module__]
    name = module.__spec__.name.removesuffix('.__main__') if module.__spec__ else module.__name__
    with input_errors_shown(config_class):  # of values that do not go together
      config = parse(config_class, prog=f'python -m {name}', description=module.__doc__)
    run_command(command, config)
