"""Folders of runs: one command at a time in each."""

import contextlib
import dataclasses
import errno
import json
import os

import pytest

from fscs.errors import InputError
from fscs.io import workdirs as runs
from fscs.io.workdirs import CONFIG_FILE, opened_workdir
from experiments.common.runs import require_not_shorter


@dataclasses.dataclass(frozen=True)
class Config:
  seed: int = 0


def opened(workdir, part=None, *, seed=0, result=None, **facts):
  facts = {'command': 'x', **facts}
  return opened_workdir(workdir, Config(seed), facts, part=part, result=result)


def busy():
  return pytest.raises(InputError, match='another process is at work there; wait until it has')


def test_a_second_command_in_a_workdir_ends_at_once_and_a_later_one_goes_on(tmp_path):
  workdir = tmp_path / 'run'
  with opened(workdir):
    with busy(), opened(workdir):
      pass
    assert (workdir / CONFIG_FILE).exists()
  with pytest.raises(KeyboardInterrupt), opened(workdir):
    raise KeyboardInterrupt
  with opened(workdir):
    pass


def test_parts_of_the_work_go_on_beside_each_other(tmp_path):
  with opened(tmp_path, '1/2'), opened(tmp_path, '2/2'), busy(), opened(tmp_path, '1/2'):
    pass


def test_an_unfinished_run_of_which_nothing_is_kept_makes_room_but_not_while_it_is_at_work(
  tmp_path,
):
  def seed():
    return json.loads((tmp_path / CONFIG_FILE).read_text())['config']['seed']

  with opened(tmp_path, seed=1, result='model'):
    with busy(), opened(tmp_path, seed=2, result='model'):
      pass
    assert seed() == 1
  with opened(tmp_path, seed=2, result='model'):
    (tmp_path / 'model').mkdir()
  assert seed() == 2
  other = pytest.raises(InputError, match='--seed is 2 there and 1 now')
  with other, opened(tmp_path, seed=1, result='model'):
    pass
  assert seed() == 2


def test_what_is_not_as_it_was_when_a_run_began_is_named(tmp_path):
  facts = {'files': {'a': '1', 'b': '2'}, 'names': ['a', 'b'], 'key': 1}
  with opened(tmp_path, **facts):
    pass
  for change, message in (
    ({'files': {'a': '1', 'b': '3', 'c': '4'}}, r'files differs \(b, c\)\.'),
    ({'names': ['b', 'c']}, r'names differs \(a, c\)\.'),
    ({'names': ['b', 'a']}, r'names differs\.'),
    ({'key': 2}, r'key differs\.'),
  ):
    with pytest.raises(InputError, match=message), opened(tmp_path, **{**facts, **change}):
      pass


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOTSUP, errno.EROFS])
def test_a_file_system_without_locks_is_taken_as_it_is(tmp_path, monkeypatch, number):
  def refuse(*_, **__):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(runs.FileLock, 'acquire', refuse)
  unwritable = pytest.raises(InputError, match='cannot be written: Read-only file system')
  with unwritable if number == errno.EROFS else contextlib.nullcontext(), opened(tmp_path):
    pass


def test_a_run_is_not_shortened(tmp_path):
  require_not_shorter(tmp_path, 1, '--meta-epochs')
  for step in (2, 4):
    (tmp_path / 'checkpoints' / str(step)).mkdir(parents=True)
  require_not_shorter(tmp_path, 4, '--meta-epochs')
  with pytest.raises(InputError, match='has done 4 steps, and --meta-epochs asks for 3: give as'):
    require_not_shorter(tmp_path, 3, '--meta-epochs')
