"""What results depend on besides code and options: package versions and the machine."""

import importlib.metadata
import os
import platform
from pathlib import Path

_PACKAGES = ('fscs', 'jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy', 'scikit-image')


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that results depend on."""
  found = {'python': platform.python_version()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  return found


def machine() -> str:
  """The accelerators, if any, and the cores that this process may use."""
  import jax  # takes a second to import

  cores = f'{num_cores()} x {processor()}'
  devices = jax.devices()
  if devices[0].platform == 'cpu':
    return cores
  return f'{len(devices)} x {devices[0].device_kind}, {cores}'


def processor() -> str:
  """The processor's name, with family and model, since processors may share a name."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    lines = []
  facts: dict[str, str] = {}
  for line in lines:
    key, _, value = line.partition(':')
    facts.setdefault(key.strip(), value.strip())
  if 'model name' not in facts:
    return platform.processor() or platform.machine()
  if not {'cpu family', 'model'} <= facts.keys():
    return facts['model name']
  return f'{facts["model name"]} (family {facts["cpu family"]}, model {facts["model"]})'


def num_cores() -> int:
  """Number of cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Linux
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def default_data_dir(data_dir: str | os.PathLike | None = None) -> Path:
  """The folder given, or else the variable FSCS_DATA_DIR, or else ~/.cache/fscs; absolute."""
  chosen = data_dir or os.environ.get('FSCS_DATA_DIR') or '~/.cache/fscs'
  return Path(chosen).expanduser().absolute()
