"""Checkpoints: what is kept, what comes back, and what is said of damaged ones."""

import numpy as np
import pytest

from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints, load_init, save_init

PARAMS = {'conv1': {'kernel': np.arange(6, dtype=np.float32).reshape(2, 3)}}


def state_of(step):
  return {'params': PARAMS, 'step': np.full((), step, np.int32)}


def test_latest_and_best_are_kept(tmp_path):
  with Checkpoints(tmp_path / 'c', {'note': 'x'}) as checkpoints:
    for step, loss in ((1, 0.5), (2, 0.2), (3, 0.4), (4, 0.3)):
      checkpoints.save(step, state_of(step), validation_loss=loss)
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    assert (checkpoints.latest_step, checkpoints.best_step) == (4, 2)
    assert checkpoints.restore(state_of(0))['step'] == 4
    assert checkpoints.restore(state_of(0), 2)['step'] == 2
    np.testing.assert_array_equal(
      checkpoints.restore_params(2)['conv1']['kernel'], PARAMS['conv1']['kernel']
    )
    with pytest.raises(InputError, match='cannot be read'):
      checkpoints.restore(state_of(0), 1)


def test_no_checkpoint_has_no_step(tmp_path):
  with Checkpoints(tmp_path / 'c') as checkpoints:
    assert checkpoints.latest_step is None
    assert checkpoints.best_step is None


def test_an_initialisation_comes_back_with_its_metadata_and_can_be_replaced(tmp_path):
  for value in (1, 2):
    save_init(tmp_path / 'init', PARAMS, {'architecture': 'fcrn', 'value': value})
  params, metadata = load_init(tmp_path / 'init')
  np.testing.assert_array_equal(params['conv1']['kernel'], PARAMS['conv1']['kernel'])
  assert metadata == {'architecture': 'fcrn', 'value': 2}


def test_missing_and_damaged_initialisations_are_named(tmp_path):
  with pytest.raises(InputError, match=r'nowhere: there is no such folder'):
    load_init(tmp_path / 'nowhere')
  (tmp_path / 'empty').mkdir()
  with pytest.raises(InputError, match='empty cannot be read'):
    load_init(tmp_path / 'empty')


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
  (tmp_path / 'thesis.txt').write_text('all of it')
  with pytest.raises(InputError, match='holds other files, which would be lost'):
    save_init(tmp_path, PARAMS, {})
  with pytest.raises(InputError, match='holds other files'):
    save_init(tmp_path / 'thesis.txt', PARAMS, {})
  assert (tmp_path / 'thesis.txt').read_text() == 'all of it'
  (tmp_path / 'empty').mkdir()
  save_init(tmp_path / 'empty', PARAMS, {})


# Where several arrays cannot be read, orbax has closed its loop when the second one fails, which a
# thread of its own then complains of, now and then.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_damaged_checkpoint_is_named_in_one_line_and_the_one_before_it_is_left(tmp_path):
  with Checkpoints(tmp_path / 'c') as checkpoints:
    for step, loss in ((1, 0.1), (2, 0.2)):
      checkpoints.save(step, state_of(step), validation_loss=loss)
  for path in (tmp_path / 'c' / '2').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      path.write_bytes(path.read_bytes()[:3])
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    with pytest.raises(
      InputError, match=r'c/2 cannot be read: it is damaged, .* remove it'
    ) as caught:
      checkpoints.restore(state_of(0))
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 500
    assert checkpoints.restore(state_of(0), 1)['step'] == 1
