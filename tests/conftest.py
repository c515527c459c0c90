"""Fixtures of all tests: compiled programs, precision, a small training run, the real images."""

import ctypes
import gc
import os
from pathlib import Path

# Tests run small programs once or twice, so compiling takes most of their time: have them compiled
# quickly, also in processes that tests start. Set it to 0 to test programs as users run them.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')

import jax
import pytest

# Accelerators multiply float32 matrices in fewer bits unless told otherwise.
jax.config.update('jax_default_matmul_precision', 'highest')

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session', autouse=True)
def compilation_cache(tmp_path_factory):
  """Compiled programs are shared by tests, workers of pytest, and processes that tests start."""
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent
  os.environ['JAX_COMPILATION_CACHE_DIR'] = str(folder / 'compiled')
  jax.config.update('jax_compilation_cache_dir', str(folder / 'compiled'))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


@pytest.fixture(scope='module', autouse=True)
def free_memory():
  """Compiled programs stay in memory until they are dropped: gigabytes over all modules."""
  yield
  jax.clear_caches()
  gc.collect()
  c_library = ctypes.CDLL(None)
  if hasattr(c_library, 'malloc_trim'):  # glibc, which keeps freed memory otherwise
    c_library.malloc_trim(0)


@pytest.fixture
def disk_sets(monkeypatch, tmp_path):
  """Commands see images of disks in place of the published ones, and write to an empty folder."""
  from experiment_helpers import use_disk_sets

  use_disk_sets(monkeypatch)
  monkeypatch.chdir(tmp_path)


@pytest.fixture(scope='session')
def meta_trained(tmp_path_factory) -> Path:
  """The folder of a finished meta-training on images of disks; for reading only."""
  from experiment_helpers import small_meta_training, use_disk_sets

  from experiments.meta_train import meta_train

  with pytest.MonkeyPatch.context() as patch:
    use_disk_sets(patch)
    workdir = tmp_path_factory.mktemp('meta-trained') / 'TNBC-fcrn-combined-s0'
    return meta_train(small_meta_training(workdir=str(workdir)))


@pytest.fixture(scope='session')
def real_raw_dir() -> Path:
  """Folder with the real images, as raw_dir of fscs.data.datasets.load; skips if there is none."""
  given = os.environ.get('FSCS_RAW_DIR')
  folder = Path(given) if given else REPOSITORY.parent / 'shared' / 'data' / 'raw'
  if not folder.is_dir():
    pytest.skip(f'no real images in {folder}: set FSCS_RAW_DIR')
  return folder


@pytest.fixture(scope='session')
def real_data_dir(tmp_path_factory) -> Path:
  """Folder in which the tests of one session prepare real images, each data set once."""
  return tmp_path_factory.mktemp('real-data')
