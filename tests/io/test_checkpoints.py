"""Checkpoints: what is kept, what comes back, and what is refused."""

import numpy as np
import pytest

from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints, load_init, save_init

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)
PARAMS = {'conv1': {'kernel': KERNEL}}


def state_of(step):
  return {'params': PARAMS, 'step': np.full((), step, np.int32)}


def save_steps(folder, losses):
  with Checkpoints(folder) as checkpoints:
    assert checkpoints.latest_step is checkpoints.best_step is None
    for step, loss in enumerate(losses, start=1):
      checkpoints.save(step, state_of(step), validation_loss=loss)


def test_latest_and_best_are_kept(tmp_path):
  save_steps(tmp_path / 'c', (0.5, 0.2, 0.4, 0.3))
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    assert (checkpoints.latest_step, checkpoints.best_step) == (4, 2)
    assert checkpoints.restore(state_of(0))['step'] == 4
    assert checkpoints.restore(state_of(0), 2)['step'] == 2
    np.testing.assert_array_equal(checkpoints.restore_params(2)['conv1']['kernel'], KERNEL)
    with pytest.raises(InputError, match='cannot be read'):
      checkpoints.restore(state_of(0), 1)


def test_an_initialisation_comes_back_with_its_metadata_and_can_be_replaced(tmp_path):
  for value in (1, 2):
    save_init(tmp_path / 'init', PARAMS, {'architecture': 'fcrn', 'value': value})
  params, metadata = load_init(tmp_path / 'init')
  np.testing.assert_array_equal(params['conv1']['kernel'], KERNEL)
  assert metadata == {'architecture': 'fcrn', 'value': 2}


def test_a_folder_without_a_checkpoint_is_an_input_error(tmp_path):
  (tmp_path / 'empty').mkdir()
  for name in ('absent', 'empty'):
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


# If several arrays are damaged, Orbax closes its event loop at the first; now and then a thread of
# its own then complains about the others.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_damaged_checkpoint_is_an_input_error_and_the_one_before_it_can_be_read(tmp_path):
  save_steps(tmp_path / 'c', (0.1, 0.2))
  for path in (tmp_path / 'c' / '2').rglob('*'):
    if path.is_file() and path.parent.name == 'd':
      path.write_bytes(path.read_bytes()[:3])
  with Checkpoints(tmp_path / 'c', read_only=True) as checkpoints:
    with pytest.raises(InputError, match=r'c/2 cannot be read') as caught:
      checkpoints.restore(state_of(0))
    assert '\n' not in str(caught.value)
    assert checkpoints.restore(state_of(0), 1)['step'] == 1
