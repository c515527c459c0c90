"""Many devices and many processes: joining them, and who of them writes.

One process per host (or per GPU) runs the same command. Tasks are shared out over the devices of
all of them. The workdir must be on a file system that all processes see: each of them reads
checkpoints, and process 0 alone writes.
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

CONNECTION_SECONDS = 60  # to wait for the other processes at the start
HEARTBEAT_SECONDS = 60  # after which a silent process counts as dead


@dataclasses.dataclass(frozen=True)
class ClusterOptions:
  """Where meta-training runs."""

  devices: int | None = None
  """Use so many devices of this process; all by default."""
  distributed: bool = False
  """Join the processes of a job that Slurm, Open MPI or a TPU pod started."""
  coordinator: str | None = None
  """HOST:PORT of process 0, to join processes that something else started."""
  num_processes: int | None = None
  """How many processes there are, with --coordinator."""
  process_id: int | None = None
  """Which one this is, from 0, with --coordinator."""


def join(options: ClusterOptions) -> None:
  """Join the other processes, if there are to be any; before anything else is done with JAX.

  Raises:
    InputError: options are missing or contradict each other, or the others do not answer.
  """
  parts = {
    '--num-processes': options.num_processes,
    '--process-id': options.process_id,
  }
  missing = [name for name, value in parts.items() if value is None]
  if options.coordinator is None:
    if len(missing) < len(parts):
      raise InputError('--num-processes and --process-id need --coordinator=HOST:PORT')
    if options.distributed:
      _initialise({})
    return
  if missing:
    raise InputError(f'--coordinator needs {" and ".join(missing)} too')
  if not 0 <= options.process_id < options.num_processes:
    raise InputError(
      f'--process-id is {options.process_id}: with --num-processes={options.num_processes} it is'
      f' one of 0 to {options.num_processes - 1}'
    )
  if not re.fullmatch(r'\S+:\d+', options.coordinator):
    raise InputError(f'--coordinator is {options.coordinator}: HOST:PORT is needed, as host1:45671')
  _initialise(
    {
      'coordinator_address': options.coordinator,
      'num_processes': options.num_processes,
      'process_id': options.process_id,
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
        f'--coordinator={job["coordinator_address"]}: the {job["num_processes"]} processes did not'
        f' find each other ({reason}); start all of them, with the same address'
      ) from error
    raise InputError(
      f'--distributed: no job of Slurm, Open MPI or a TPU pod was found ({reason}); give'
      ' --coordinator, --num-processes and --process-id'
    ) from error


_DIED = (
  'error: this process could not go on, as happens when another one of the job dies (see above);'
  ' start the same command again for all: it goes on from the last checkpoint'
)
# Waits until the process that started it says goodbye, or is gone without.
_WATCHER = f"""
import sys
if not sys.stdin.read():
  print({_DIED!r}, file=sys.stderr)
"""


@contextlib.contextmanager
def last_words() -> Iterator[None]:
  """Says what to do if the process cannot go on, as where another process has died.

  JAX mostly aborts then, and nothing of Python runs, so it is a process beside this one that speaks
  when this one is gone.
  """
  if jax.process_count() == 1:
    yield
    return
  watcher = subprocess.Popen([sys.executable, '-S', '-c', _WATCHER], stdin=subprocess.PIPE)
  try:
    yield
  except (InputError, KeyboardInterrupt):  # these explain themselves
    watcher.communicate(b'goodbye')
    raise
  watcher.communicate(b'goodbye')


def chosen_devices(options: ClusterOptions) -> list[jax.Device]:
  """The devices to use, the same number of every process.

  Raises:
    InputError: there are fewer than asked for.
  """
  local = jax.local_device_count()
  count = local if options.devices is None else options.devices
  if not 0 < count <= local:
    raise InputError(f'--devices is {options.devices}: this process has {local}')
  return [
    device
    for process in range(jax.process_count())
    for device in [d for d in jax.devices() if d.process_index == process][:count]
  ]


def is_primary() -> bool:
  """Whether this process writes."""
  return jax.process_index() == 0
