"""Commands as a user runs them, in a process of their own."""

import subprocess
import sys

from conftest import REPOSITORY


def refusal_of(command: str, *arguments: str) -> str:
  """What a command says that ends with one line, and with status 2."""
  shown = subprocess.run(
    [sys.executable, '-m', f'experiments.{command}', *arguments],
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    check=False,
  )
  assert shown.returncode == 2, shown.stderr
  (line,) = shown.stderr.strip().splitlines()
  assert line.startswith('error: ')
  return line.removeprefix('error: ')
