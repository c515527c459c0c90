"""The process of one program: it does its job for every line of input and reports the time.

  python -m experiments.benchmark.worker '{"side": "fscs", "work": "matmul", "options": {}}'

It writes a line of JSON when it is ready (compiled, and run once), and then one for each line of
standard input.
"""

import importlib
import json
import os
import resource
import sys
import time

from fscs.environment import num_cores


def main() -> None:
  """Make the job, run it once, and run it again for every line until standard input ends."""
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)  # output of libraries goes to standard error
  spec = json.loads(sys.argv[1])
  side = importlib.import_module(f'experiments.benchmark.{spec["side"]}_side')
  if spec['side'] == 'torch':
    import torch

    torch.set_num_threads(num_cores())
  job = side.WORK[spec['work']](**spec['options'])
  made = time.perf_counter()
  result = job.run()
  first = time.perf_counter() - made

  def answer(**facts: float) -> None:
    print(json.dumps(facts), file=answers)

  answer(units=job.units, result=result, first_seconds=first)
  for _ in sys.stdin:
    start = time.perf_counter()
    job.run()
    seconds = time.perf_counter() - start
    answer(seconds=seconds, peak_bytes=_peak_bytes())


def _peak_bytes() -> int:
  """Peak memory of this process or of a finished child, whichever is larger."""
  whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  return max(resource.getrusage(who).ru_maxrss for who in whose) * 1024


if __name__ == '__main__':
  main()
