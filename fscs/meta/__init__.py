"""Meta-learning: the inner loop, episodes, and Reptile's outer loop."""

from fscs.meta.inner_loop import History, adapt
from fscs.meta.reptile import (
  InnerLoop,
  init_state,
  make_meta_block,
  make_validation,
  meta_step,
  reptile_gradient,
)

__all__ = [
  'History',
  'InnerLoop',
  'adapt',
  'init_state',
  'make_meta_block',
  'make_validation',
  'meta_step',
  'reptile_gradient',
]
