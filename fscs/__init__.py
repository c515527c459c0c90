"""Few-shot cell segmentation: initialisations that adapt to new images from a few examples.

The public names; importing them reads no data and loads no TensorFlow. Everything is a pure
function of arrays: see `fscs.adapt` (the inner loop), `fscs.meta` (the outer loop), `fscs.losses`,
`fscs.evaluate` and `fscs.datasets`.
"""

from fscs import datasets, losses, metrics
from fscs.adapt import adapt
from fscs.checkpoint import load_init, save_init
from fscs.errors import InputError
from fscs.finetuning import finetune
from fscs.interop import params_from_torch
from fscs.meta import InnerLoop, init_state, make_meta_block, meta_step, reptile_gradient
from fscs.models import FCRN, UNet, init_params, make_model, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.segmenter import Segmenter
from fscs.starting_points import Initialisation, pretrained
from fscs.types import Episode, ImageSet, MetaState

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
