"""Checkpoints: what is kept, what comes back, and what is refused."""

import errno
import logging

import numpy as np
import pytest
from helpers import assert_trees_equal, fails_after, full_disk, full_disk_in_tensorstore

from fscs.errors import InputError
from fscs.io import Checkpoints, checkpoints, load_init, save_init

PARAMS = {'conv1': {'kernel': np.arange(6, dtype=np.float32).reshape(2, 3)}}


def state_of(step):
  return {'params': PARAMS, 'step': np.full((), step, np.int32)}


def test_the_latest_and_the_best_are_kept(tmp_path):
  with Checkpoints(tmp_path / 'c', {'note': 'x'}) as checkpoints:
    assert (checkpoints.latest_step, checkpoints.best_step) == (None, None)
    for step, loss in ((1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3)):
      checkpoints.save(step, state_of(step), validation_loss=loss)
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    assert (checkpoints.latest_step, checkpoints.best_step) == (4, 2)
    assert checkpoints.restore(state_of(0))['step'] == 4
    assert checkpoints.restore(state_of(0), 2)['step'] == 2
    assert_trees_equal(checkpoints.restore_params(2), PARAMS)
    with pytest.raises(InputError, match='c/1'):
      checkpoints.restore(state_of(0), 1)


def test_an_initialisation_comes_back_with_its_metadata_and_can_be_replaced(tmp_path):
  for value in (1, 2):
    save_init(tmp_path / 'init', PARAMS, {'architecture': 'fcrn', 'value': value})
  params, metadata = load_init(tmp_path / 'init')
  assert_trees_equal(params, PARAMS)
  assert metadata == {'architecture': 'fcrn', 'value': 2}


def test_a_folder_without_an_initialisation_is_named(tmp_path):
  (tmp_path / 'empty').mkdir()
  for name in ('nowhere', 'empty'):
    with pytest.raises(InputError, match=name):
      load_init(tmp_path / name)


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
  (tmp_path / 'thesis.txt').write_text('all of it')
  for path in (tmp_path, tmp_path / 'thesis.txt'):
    with pytest.raises(InputError, match='holds other files'):
      save_init(path, PARAMS, {})
  assert (tmp_path / 'thesis.txt').read_text() == 'all of it'
  (tmp_path / 'empty').mkdir()
  save_init(tmp_path / 'empty', PARAMS, {})


# When several arrays cannot be read, Orbax has closed its event loop when the second one fails, and
# now and then a thread of its own complains of that.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_damaged_checkpoint_is_named_and_the_one_before_can_be_read(tmp_path):
  with Checkpoints(tmp_path / 'c') as checkpoints:
    for step, loss in ((1, 0.1), (2, 0.2)):
      checkpoints.save(step, state_of(step), validation_loss=loss)
  for path in (tmp_path / 'c' / '2').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      path.write_bytes(path.read_bytes()[:3])
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    with pytest.raises(InputError, match='c/2') as error:
      checkpoints.restore(state_of(0))
    assert '\n' not in str(error.value)
    assert checkpoints.restore(state_of(0), 1)['step'] == 1


@pytest.mark.parametrize('error', [full_disk, full_disk_in_tensorstore])
def test_a_full_disk_is_named_and_its_remains_are_removed(tmp_path, monkeypatch, caplog, error):
  path = tmp_path / 'init'

  def fail(folder, *_, **__):
    folder.with_name(folder.name + '.orbax-checkpoint-tmp').mkdir()
    try:
      raise error()
    except Exception:
      logging.getLogger('absl').exception('in a thread')
      raise

  with monkeypatch.context() as patched:
    patched.setattr(checkpoints.ocp, 'save', fail)
    with pytest.raises(OSError, match='No space') as raised:
      save_init(path, PARAMS, {})
  assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(path))
  assert not caplog.records
  assert not list(tmp_path.iterdir())
  save_init(path, PARAMS, {})
  assert_trees_equal(load_init(path)[0], PARAMS)


def test_other_errors_than_those_of_the_system_stay_as_they_are(tmp_path, monkeypatch):
  def fail(*_, **__):
    raise ValueError('no such type')

  monkeypatch.setattr(checkpoints.ocp, 'save', fail)
  with pytest.raises(ValueError, match='no such type'):
    save_init(tmp_path / 'init', PARAMS, {})


def test_the_first_error_of_a_full_disk_is_raised_not_that_of_closing(tmp_path, monkeypatch):
  Checkpointer = checkpoints.ocp.training.Checkpointer
  for method in ('save', 'close'):
    fails_after(monkeypatch, Checkpointer, method, 0, full_disk_in_tensorstore)
  opened = Checkpoints(tmp_path / 'c')
  with pytest.raises(OSError, match='No space') as raised, opened:
    opened.save(7, state_of(7), validation_loss=0.1)
  assert raised.value.filename == str(tmp_path / 'c' / '7')
  with pytest.raises(OSError, match='No space'), Checkpoints(tmp_path / 'c'):
    pass
