"""What the test modules share: the real images (marker real_data), precision, compiled programs."""

import os
from pathlib import Path

# Tests run small programs once or twice, so compiling takes most of their time: have them compiled
# quickly, also in what tests start. Set it to 0 to test programs as they are compiled for users.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')

import jax
import pytest

# Accelerators multiply float32 matrices in fewer bits unless told otherwise.
jax.config.update('jax_default_matmul_precision', 'highest')

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session', autouse=True)
def compilation_cache(tmp_path_factory):
  """Tests that compile the same program again take it from here, those of other workers too."""
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent
  os.environ['JAX_COMPILATION_CACHE_DIR'] = str(folder / 'compiled')  # for what tests start
  jax.config.update('jax_compilation_cache_dir', str(folder / 'compiled'))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)


@pytest.fixture(scope='session')
def real_raw_dir() -> Path:
  """Folder with the real images, as raw_dir of fscs.data.datasets.load; skips where there is none."""
  given = os.environ.get('FSCS_RAW_DIR')
  folder = Path(given) if given else REPOSITORY.parent / 'shared' / 'data' / 'raw'
  if not folder.is_dir():
    pytest.skip(f'no real images in {folder}: set FSCS_RAW_DIR')
  return folder


@pytest.fixture(scope='session')
def real_data_dir(tmp_path_factory) -> Path:
  """Folder in which the tests of one session prepare real images, each data set once."""
  return tmp_path_factory.mktemp('real-data')
