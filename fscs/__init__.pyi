from . import (
  augmentation,
  data,
  io,
  losses,
  meta,
  metrics,
  models,
  optimizers,
  training,
  typing,
)
from .errors import InputError
from .io.initialisations import Initialisation, pretrained
from .segmentation.finetuning import finetune
from .segmentation.segmenter import Segmenter

__version__: str

__all__ = [
  'Initialisation',
  'InputError',
  'Segmenter',
  'augmentation',
  'data',
  'finetune',
  'io',
  'losses',
  'meta',
  'metrics',
  'models',
  'optimizers',
  'pretrained',
  'training',
  'typing',
]
