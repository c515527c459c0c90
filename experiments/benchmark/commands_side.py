"""Whole commands as programs: from start to end of a process."""

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmark.jobs import Job
from experiments.common.training_log import read_log


def imports() -> Job:
  """Only import the packages of meta-training."""

  def run() -> float:
    _run('-c', 'import experiments.meta_train')
    return math.nan

  return Job(run, 1)


def first_step(arch: str, keep_programs: bool) -> Job:
  """One meta-epoch of one inner step, at the sizes of `--preset=cpu`, on simulated images.

  Args:
    arch: network.
    keep_programs: whether the compiled programs of an earlier run are on disk.
  """
  folder = tempfile.TemporaryDirectory()
  here = Path(folder.name)
  command = (
    '-m',
    'experiments.meta_train',
    '--target=TNBC',
    '--preset=cpu',
    '--data=simulated',
    '--simulated-images=4',
    f'--arch={arch}',
    '--meta-epochs=1',
    '--block-epochs=1',
    '--num-inner-steps=1',
    f'--data-dir={here / "data"}',
  )

  def run(keep: tempfile.TemporaryDirectory = folder) -> float:  # the folder lives as long as run
    with tempfile.TemporaryDirectory(dir=here) as workdir:
      programs = here / 'programs' if keep_programs else Path(workdir) / 'programs'
      _run(*command, f'--workdir={workdir}/run', programs=programs)
      return float(read_log(Path(workdir, 'run', 'figures.csv'))[-1]['validation_loss'])

  run()
  return Job(run, 1)


def _run(*arguments: str, programs: Path | None = None) -> None:
  """Run Python with a folder for compiled programs.

  Raises:
    RuntimeError: it failed; the message is the last line of its output.
  """
  environment = dict(os.environ)
  if programs is not None:
    environment['JAX_COMPILATION_CACHE_DIR'] = str(programs)
  done = subprocess.run(
    [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
  )
  if done.returncode:
    raise RuntimeError(done.stderr.strip().splitlines()[-1])


WORK = {'imports': imports, 'first_step': first_step}
