"""Whole commands as contestants: from the start of a process to its end."""

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmark.jobs import Job
from experiments.common.figure_log import read_figures


def imports() -> Job:
  """Python and the packages of meta-training, and nothing else."""

  def run() -> float:
    _run('-c', 'import experiments.meta_train')
    return math.nan

  return Job(run, 1)


def first_step(arch: str, keep_programs: bool) -> Job:
  """Meta-training up to the end of its first meta-epoch, of one inner step.

  Sizes are those of `--preset=cpu`, images are simulated and prepared before.

  Args:
    arch: network.
    keep_programs: whether compiled programs of the run before are found on disk.
  """
  folder = tempfile.TemporaryDirectory()
  here = Path(folder.name)
  command = ('-m', 'experiments.meta_train', '--target=TNBC', '--preset=cpu', '--data=simulated')
  command += (
    '--simulated-images=4',
    f'--arch={arch}',
    '--meta-epochs=1',
    '--block-epochs=1',
    '--num-inner-steps=1',
  )
  command += (f'--data-dir={here / "data"}',)

  def run(keep: tempfile.TemporaryDirectory = folder) -> float:
    with tempfile.TemporaryDirectory(dir=here) as workdir:
      programs = here / 'programs' if keep_programs else Path(workdir) / 'programs'
      _run(*command, f'--workdir={workdir}/run', programs=programs)
      return float(read_figures(Path(workdir, 'run', 'figures.csv'))[-1]['validation_loss'])

  run()
  return Job(run, 1)


def _run(*arguments: str, programs: Path | None = None) -> None:
  """A Python command, its compiled programs in a folder of its own.

  Raises:
    RuntimeError: it failed; with the last line that it wrote.
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
