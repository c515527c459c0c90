"""A file appears whole or not at all."""

import os
from pathlib import Path

import pytest

from fscs.io.atomic import atomic_path, write_csv, write_text


def test_the_file_appears_when_the_block_ends_and_keeps_its_suffix(tmp_path):
  path = tmp_path / 'labels.tif'
  with atomic_path(path) as temporary:
    temporary.write_text('new')
    assert temporary.suffix == '.tif'
    assert not path.exists()
  assert path.read_text() == 'new'
  assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_after_an_error_the_old_file_is_left_and_nothing_else(tmp_path, error):
  path = tmp_path / 'page.html'
  write_text(path, 'old')
  with pytest.raises(error), atomic_path(path) as temporary:
    temporary.write_text('half of the n')
    raise error
  assert path.read_text() == 'old'
  assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_and_keeps_names_that_are_not(tmp_path):
  name = os.fsdecode(b'caf\xe9 \xc3\xa9')
  write_text(tmp_path / 'names.txt', name)
  assert (tmp_path / 'names.txt').read_bytes() == b'caf\xe9 \xc3\xa9'


def test_a_table_has_six_significant_digits(tmp_path):
  path = Path(tmp_path, 'scores.csv')
  write_csv(path, [('a, b', 1 / 3, 1_234_567), ('c', None, 2e-7)], ('name', 'iou', 'pixels'))
  assert path.read_text() == 'name,iou,pixels\n"a, b",0.333333,1234567\nc,,2e-07\n'
