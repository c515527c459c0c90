"""A small `cpu` for simulated images: `python -m experiments.demo`, 1.5 minutes on two cores."""

from experiments.configs import cpu

CONFIG = {
  **cpu.CONFIG,
  'crop_size': 64,
  'min_foreground': 40,
  'num_crops': 4,
  'num_inner_steps': 5,
  'meta_epochs': 24,
  'block_epochs': 4,
  'pretrain_steps': 240,
  'pretrain_batch_size': 8,
  'pretrain_block_steps': 20,
  'validation_crops': 16,
  'finetune_steps': 25,
  'max_test_images': 6,
  'simulated_images': 12,
}
