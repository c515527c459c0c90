"""What turns gradients into steps of the inner loop, of fine-tuning and of supervised training.

Adam is the paper's. Muon steps along the orthogonalised momentum of every kernel, so that all its
directions grow alike, which needs fewer steps.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from fscs.errors import named

OptimizerName = Literal['adam', 'muon']
KernelNorms = Literal['free', 'kept']

MOMENTUM = 0.9  # of Muon; there are too few steps for the usual 0.95
ADAM_RMS = 0.2  # root mean square of a step of Adam at a learning rate of 1, typically

_KERNEL = MuonDimensionNumbers(reduction_axis=(0, 1, 2), output_axis=3)  # (rows, columns, in, out)


def inner_optimizer(
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  weight_decay: float = 5e-4,
  name: OptimizerName = 'adam',
) -> optax.GradientTransformation:
  """The optimiser of that name, with weight decay added to the gradient, as the reference has it.

  Args:
    learning_rate: a number, or a function of the number of steps done.
    weight_decay: share of the parameters that is added to their gradients.
    name: 'adam', or 'muon' with Adam for what is no kernel of several output channels.

  Raises:
    InputError: there is no such optimizer.
  """
  make = named({'adam': optax.adam, 'muon': _muon}, name, 'optimizer')
  return optax.chain(optax.add_decayed_weights(weight_decay), make(learning_rate))


def _muon(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
  """Muon for convolution kernels, at steps of Adam's size, and Adam for all else.

  References:
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024; the size of a
    step is that of Liu et al., arXiv 2502.16982, section 2.2.
  """
  kernels = optax.chain(
    scale_by_muon(beta=MOMENTUM, weight_dimension_numbers=_every(lambda _: _KERNEL)),
    optax.stateless(_every(_at_adams_size)),
    optax.scale_by_learning_rate(learning_rate),
  )
  which = _every(lambda x: 'kernels' if _before_norm(x) else 'others')
  return optax.partition({'kernels': kernels, 'others': optax.adam(learning_rate)}, which)


def with_kernel_norms(
  optimizer: optax.GradientTransformation, norms: KernelNorms
) -> optax.GradientTransformation:
  """The optimiser as it is, or with `keep_kernel_norms` behind it."""
  return optimizer if norms == 'free' else optax.chain(optimizer, keep_kernel_norms())


def keep_kernel_norms() -> optax.GradientTransformation:
  """Scales kernels back to the norm that they had before an update; comes last in a chain.

  A batch norm follows each of them, so its norm changes no output; but the smaller it is, the
  further a step of given size turns the kernel. Weight decay, and the mean over tasks of Reptile,
  would shrink kernels in training, and adaptation's first steps then undo what they have learned.
  """

  def keep(update: jax.Array, kernel: jax.Array) -> jax.Array:
    if not _before_norm(kernel):
      return update
    moved = kernel + update
    return moved * (jnp.linalg.norm(kernel.ravel()) / jnp.linalg.norm(moved.ravel())) - kernel

  return optax.stateless(lambda updates, params: jax.tree.map(keep, updates, params))


def _before_norm(leaf: jax.Array) -> bool:
  """Whether a parameter is a kernel with a batch norm behind it: all but those of one logit map."""
  return leaf.ndim == 4 and leaf.shape[-1] > 1


def _every(function: Callable) -> Callable:
  """The function of a tree (and of what comes after it, unused) that maps its leaves."""
  return lambda tree, *_: jax.tree.map(function, tree)


def _at_adams_size(update: jax.Array) -> jax.Array:
  """Orthogonal (rows, columns, in, out) updates scaled to a root mean square of `ADAM_RMS`."""
  *reduced, features = update.shape
  fan_in = reduced[0] * reduced[1] * reduced[2]
  return update * (ADAM_RMS * max(fan_in, features) ** 0.5)
