"""What results depend on beside code and options: versions of packages, and the machine."""

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
  """What computes here: JAX's accelerators, if any, and the cores that this process may use."""
  import jax  # here, since importing it takes a second that benchmarks count

  cores = f'{num_cores()} x {processor()}'
  devices = jax.devices()
  if devices[0].platform == 'cpu':
    return cores
  return f'{len(devices)} x {devices[0].device_kind}, {cores}'


def processor() -> str:
  """The processor's name, as the system gives it."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    lines = []
  names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
  return names[0] if names else platform.processor() or platform.machine()


def num_cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Linux
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
