"""Independent tasks: at once or in turn on one device, and shared out over several."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fscs.errors import InputError

TaskAxis = Literal['auto', 'vmap', 'map']

TASKS = 'tasks'  # the only axis of the mesh


def over_tasks(function: Callable, axis: TaskAxis, *arguments: Any) -> Any:
  """Apply a function to every task, along the leading axis of the arguments.

  Args:
    function: of one task.
    axis: 'vmap' runs all tasks at once, 'map' one after the other, with the same result. 'auto' is
      'map' on a CPU, where one task fills the cores and smaller arrays stay in the caches.
    *arguments: trees with a leading task axis.
  """
  if axis == 'auto':
    axis = 'map' if jax.default_backend() == 'cpu' else 'vmap'
  if axis == 'vmap':
    return jax.vmap(function)(*arguments)
  return jax.lax.map(lambda args: function(*args), arguments)


def task_mesh(num_tasks: int, devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A mesh for a number of tasks at a time.

  Args:
    num_tasks: tasks that are shared out.
    devices: all devices of all hosts by default.

  Raises:
    InputError: the tasks cannot be shared out evenly.
  """
  devices = jax.devices() if devices is None else devices
  if num_tasks % len(devices):
    raise InputError(
      f'{num_tasks} tasks cannot be shared out evenly over {len(devices)} devices: choose a task'
      f' batch that makes them a multiple of {len(devices)}, or a number of devices that divides'
      ' them',
      arguments=('task_batch', 'devices'),
    )
  return Mesh(np.asarray(devices), (TASKS,))


def replicate(tree: Any, mesh: Mesh) -> Any:
  """A copy of every array on every device of the mesh; all processes must give equal values."""
  sharding = NamedSharding(mesh, P())
  if jax.process_count() == 1:
    return jax.device_put(tree, sharding)
  return jax.tree.map(lambda leaf: _replicate_over_processes(leaf, sharding), tree)


def _replicate_over_processes(array: jax.Array, sharding: NamedSharding) -> jax.Array:
  """`device_put` cannot make every kind of array that all processes hold."""
  if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
    data = _replicate_over_processes(jax.random.key_data(array), sharding)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
  if array.sharding.is_equivalent_to(sharding, array.ndim):
    return array
  host = np.asarray(array)
  return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
