"""Every number that a preset decides, in one place; each is also an option of the commands.

`paper` is the published protocol, for a GPU. `cpu` is sized for two cores: half resolution, and an
inner and outer loop short enough that meta-training for one target ends within 40 minutes. `smoke`
only shows that everything runs.
"""

from typing import Any, Literal

Preset = Literal['paper', 'cpu', 'smoke']

PRESETS: dict[str, dict[str, Any]] = {
  'paper': {
    'downscale': 1,
    'crop_size': 256,
    'min_foreground': 360,
    'num_crops': 5,
    'num_inner_steps': 30,
    'inner_lr': 1e-3,
    'meta_epochs': 700,
    'block_epochs': 10,
    'pretrain_epochs': 100,
    'pretrain_steps': None,
    'pretrain_batch_size': 64,
    'pretrain_lr': 1e-3,
    'finetune_epochs': 20,
    'finetune_steps': None,
    'finetune_batch_size': 64,
    'finetune_lr': 1e-4,
    'max_test_images': None,
    'simulated_images': 40,
  },
  'cpu': {
    'downscale': 2,
    'crop_size': 128,
    'min_foreground': 90,
    'num_crops': 5,
    'num_inner_steps': 10,
    'inner_lr': 1e-3,
    'meta_epochs': 30,
    'block_epochs': 2,
    'pretrain_epochs': 100,
    'pretrain_steps': 600,
    'pretrain_batch_size': 10,
    'pretrain_lr': 1e-3,
    'finetune_epochs': 20,
    'finetune_steps': 60,
    'finetune_batch_size': 8,
    'finetune_lr': 1e-3,
    'max_test_images': 20,
    'simulated_images': 20,
  },
  'smoke': {
    'downscale': 4,
    'crop_size': 32,
    'min_foreground': 20,
    'num_crops': 2,
    'num_inner_steps': 2,
    'inner_lr': 1e-3,
    'meta_epochs': 4,
    'block_epochs': 2,
    'pretrain_epochs': 1,
    'pretrain_steps': 4,
    'pretrain_batch_size': 4,
    'pretrain_lr': 1e-3,
    'finetune_epochs': 1,
    'finetune_steps': 4,
    'finetune_batch_size': 4,
    'finetune_lr': 1e-3,
    'max_test_images': 3,
    'simulated_images': 8,
  },
}
