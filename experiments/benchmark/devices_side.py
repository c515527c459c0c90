"""Meta-epochs over several devices and processes; `fscs_side` has those of one device."""

import atexit
import json
import socket
import subprocess
import sys

from experiments.benchmark import fscs_side
from experiments.benchmark.jobs import Job
from experiments.common import cluster
from experiments.common.cluster import ClusterOptions
from fscs.devices import task_mesh


def meta_epoch(
  devices: int = 1, processes: int = 1, process_id: int = 0, port: int = 0, **options
) -> Job:
  """A meta-epoch with its tasks distributed over the devices of all processes.

  Args:
    devices: number of devices of each process; on a CPU, XLA_FLAGS must create them.
    processes: number of processes; the first starts the others and keeps them in step.
    process_id: number of this process, from 0.
    port: port of the first process; 0 to find a free one.
    **options: of `fscs_side.meta_epoch`.
  """
  others = []
  if processes > 1:
    port = port or _free_port()
    if process_id == 0:
      shared = {'devices': devices, 'processes': processes, 'port': port, **options}
      others = [_start(**shared, process_id=i) for i in range(1, processes)]
    cluster.join(
      ClusterOptions(
        coordinator=f'localhost:{port}', num_processes=processes, process_id=process_id
      )
    )
    for other in others:
      atexit.register(other.stdin.close)  # ends the others before JAX waits for them
  chosen = cluster.chosen_devices(ClusterOptions(devices=devices))
  job = fscs_side.meta_epoch(**options, mesh=task_mesh(options['num_tasks'], chosen))
  is_first = True

  def run() -> float:
    nonlocal is_first
    if not is_first:  # every worker runs once unasked
      for other in others:
        other.stdin.write('\n')
        other.stdin.flush()
    is_first = False
    return job.run()

  return Job(run, job.units)


def _start(**options) -> subprocess.Popen:
  """A worker; it runs whenever it gets a line."""
  spec = {'side': 'devices', 'work': 'meta_epoch', 'options': options}
  return subprocess.Popen(
    [sys.executable, '-m', 'experiments.benchmark.worker', json.dumps(spec)],
    stdin=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    text=True,
  )


def _free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


WORK = {'meta_epoch': meta_epoch}
