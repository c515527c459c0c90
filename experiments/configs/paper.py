"""The published protocol, for a GPU.

  python -m experiments.meta_train --target=B5
  python -m experiments.finetune_eval

Days on a CPU. Values are those of the published code and result names; see the guide "Reproduce
the paper".
"""

CONFIG = {
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
  'pretrain_block_steps': 500,
  'validation_crops': 1000,
  'pretrain_lr': 1e-3,
  'finetune_epochs': 20,
  'finetune_steps': None,
  'finetune_batch_size': 64,
  'finetune_lr': 1e-4,
  'norm_scale': 0.1,
  'max_test_images': None,
  'simulated_images': 40,
  'arch': 'fcrn',
  'kernel_init': 'normal',
  'loss': 'weighted_bce',
  'optimizer': 'adam',
  'augmentation': 'none',
  'weight_decay': 5e-4,
  'kernel_norms': 'free',
  'objective': 'combined',
  'meta_schedule': 'constant',
  'pretrain_schedule': 'constant',
  'finetune_schedule': 'constant',
  'batches': 'mixed',
  'adaptation': 'paper',
  'diameter_range': None,
}
