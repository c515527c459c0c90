"""The paper's method at a size for two cores: half resolution and few steps.

  python -m experiments.meta_train --target=TNBC --preset=cpu

About 40 minutes on two cores. Learning rates are ten times the paper's or more, since an Adam step
of 1e-3 changes N(0, 1) kernels under batch norm little. Fine-tuning starts from batch-norm scales
of 1, which such rates do not overturn.
"""

from experiments.configs import paper

CONFIG = {
  **paper.CONFIG,
  'downscale': 2,
  'crop_size': 128,
  'min_foreground': 90,
  'num_inner_steps': 10,
  'inner_lr': 1e-2,
  'meta_epochs': 20,
  'block_epochs': 5,
  'pretrain_steps': 400,
  'pretrain_batch_size': 10,
  'pretrain_block_steps': 25,
  'validation_crops': 20,
  'pretrain_lr': 1e-2,
  'finetune_steps': 30,
  'finetune_batch_size': 8,
  'finetune_lr': 1e-2,
  'norm_scale': 1.0,
  'max_test_images': 20,
  'simulated_images': 20,
}
