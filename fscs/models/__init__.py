"""The two networks of the paper, a third, and how their parameters are made and extended."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import numpy as np

from fscs.errors import InputError
from fscs.models.fcrn import FCRN
from fscs.models.unet import UNet
from fscs.types import Params

__all__ = [
  'FCRN',
  'Architecture',
  'KernelInit',
  'UNet',
  'init_params',
  'make_model',
  'with_affine_norms',
]

Architecture = Literal['fcrn', 'unet', 'deep_unet']
KernelInit = Literal['normal', 'he']

_MODELS: dict[Architecture, Callable[..., FCRN | UNet]] = {
  'fcrn': FCRN,
  'unet': UNet,
  'deep_unet': functools.partial(UNet, widths=(16, 32, 64, 128), aligned=False),
}
_NUM_LEVELS = {'fcrn': (4, 4), 'unet': (2, 5), 'deep_unet': (2, 5)}  # see `fscs.tiles.ALIGNED`


def make_model(
  architecture: Architecture, *, widths: Sequence[int] | None = None, **options
) -> FCRN | UNet:
  """The network of that name, with its own widths unless others are given.

  Args:
    architecture: 'fcrn', 'unet', or 'deep_unet', which has a level more and half the channels.
    widths: channels of the levels; a U-Net may have more levels than the paper's.
    **options: further attributes of the network (`affine`, `kernel_init`, `lowering`, `precision`).

  Raises:
    InputError: there are too many or too few widths, or one is below 1.
  """
  model = _MODELS[architecture](**options)
  if widths is None:
    return model
  least, most = _NUM_LEVELS[architecture]
  if not least <= len(widths) <= most or min(widths) < 1:
    number = f'{least}' if least == most else f'{least} to {most}'
    raise InputError(
      f'widths {tuple(widths)}: {architecture} needs {number} whole numbers above 0, such as'
      f' {model.widths}'
    )
  return model.clone(widths=tuple(widths))


def init_params(model: FCRN | UNet, key: jax.Array) -> Params:
  """Fresh parameters; their shapes do not depend on the size of the images."""
  images = np.zeros((1, 2 * model.stride, 2 * model.stride, 1), np.float32)
  # Compiled as a whole, so that convolutions, whose outputs nobody wants, are left out.
  init = jax.jit(model.clone(lowering='xla').init)
  if jax.default_backend() == 'cpu' and not isinstance(key, jax.core.Tracer):
    # Code that runs once is not optimised, which would take the compiler three times as long.
    init = init.lower(key, images).compile({'xla_backend_optimization_level': 0})
  return init(key, images)['params']


def with_affine_norms(model: FCRN | UNet, params: Params) -> Params:
  """`params` of a network without batch-norm scales and biases, with them added.

  Scales start at the model's `norm_scale`, biases at 0; parameters that are there already are kept.
  The reference does this before fine-tuning, with scales of 0.1.
  """
  fresh = init_params(model.clone(affine=True), jax.random.key(0))
  return _merge(fresh, params)


def _merge(fresh: Params, known: Params) -> Params:
  if not isinstance(fresh, dict):
    return known
  return {
    name: _merge(branch, known[name]) if name in known else branch for name, branch in fresh.items()
  }
