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
  """A meta-epoch whose tasks are shared out over all devices of all processes.

  Args:
    devices: how many this process has; on a CPU, the environment must make them.
    processes: how many there are; the first one starts the others and makes them keep step.
    process_id: which one this is.
    port: where the first one listens; it finds a free one.
    **options: of `fscs_side.meta_epoch`.
  """
  others = []
  if processes > 1:
    port = port or _free_port()
    if process_id == 0:
      shared = dict(devices=devices, processes=processes, port=port, **options)
      others = [_start(**shared, process_id=i) for i in range(1, processes)]
    cluster.join(ClusterOptions(None, False, f'localhost:{port}', processes, process_id))
    for other in others:
      atexit.register(other.stdin.close)  # before JAX waits for all processes to end
  chosen = cluster.chosen_devices(ClusterOptions(devices))
  job = fscs_side.meta_epoch(**options, mesh=task_mesh(options['num_tasks'], chosen))
  is_first = True

  def run() -> float:
    nonlocal is_first
    if not is_first:  # the others run once by themselves, as every worker does
      for other in others:
        other.stdin.write('\n')
        other.stdin.flush()
    is_first = False
    return job.run()

  return Job(run, job.units)


def _start(**options) -> subprocess.Popen:
  """A worker that runs whenever it gets a line, and ends with this process."""
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
