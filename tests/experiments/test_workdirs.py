"""Folders of runs: one configuration, and one command at a time."""

import dataclasses
import errno
import json
import os

import filelock
import pytest

from experiments.common.runs import has_begun, newest_run, require_not_shorter
from fscs.errors import InputError
from fscs.io.workdirs import CONFIG_FILE, opened_workdir, read_config


@dataclasses.dataclass(frozen=True)
class Config:
  seed: int = 0
  workdir: str = ''


def opened(workdir, part=None, *, config=None, result=None, free=(), **facts):
  facts = {'command': 'x', **facts}
  return opened_workdir(workdir, config or Config(), facts, part=part, result=result, free=free)


def busy():
  return pytest.raises(InputError, match='another process is at work there')


def test_a_workdir_is_locked_while_a_command_is_at_work_and_free_after_an_interruption(tmp_path):
  workdir = tmp_path / 'run'
  with opened(workdir), busy(), opened(workdir):
    pass
  with pytest.raises(KeyboardInterrupt), opened(workdir):
    raise KeyboardInterrupt
  with opened(workdir, '1/2'), opened(workdir, '2/2'), busy(), opened(workdir, '1/2'):
    pass  # parts of the work go on beside each other


def test_a_run_goes_on_with_the_same_configuration_but_for_places_and_free_options(tmp_path):
  with opened(tmp_path):
    pass
  with opened(tmp_path, config=Config(workdir='elsewhere')):
    pass
  with (
    pytest.raises(InputError, match='seed is 0 there and 1 now'),
    opened(tmp_path, config=Config(seed=1)),
  ):
    pass
  with opened(tmp_path, config=Config(seed=1), free=('seed',)):
    pass


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'files': {'a': '1', 'b': '3', 'c': '4'}}, r'files differs \(b, c\)\.'),
    ({'names': ['b', 'c']}, r'names differs \(a, c\)\.'),
    ({'names': ['b', 'a']}, r'names differs\.'),
  ],
)
def test_facts_that_have_changed_are_named(tmp_path, change, message):
  facts = {'files': {'a': '1', 'b': '2'}, 'names': ['a', 'b']}
  with opened(tmp_path, **facts):
    pass
  with pytest.raises(InputError, match=message), opened(tmp_path, **facts | change):
    pass


@pytest.mark.parametrize(
  ('option', 'refused'),
  [({'stretch': False}, False), ({'stretch': True}, True), ({'other': None}, False)],
)
def test_options_of_earlier_versions_do_not_matter_at_their_default(tmp_path, option, refused):
  with opened(tmp_path):
    pass
  path = tmp_path / CONFIG_FILE
  content = json.loads(path.read_text())
  content['config'] |= option
  path.write_text(json.dumps(content | {'key': [0, 1]}))
  if refused:
    with pytest.raises(InputError, match='stretch is True there'), opened(tmp_path):
      pass
  else:
    with opened(tmp_path):
      pass


def test_a_run_without_a_result_makes_room_for_another_but_not_while_it_is_at_work(tmp_path):
  with opened(tmp_path, config=Config(1), result='model'):
    with busy(), opened(tmp_path, config=Config(2), result='model'):
      pass
    assert read_config(tmp_path)['config']['seed'] == 1
  with opened(tmp_path, config=Config(2), result='model'):
    (tmp_path / 'model').mkdir()
  other = pytest.raises(InputError, match='seed is 2 there and 1 now')
  with other, opened(tmp_path, config=Config(1), result='model'):
    pass
  assert read_config(tmp_path)['config']['seed'] == 2


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOTSUP, errno.EROFS])
def test_a_file_system_may_have_no_locks_but_must_be_writable(tmp_path, monkeypatch, number):
  def refuse(*_, **__):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(filelock.FileLock, 'acquire', refuse)
  if number == errno.EROFS:
    with pytest.raises(InputError, match='cannot be written: Read-only'), opened(tmp_path):
      pass
  else:
    with opened(tmp_path):
      pass


def test_a_run_is_not_shortened_and_the_newest_is_that_of_the_last_checkpoint(tmp_path):
  for name, step, time in (('a', 4, 2000), ('b', 6, 1000)):
    with opened(tmp_path / name):
      pass
    assert not has_begun(tmp_path / name)
    checkpoint = tmp_path / name / 'checkpoints' / str(step)
    checkpoint.mkdir(parents=True)
    os.utime(checkpoint, (time, time))
  require_not_shorter(tmp_path / 'a', 4, 'meta_epochs')
  with pytest.raises(InputError, match='has done 4 steps, and meta_epochs asks for 3'):
    require_not_shorter(tmp_path / 'a', 3, 'meta_epochs')
  assert newest_run('x', tmp_path) == tmp_path / 'a'
  with pytest.raises(InputError, match=r'no run of y .*python -m experiments\.y'):
    newest_run('y', tmp_path)
