"""One contestant in a process of its own: does its job whenever a line arrives, and says how long.

  python -m experiments.benchmark.worker '{"side": "fscs", "work": "matmul", "options": {}}'

It answers with a line of JSON: first when it is ready, compilation and one run done, then after
each line on standard input.
"""

import importlib
import json
import os
import resource
import sys
import time

from fscs.environment import num_cores


def main() -> None:
  """Make the job, warm up, and serve until standard input ends."""
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)  # what libraries print is no answer
  spec = json.loads(sys.argv[1])
  begin = time.perf_counter()
  side = importlib.import_module(f'experiments.benchmark.{spec["side"]}_side')
  if spec['side'] == 'torch':
    import torch

    torch.set_num_threads(num_cores())
  imported = time.perf_counter()
  job = side.WORK[spec['work']](**spec['options'])
  made = time.perf_counter()
  result = job.run()
  first = time.perf_counter() - made
  answer = lambda **facts: print(json.dumps(facts), file=answers)  # noqa: E731
  answer(units=job.units, result=result, import_seconds=imported - begin, first_seconds=first)
  for _ in sys.stdin:
    start = time.perf_counter()
    job.run()
    seconds = time.perf_counter() - start
    answer(seconds=seconds, peak_bytes=_peak_bytes())


def _peak_bytes() -> int:
  """The most memory that this process, or one that it started and saw end, has held."""
  whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  return max(resource.getrusage(who).ru_maxrss for who in whose) * 1024


if __name__ == '__main__':
  main()
