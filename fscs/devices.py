"""How independent tasks run: at once or in turn on a device, and shared out over devices."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fscs.errors import InputError

TaskAxis = Literal['auto', 'vmap', 'map']

TASKS = 'tasks'  # the mesh's only axis


def over_tasks(function: Callable, axis: TaskAxis, *arguments):
  """`function` for every task, along the arguments' leading axis.

  'vmap' runs all tasks at once, 'map' one after another with the same result; 'auto' is 'map' on
  CPU, where a single task already fills the cores and smaller arrays stay in the caches.
  """
  if axis == 'auto':
    axis = 'map' if jax.default_backend() == 'cpu' else 'vmap'
  if axis == 'vmap':
    return jax.vmap(function)(*arguments)
  return jax.lax.map(lambda args: function(*args), arguments)


def task_mesh(num_tasks: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh of all devices of all hosts, or of those given, for so many tasks at a time.

  Raises:
    InputError: the devices do not share the tasks out evenly.
  """
  devices = jax.devices() if devices is None else devices
  if num_tasks % len(devices):
    raise InputError(
      f'{num_tasks} tasks cannot be shared out evenly over {len(devices)} devices: choose a'
      f' --task-batch that makes them a multiple of {len(devices)}, or --devices that divides them'
    )
  return Mesh(np.asarray(devices), (TASKS,))


def replicate(tree: Any, mesh: Mesh) -> Any:
  """A copy of every array on every device of the mesh; each process must give the same values."""
  sharding = NamedSharding(mesh, P())
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda leaf: _of_all_processes(leaf, sharding), tree)


def _of_all_processes(array: jax.Array, sharding: NamedSharding) -> jax.Array:
  """The array as one that all processes hold, which `device_put` cannot make of all kinds."""
  if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
    data = _of_all_processes(jax.random.key_data(array), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
  if array.sharding.is_equivalent_to(sharding, array.ndim):
    return array
  host = np.asarray(array)
  return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
