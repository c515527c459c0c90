"""The two networks of the paper, a third, and how their parameters are made and extended.

The loops of `fscs.meta.reptile` and `fscs.training` take any function from (params, images (B, H, W, 1))
to (logits (B, H, W, 1), features). A network of one's own that `init_params`, `experiments.common.finetuning` and
`fscs.segmentation.prediction` are to take is a Flax module that returns this pair and has the attributes `stride`
(pixels of an image per pixel of its coarsest level), `lowering` (see `fscs.models.convolution`) and
`affine` (whether batch norms have scales and biases); its batch norms are `layers.BatchNorm`, whose
collection 'statistics' can be kept.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import numpy as np

from fscs.errors import InputError, named
from fscs.models.fcrn import FCRN
from fscs.models.unet import UNet
from fscs.typing import Params

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
_NUM_LEVELS = {
  'fcrn': (4, 4),
  'unet': (2, 5),
  'deep_unet': (2, 5),
}  # see `fscs.segmentation.tiles.ALIGNED`


def make_model(
  architecture: Architecture, *, widths: Sequence[int] | None = None, **options
) -> FCRN | UNet:
  """The network of that name, with its own widths unless others are given.

  Args:
    architecture: 'fcrn', 'unet', or 'deep_unet', which has a level more and half the channels.
    widths: channels of the levels; a U-Net may have more levels than the paper's.
    **options: further attributes of the network (`affine`, `kernel_init`, `lowering`, `precision`).

  Raises:
    InputError: there is no such network, there are too many or too few widths, or one is below 1.
  """
  model = named(_MODELS, architecture, 'architecture')(**options)
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
  _, images = _example(model)
  # Compiled as a whole, so that convolutions, whose outputs nobody wants, are left out.
  init = jax.jit(model.clone(lowering='xla').init)
  if jax.default_backend() == 'cpu' and not isinstance(key, jax.core.Tracer):
    # Code that runs once is not optimised, which would take the compiler three times as long.
    init = init.lower(key, images).compile({'xla_backend_optimization_level': 0})
  return init(key, images)['params']


def _example(model: FCRN | UNet) -> tuple[jax.Array, np.ndarray]:
  """A key and images that the model's `init` takes."""
  return jax.random.key(0), np.zeros((1, 2 * model.stride, 2 * model.stride, 1), np.float32)


def with_affine_norms(model: FCRN | UNet, params: Params) -> Params:
  """`params` of a network without batch-norm scales and biases, with them added.

  Scales start at the model's `norm_scale`, biases at 0; parameters that are there already are kept.
  The reference does this before fine-tuning, with scales of 0.1.

  Raises:
    InputError: the parameters are of another network.
  """
  fresh = init_params(model.clone(affine=True), jax.random.key(0))
  plain = jax.eval_shape(model.clone(affine=False, lowering='xla').init, *_example(model))['params']
  needed, possible, found = (_shapes(tree) for tree in (plain, fresh, params))
  strange = dict(needed.items() - found.items()) | dict(found.items() - possible.items())
  if strange:
    name, shape = min(strange.items())
    raise InputError(
      f'parameters of another network: {name} {shape} is'
      f' {"missing" if name not in found else "not of this one"}'
    )
  return _merge(fresh, params)


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
  leaves = jax.tree_util.tree_leaves_with_path(params)
  return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _merge(fresh: Params, known: Params) -> Params:
  if not isinstance(fresh, dict):
    return known
  return {
    name: _merge(branch, known[name]) if name in known else branch for name, branch in fresh.items()
  }
