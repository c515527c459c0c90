"""Shows that everything runs, within a minute; the scores mean nothing.

python -m experiments.meta_train --preset=smoke --data=simulated
"""

from experiments.configs import paper

CONFIG = {
  **paper.CONFIG,
  'downscale': 4,
  'crop_size': 32,
  'min_foreground': 20,
  'num_crops': 2,
  'num_inner_steps': 2,
  'meta_epochs': 4,
  'block_epochs': 2,
  'pretrain_epochs': 1,
  'pretrain_steps': 4,
  'pretrain_batch_size': 4,
  'pretrain_block_steps': 2,
  'validation_crops': 4,
  'finetune_epochs': 1,
  'finetune_steps': 4,
  'finetune_batch_size': 4,
  'finetune_lr': 1e-3,
  'max_test_images': 3,
  'simulated_images': 12,
}
