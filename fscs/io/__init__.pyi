from .checkpoints import Checkpoints, load_init, save_init
from .files import IMAGE_SUFFIXES, MASK_SUFFIXES, find_files
from .image_refs import ImageRef
from .images import ImageFile, open_image, require_finite
from .initialisations import Initialisation, load_initialisation, pretrained
from .mask_values import Mask
from .masks import read_mask, require_pages
from .opening import images_of
from .pairing import IMAGE_ENDINGS, MASK_ENDINGS, NothingPairedError, Pair, match, separate
from .pixel_size import PixelSize
from .pytorch import params_from_torch

__all__ = [
  'IMAGE_ENDINGS',
  'IMAGE_SUFFIXES',
  'MASK_ENDINGS',
  'MASK_SUFFIXES',
  'Checkpoints',
  'ImageFile',
  'ImageRef',
  'Initialisation',
  'Mask',
  'NothingPairedError',
  'Pair',
  'PixelSize',
  'find_files',
  'images_of',
  'load_init',
  'load_initialisation',
  'match',
  'open_image',
  'params_from_torch',
  'pretrained',
  'read_mask',
  'require_finite',
  'require_pages',
  'save_init',
  'separate',
]
