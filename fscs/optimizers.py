"""Optimizers of the inner loop, of fine-tuning and of supervised training.

Adam is the paper's. Muon orthogonalises the momentum of every kernel, so that all its directions
grow alike, and needs fewer steps.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers

from fscs.errors import InputError
from fscs.models import OUTPUT_LAYERS
from fscs.typing import Params

OptimizerName = Literal['adam', 'muon']
KernelNorms = Literal['free', 'kept']

MOMENTUM = 0.9  # of Muon; fine-tuning has too few steps for the usual 0.95
ADAM_RMS = 0.2  # root mean square of an update of Adam at a learning rate of 1, typically

_KERNEL = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)  # (rows, columns, in, out)


def inner_optimizer(
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  weight_decay: float = 5e-4,
  name: OptimizerName = 'adam',
) -> optax.GradientTransformation:
  """An optimizer with weight decay added to the gradient, not decoupled, as in the reference.

  Args:
    learning_rate: a number, or a function of the number of steps done.
    weight_decay: multiple of the parameters that is added to their gradients.
    name: 'adam', or 'muon': Muon for convolution kernels that a batch norm follows, at updates of
      Adam's size, and Adam with Nesterov's momentum for all other parameters.

  Raises:
    InputError: there is no such optimizer.

  References:
    Kingma and Ba, "Adam", ICLR 2015. Jordan et al., "Muon: an optimizer for hidden layers in neural
    networks", 2024; the size of updates is that of Liu et al., arXiv 2502.16982, section 2.2.
  """
  if name not in get_args(OptimizerName):
    raise InputError(
      f'optimizer {name!r}: expected one of {", ".join(get_args(OptimizerName))}',
      arguments=('optimizer',),
    )
  if name == 'adam':
    optimizer = optax.adam(learning_rate)
  else:
    optimizer = optax.contrib.muon(
      learning_rate,
      beta=MOMENTUM,
      muon_weight_dimension_numbers=_muon_kernels,
      consistent_rms=ADAM_RMS,
    )
  return optax.chain(optax.add_decayed_weights(weight_decay), optimizer)


def _muon_kernels(params: Params) -> Any:
  """Dimension numbers of the kernels that Muon updates; None for parameters that Adam does."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: _KERNEL if is_normalised_kernel(path) else None, params
  )


def is_normalised_kernel(path: tuple[Any, ...]) -> bool:
  """Whether the parameter at a path of a Flax tree is a kernel that a batch norm follows.

  >>> from jax.tree_util import DictKey
  >>> is_normalised_kernel((DictKey('conv1'), DictKey('kernel')))
  True
  >>> is_normalised_kernel((DictKey('conv_last'), DictKey('kernel')))
  False
  """
  names = [getattr(key, 'key', None) for key in path]
  return names[-1] == 'kernel' and not any(name in OUTPUT_LAYERS for name in names)


def keep_kernel_norms() -> optax.GradientTransformation:
  """Keeps the norm of every kernel that a batch norm follows; comes last in a chain.

  Such a norm changes no output, but updates of a given size turn a small kernel further. Weight
  decay and Reptile's mean over tasks would shrink the kernels in training, and the first steps of
  adaptation would overturn them.
  """

  def keep(path: tuple[Any, ...], update: jax.Array, kernel: jax.Array) -> jax.Array:
    if not is_normalised_kernel(path):
      return update
    moved = kernel + update
    return moved * (jnp.linalg.norm(kernel.ravel()) / jnp.linalg.norm(moved.ravel())) - kernel

  return optax.stateless(
    lambda updates, params: jax.tree_util.tree_map_with_path(keep, updates, params)
  )
