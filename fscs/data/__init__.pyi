from . import datasets, synthetic
from .bank import Bank, make_bank, sample_crops, take_crops
from .channels import choose_channel
from .datasets import CODES, load
from .image_sets import GreySet, ImageSet
from .intensity import normalise, stretch, to_grey
from .preprocessing import prepare, select_images
from .scaling import choose_scale
from .support_sets import random_selections, read_selections

__all__ = [
  'CODES',
  'Bank',
  'GreySet',
  'ImageSet',
  'choose_channel',
  'choose_scale',
  'datasets',
  'load',
  'make_bank',
  'normalise',
  'prepare',
  'random_selections',
  'read_selections',
  'sample_crops',
  'select_images',
  'stretch',
  'synthetic',
  'take_crops',
  'to_grey',
]
