"""Compiling while something else is done."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax

# One after the other, in the order of need: the compiler itself uses all cores.
_COMPILER = ThreadPoolExecutor(max_workers=1, thread_name_prefix='compiler')


def compile_ahead(function: Callable, *arguments) -> Callable:
  """A jitted function for arguments like these, traced now and compiled in the background.

  Args:
    function: what `jax.jit` returns, or anything with its method `lower`.
    arguments: arrays with the shapes, types and placements that will be given.

  Returns:
    The function for arguments of just these shapes; its first call waits for the compiler.
  """
  examples = jax.tree.map(_example, arguments)  # of arrays that may be gone, as donated ones are
  program = _COMPILER.submit(function.lower(*examples).compile)
  return lambda *given: program.result()(*given)


def _example(array: jax.Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=getattr(array, 'sharding', None))
