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


def main() -> None:
  """Make the job, warm up, and serve until standard input ends."""
  spec = json.loads(sys.argv[1])
  begin = time.perf_counter()
  side = importlib.import_module(f'experiments.benchmark.{spec["side"]}_side')
  if spec['side'] == 'torch':
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
  imported = time.perf_counter()
  job = side.WORK[spec['work']](**spec['options'])
  made = time.perf_counter()
  result = job.run()
  first = time.perf_counter() - made
  _answer(units=job.units, result=result, import_seconds=imported - begin, first_seconds=first)
  for _ in sys.stdin:
    start = time.perf_counter()
    job.run()
    seconds = time.perf_counter() - start
    _answer(seconds=seconds, peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def _answer(**facts: float) -> None:
  print(json.dumps(facts), flush=True)


if __name__ == '__main__':
  main()
