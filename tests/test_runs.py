"""Folders of runs: one command at a time in each."""

import dataclasses

import pytest

from experiments.runs import CONFIG_FILE, opened_workdir, require_not_shorter
from fscs.errors import InputError


@dataclasses.dataclass(frozen=True)
class Config:
  seed: int = 0


def opened(workdir, part=None):
  return opened_workdir(workdir, Config(), {'command': 'x'}, part=part)


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


def test_a_run_is_not_shortened(tmp_path):
  require_not_shorter(tmp_path, 1, '--meta-epochs')
  for step in (2, 4):
    (tmp_path / 'checkpoints' / str(step)).mkdir(parents=True)
  require_not_shorter(tmp_path, 4, '--meta-epochs')
  with pytest.raises(InputError, match='has done 4 steps, and --meta-epochs asks for 3: give as'):
    require_not_shorter(tmp_path, 3, '--meta-epochs')
