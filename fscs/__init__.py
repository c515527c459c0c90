"""Few-shot cell segmentation: initialisations that adapt to new images from a few examples.

The public names; importing them reads no data and loads no TensorFlow. Everything is a pure
function of arrays: see `fscs.meta.inner_loop` (the inner loop), `fscs.meta.reptile` (the outer loop), `fscs.losses`,
`experiments.common.finetuning` and `fscs.data.datasets`.
"""

from fscs import losses, metrics
from fscs.data import datasets
from fscs.errors import InputError
from fscs.io.checkpoints import load_init, save_init
from fscs.io.initialisations import Initialisation, pretrained
from fscs.io.pytorch import params_from_torch
from fscs.meta.inner_loop import adapt
from fscs.meta.reptile import InnerLoop, init_state, make_meta_block, meta_step, reptile_gradient
from fscs.models import FCRN, UNet, init_params, make_model, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.segmentation.finetuning import finetune
from fscs.segmentation.segmenter import Segmenter
from fscs.typing import Episode, ImageSet, MetaState

__version__ = '0.1.0'

__all__ = [
  'FCRN',
  'Episode',
  'ImageSet',
  'Initialisation',
  'InnerLoop',
  'InputError',
  'MetaState',
  'Segmenter',
  'UNet',
  'adapt',
  'datasets',
  'finetune',
  'init_params',
  'init_state',
  'inner_optimizer',
  'load_init',
  'losses',
  'make_meta_block',
  'make_model',
  'meta_step',
  'metrics',
  'params_from_torch',
  'pretrained',
  'reptile_gradient',
  'save_init',
  'with_affine_norms',
]
