from .episodes import sample_episode
from .inner_loop import History, InnerLoop, adapt
from .reptile import (
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
  'sample_episode',
]
