"""Meta-training on several devices and in several processes.

Every host (or GPU) runs the same command as one process. Tasks are distributed over the devices of
all processes. The workdir must be on a file system that all processes see: all read checkpoints,
and only process 0 writes.
"""

import contextlib
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jax

from fscs.errors import InputError

CONNECTION_SECONDS = 60  # time limit to connect to the other processes
HEARTBEAT_SECONDS = 60  # after which a silent process counts as dead


@dataclasses.dataclass(frozen=True)
class ClusterOptions:
  """Devices and processes of meta-training."""

  devices: int | None = None
  """Number of devices to use in each process; all by default."""
  distributed: bool = False
  """Join the processes of a job that Slurm, Open MPI or a TPU pod started."""
  coordinator: str | None = None
  """HOST:PORT of process 0, to join processes that were started by other means."""
  num_processes: int | None = None
  """Number of processes, with --coordinator."""
  process_id: int | None = None
  """Number of this process from 0, with --coordinator."""


def join(options: ClusterOptions) -> None:
  """Join the other processes of the job, if the options name one.

  Must be called before any computation with JAX.

  Raises:
    InputError: options are missing or contradict each other, or the others do not answer.
  """
  count, index = options.num_processes, options.process_id
  if options.coordinator is None:
    if count is not None or index is not None:
      raise InputError(
        'num_processes and process_id need a coordinator, HOST:PORT', arguments=('coordinator',)
      )
    if options.distributed:
      _initialise({})
    return
  if count is None or index is None:
    raise InputError(
      'a coordinator needs num_processes and process_id too',
      arguments=('num_processes', 'process_id'),
    )
  if not 0 <= index < count:
    raise InputError(
      f'process_id is {index}: with {count} processes, expected 0 to {count - 1}',
      arguments=('process_id', 'num_processes'),
    )
  if not re.fullmatch(r'\S+:\d+', options.coordinator):
    raise InputError(
      f'coordinator is {options.coordinator}: expected HOST:PORT, such as host1:45671',
      arguments=('coordinator',),
    )
  _initialise(
    {
      'coordinator_address': options.coordinator,
      'num_processes': count,
      'process_id': index,
    }
  )


def _initialise(job: dict[str, Any]) -> None:
  try:
    jax.distributed.initialize(
      **job,
      initialization_timeout=CONNECTION_SECONDS,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )
  except (RuntimeError, ValueError) as error:
    reason = str(error).splitlines()[0]
    if job:
      raise InputError(
        f'coordinator {job["coordinator_address"]}: the {job["num_processes"]} processes did not'
        f' connect ({reason}); start all of them with the same address',
        arguments=('coordinator',),
      ) from error
    raise InputError(
      f'found no job of Slurm, Open MPI or a TPU pod ({reason}); give a coordinator instead',
      arguments=('distributed', 'coordinator', 'num_processes', 'process_id'),
    ) from error


_DIED = (
  'error: this process stopped, probably because another process of the job died (see above);'
  ' start the same command again for all: it goes on from the last checkpoint'
)
# Writes the message if its standard input ends without a line.
_WATCHER = f"""
import sys
if not sys.stdin.read():
  print({_DIED!r}, file=sys.stderr)
"""


@contextlib.contextmanager
def last_words() -> Iterator[None]:
  """Tell the user what to do if this process is aborted.

  JAX aborts a process when another one of the job dies, without running Python code. A second
  process therefore watches this one and writes the message.
  """
  if jax.process_count() == 1:
    yield
    return
  watcher = subprocess.Popen([sys.executable, '-S', '-c', _WATCHER], stdin=subprocess.PIPE)
  try:
    yield
  except jax.errors.JaxRuntimeError:  # probably since another process died
    raise
  except BaseException:  # has a message of its own
    watcher.communicate(b'goodbye')
    raise
  watcher.communicate(b'goodbye')


def chosen_devices(options: ClusterOptions) -> list[jax.Device]:
  """The devices to use, equally many of every process.

  Raises:
    InputError: a process has fewer devices.
  """
  local = jax.local_device_count()
  count = local if options.devices is None else options.devices
  if not 0 < count <= local:
    raise InputError(f'devices is {options.devices}: expected 1 to {local}', arguments=('devices',))
  return [
    device
    for process in range(jax.process_count())
    for device in [d for d in jax.devices() if d.process_index == process][:count]
  ]


def is_primary() -> bool:
  """Whether this process writes."""
  return jax.process_index() == 0
