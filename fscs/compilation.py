"""Compiled programs: kept on disk between processes, and compiled while something else runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax

from fscs.environment import default_data_dir

MIN_COMPILE_SECONDS = 0.5  # of programs that are kept

# One after the other, in the order of need: the compiler itself uses all cores.
_COMPILER = ThreadPoolExecutor(max_workers=1, thread_name_prefix='compiler')


def keep_compiled_programs() -> None:
  """Keep compiled programs in the data folder, unless $JAX_COMPILATION_CACHE_DIR names another."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update('jax_compilation_cache_dir', str(default_data_dir() / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', MIN_COMPILE_SECONDS)


def compile_ahead(function: Callable, *arguments) -> Callable:
  """A jitted function for arguments like these, traced now and compiled in the background.

  Args:
    function: what `jax.jit` returns, or anything with its method `lower`.
    *arguments: arrays with the shapes, types and placements of the calls to come.

  Returns:
    The function for these shapes. Its first call waits for the compiler.
  """
  examples = jax.tree.map(_example, arguments)  # donated arrays may be gone when it is compiled
  program = _COMPILER.submit(function.lower(*examples).compile)
  return lambda *given: program.result()(*given)


def _example(array: jax.Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=getattr(array, 'sharding', None))
