"""A file appears whole or not at all."""

import errno
import io
import os
from pathlib import Path

import pytest

from fscs.io.atomic import append_text, atomic_path, write_csv, write_text


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


@pytest.mark.parametrize('number', [errno.ENOSPC, None])
def test_an_error_of_the_system_names_the_file(tmp_path, number):
  error = OSError(number, 'no room') if number else OSError('16 requested and 8 written')
  with pytest.raises(OSError, match='page') as raised, atomic_path(tmp_path / 'page'):
    raise error
  assert raised.value.filename == str(tmp_path / 'page')
  with pytest.raises(FileNotFoundError) as raised, atomic_path(tmp_path / 'page'):
    (tmp_path / 'another').read_text()
  assert raised.value.filename == str(tmp_path / 'another')
  with pytest.raises(FileNotFoundError) as raised:
    write_text(tmp_path / 'nowhere' / 'page', 'text')
  assert raised.value.filename == str(tmp_path / 'nowhere' / 'page')


class SmallDisk(io.FileIO):
  """A file that has room for five more bytes, given in two parts."""

  room = 5

  def write(self, content):
    if not self.room:
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    taken = super().write(content[: min(3, self.room)])
    self.room -= taken
    return taken


def test_lines_are_added_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / 'lines.csv'
  append_text(path, 'é\n')
  with monkeypatch.context() as patched:
    patched.setattr(Path, 'open', lambda path, mode, buffering: SmallDisk(path, 'a'))
    append_text(path, '1,2\n')
    with pytest.raises(OSError, match='lines') as raised:
      append_text(path, '3,456\n')
  assert raised.value.filename == str(path)
  assert path.read_text() == 'é\n1,2\n'
