"""The recipe of the pretrained initialisation: better than the paper's, at the size of `cpu`.

  python -m experiments.meta_train --target=ssTEM --preset=recommended
  python -m experiments.finetune_eval --init=runs/ssTEM-deep_unet-bce-s0

About 15 minutes of training on two cores. A deeper and narrower U-Net with He's kernels, Reptile
with an outer rate that falls to 0, Muon, cross-entropy + Dice, augmentation, and sources resized to
objects of 24 to 60 pixels (24 to 32 in the initialisation that ships). Fine-tuning is that of
`fscs finetune`. What each part gives: docs/results/ablations.md.
"""

from experiments.configs import cpu

CONFIG = {
  **cpu.CONFIG,
  'arch': 'deep_unet',
  'kernel_init': 'he',
  'optimizer': 'muon',
  'kernel_norms': 'kept',
  'weight_decay': 0.0,
  'loss': 'bce_dice',
  'augmentation': 'mild',
  'diameter_range': (24.0, 60.0),
  'objective': 'bce',
  'num_inner_steps': 15,
  'inner_lr': 3e-2,
  'meta_epochs': 24,
  'meta_schedule': 'linear',
  'batches': 'source',
  'pretrain_steps': 1440,
  'pretrain_batch_size': 5,
  'pretrain_block_steps': 120,
  'pretrain_lr': 2e-2,
  'pretrain_schedule': 'cosine',
  'adaptation': 'fscs',
}
