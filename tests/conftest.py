"""What the test modules share: the real images, for those tests that are marked real_data."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config):
  config.addinivalue_line(
    'markers', 'real_data: needs published images; FSCS_RAW_DIR says where, else ../shared/data/raw'
  )


@pytest.fixture(scope='session')
def real_raw_dir() -> Path:
  """Folder with the real images, as raw_dir of fscs.datasets.load; skips where there is none."""
  given = os.environ.get('FSCS_RAW_DIR')
  folder = Path(given) if given else REPOSITORY.parent / 'shared' / 'data' / 'raw'
  if not folder.is_dir():
    pytest.skip(f'no real images in {folder}: set FSCS_RAW_DIR')
  return folder


@pytest.fixture(scope='session')
def real_data_dir(tmp_path_factory) -> Path:
  """Folder in which the tests of one session prepare real images, each data set once."""
  return tmp_path_factory.mktemp('real-data')
