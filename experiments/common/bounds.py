"""The values that options may have."""

import dataclasses

from experiments.common.options import DataOptions, NetworkOptions, make_network
from fscs.errors import InputError

# The smallest value of every option that has one; learning rates must be above theirs.
_SMALLEST = {
  'seed': 0,
  'data_seed': 0,
  'test_batch_size': 1,
  'alpha': 0,
  'beta': 0,
  'weight_decay': 0,
  'norm_scale': 0,
  'finetune_steps': 0,
  'forest_share': 0,
} | dict.fromkeys(
  (
    'simulated_images',
    'downscale',
    'crop_size',
    'min_foreground',
    'meta_epochs',
    'task_batch',
    'num_inner_steps',
    'num_crops',
    'block_epochs',
    'pretrain_epochs',
    'pretrain_steps',
    'pretrain_batch_size',
    'pretrain_block_steps',
    'validation_crops',
    'finetune_epochs',
    'finetune_batch_size',
    'max_test_images',
    'at_once',
  ),
  1,
)
_ABOVE_ZERO = ('inner_lr', 'meta_lr', 'pretrain_lr', 'finetune_lr')
_LARGEST = {'seed': 2**32 - 1, 'data_seed': 2**32 - 1, 'forest_share': 1}


def check_bounds(config: DataOptions) -> None:
  """Raises InputError where a number is too small or too large to mean anything."""
  for name, value in dataclasses.asdict(config).items():
    option = f'--{name.replace("_", "-")} is {value}'
    if value is None:
      continue
    if name in _SMALLEST and not value >= _SMALLEST[name]:
      raise InputError(f'{option}: it must be at least {_SMALLEST[name]}')
    if name in _LARGEST and not value <= _LARGEST[name]:
      raise InputError(f'{option}: it must be at most {_LARGEST[name]}')
    if name in _ABOVE_ZERO and not value > 0:
      raise InputError(f'{option}: it must be above 0')
    if name == 'crop_size' and isinstance(config, NetworkOptions):
      stride = make_network(config).stride
      if value % stride:
        raise InputError(f'{option}: --arch={config.arch} needs a multiple of {stride}')
    if name == 'diameter_range' and not 0 < value[0] <= value[1]:
      raise InputError(f'{option}: two numbers above 0 are needed, the smaller one first')
