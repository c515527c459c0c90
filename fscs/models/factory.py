"""Networks by name, and how their parameters are made and extended."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import numpy as np

from fscs.errors import InputError, lookup
from fscs.models.fcrn import FCRN
from fscs.models.unet import UNet
from fscs.typing import Params

Architecture = Literal['fcrn', 'unet', 'deep_unet']
KernelInit = Literal['normal', 'he']

OUTPUT_LAYERS = ('conv8', 'conv_last')  # whose kernels no batch norm follows

_MODELS: dict[str, Callable[..., FCRN | UNet]] = {
  'fcrn': FCRN,
  'unet': UNet,
  'deep_unet': functools.partial(UNet, widths=(16, 32, 64, 128), aligned=False),
}
_NUM_LEVELS = {'fcrn': (4, 4), 'unet': (2, 5), 'deep_unet': (2, 5)}  # at most 4 poolings by 2


def make_model(
  architecture: Architecture, *, widths: Sequence[int] | None = None, **attributes
) -> FCRN | UNet:
  """A network by name.

  Args:
    architecture: 'fcrn' or 'unet', the networks of the paper, or 'deep_unet', a U-Net with one more
      level and half the channels.
    widths: channels of the levels; the network's own by default.
    **attributes: of the network: `affine`, `kernel_init`, `norm_scale`, `lowering`, `precision`.

  Raises:
    InputError: there is no such network, or the number of widths does not suit it.

  >>> make_model('deep_unet').widths
  (16, 32, 64, 128)
  """
  model = lookup(_MODELS, architecture, 'architecture')(**attributes)
  if widths is None:
    return model
  least, most = _NUM_LEVELS[architecture]
  if not least <= len(widths) <= most or min(widths) < 1:
    number = f'{least}' if least == most else f'{least} to {most}'
    raise InputError(
      f'widths {tuple(widths)}: {architecture} needs {number} whole numbers above 0, such as'
      f' {model.widths}',
      arguments=('widths',),
    )
  return model.clone(widths=tuple(widths))


def init_params(model: FCRN | UNet, key: jax.Array) -> Params:
  """Random parameters; their shapes do not depend on the size of the images.

  Args:
    model: the network.
    key: random key.
  """
  _, images = _example(model)
  # Compiled as a whole, so that the unused convolutions are removed.
  init = jax.jit(model.clone(lowering='xla').init)
  if jax.default_backend() == 'cpu' and not isinstance(key, jax.core.Tracer):
    # The program runs once; optimising it would take the compiler three times as long.
    init = init.lower(key, images).compile({'xla_backend_optimization_level': 0})
  return init(key, images)['params']


def _example(model: FCRN | UNet) -> tuple[jax.Array, np.ndarray]:
  """A key and images that the model's `init` takes."""
  return jax.random.key(0), np.zeros((1, 2 * model.stride, 2 * model.stride, 1), np.float32)


def with_affine_norms(model: FCRN | UNet, params: Params) -> Params:
  """Parameters with batch-norm scales and biases added where they are missing.

  Meta-training has no scales and biases; fine-tuning adds them, as the reference does.

  Args:
    model: the network; added scales are its `norm_scale`, added biases 0.
    params: its parameters, with or without scales and biases.

  Raises:
    InputError: the parameters are of another network.
  """
  fresh = init_params(model.clone(affine=True), jax.random.key(0))
  plain = jax.eval_shape(model.clone(affine=False, lowering='xla').init, *_example(model))['params']
  required, possible, found = (_shapes(tree) for tree in (plain, fresh, params))
  wrong = dict(required.items() - found.items()) | dict(found.items() - possible.items())
  if wrong:
    name, shape = min(wrong.items())
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


def widths_of(architecture: Architecture, params: Params) -> tuple[int, ...]:
  """Channels of the levels, from the shapes of the parameters.

  Raises:
    InputError: a layer is missing.
  """
  layers: list[tuple[str, ...]]
  if architecture == 'fcrn':
    layers = [('conv1',), ('conv2',), ('conv3',), ('conv4',)]
  else:
    depth = sum(name.startswith('down') for name in params)
    layers = [(f'down{level}', 'conv2') for level in range(1, max(depth, 1) + 1)]
  widths = []
  for path in layers:
    branch = params
    for name in path:
      if name not in branch:
        raise InputError(f'parameters are not of {architecture}: {".".join(path)} is missing')
      branch = branch[name]
    widths.append(branch['kernel'].shape[-1])
  return tuple(widths)
