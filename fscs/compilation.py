"""Compiled programs: cached on disk, and compiled in the background."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax

from fscs.environment import default_data_dir

MIN_COMPILE_SECONDS = 0.5  # of programs that are cached

# One program at a time, in the order of need: the compiler uses all cores.
_COMPILER = ThreadPoolExecutor(max_workers=1, thread_name_prefix='compiler')


def keep_compiled_programs() -> None:
  """Cache compiled programs in the data folder, unless $JAX_COMPILATION_CACHE_DIR is set."""
  if jax.config.jax_compilation_cache_dir is None:
    jax.config.update('jax_compilation_cache_dir', str(default_data_dir() / 'compiled'))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', MIN_COMPILE_SECONDS)


def compile_ahead(function: jax.stages.Wrapped, *arguments) -> Callable:
  """Trace a jitted function for arguments like these and compile it in the background.

  Args:
    function: what `jax.jit` returns.
    *arguments: arrays with the shapes, types and shardings of later calls.

  Returns:
    The function for these shapes. Its first call waits for the compiler.
  """
  examples = jax.tree.map(_example, arguments)  # donated arrays may be deleted before compilation
  program = _COMPILER.submit(function.lower(*examples).compile)
  return lambda *given: program.result()(*given)


def _example(array: jax.Array) -> jax.ShapeDtypeStruct:
  return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=getattr(array, 'sharding', None))
