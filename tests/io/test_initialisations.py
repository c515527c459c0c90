"""The pretrained initialisation, and the others that fine-tuning can start from."""

import dataclasses
import json
import sys

import jax
import numpy as np
import pytest
from golden import inputs
from helpers import assert_trees_close, small_initialisation

import fscs
from experiments import ship
from experiments.configs import PRESETS
from fscs.errors import InputError
from fscs.io import initialisations
from fscs.io.checkpoints import save_init
from fscs.io.initialisations import load_initialisation, random_initialisation


@pytest.fixture(scope='module')
def trained():
  return small_initialisation()


def shapes_of(params):
  return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)


def described(initialisation):
  return initialisation.architecture, initialisation.widths


def test_the_pretrained_network_is_that_of_the_recipe_in_under_two_megabytes():
  found = load_initialisation('pretrained')
  assert found.architecture == PRESETS['recommended']['arch'] == 'deep_unet'
  assert found.widths == (16, 32, 64, 128)
  assert 5 < found.diameter_range[0] <= found.diameter_range[1] < 100
  random = jax.eval_shape(lambda: load_initialisation('random').params)
  assert shapes_of(found.params) == shapes_of(random)
  path = initialisations.resources.files('fscs') / initialisations.SHIPPED
  assert path.stat().st_size < 2e6


def test_the_shipped_parameters_are_the_trained_ones_in_half_precision(
  tmp_path, monkeypatch, trained
):
  metadata = {'architecture': trained.architecture, 'diameter_range': (31.0, 40.0)}
  save_init(tmp_path / 'run', trained.params, metadata)
  monkeypatch.setattr(ship.fscs, '__file__', str(tmp_path / '__init__.py'))
  ship.main(ship.Config(str(tmp_path / 'run')))
  monkeypatch.setattr(initialisations.resources, 'files', lambda _: tmp_path)
  found = fscs.pretrained()
  assert described(found) == described(trained)
  assert found.diameter_range == (31, 40)
  assert_trees_close(found.params, trained.params, rtol=1e-3)
  (tmp_path / initialisations.SHIPPED).unlink()
  with pytest.raises(InputError) as caught:
    fscs.pretrained()
  assert caught.value.arguments == ('init',)


def test_random_parameters_are_of_the_same_network_and_depend_on_the_seed(trained):
  first, second = (random_initialisation(trained, seed) for seed in (0, 1))
  assert described(first) == described(trained)
  assert shapes_of(first.params) == shapes_of(trained.params)
  assert np.abs(first.params['conv1']['kernel'] - second.params['conv1']['kernel']).max() > 0.1


def test_initialisations_are_compared_as_objects_and_shown_in_a_line(trained):
  other = dataclasses.replace(trained, name='other')
  assert trained == trained
  assert trained != other
  assert len({trained, other}) == 2
  assert '\n' not in repr(trained)


def test_a_finished_run_is_read_from_its_folder(tmp_path, trained):
  save_init(tmp_path / 'run' / 'init', trained.params, {'architecture': trained.architecture})
  found = load_initialisation(tmp_path / 'run')
  assert (found.name, *described(found)) == ('run', *described(trained))
  assert found.diameter_range == initialisations.DEFAULT_DIAMETER_RANGE


def test_what_is_no_initialisation_is_refused(tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'tuned').mkdir()
  for name, command in (('run', 'meta_train'), ('tuned', 'finetune')):
    content = {'command': command, 'config': {}}
    (tmp_path / name / 'config.json').write_text(json.dumps(content))
  save_init(tmp_path / 'other', {'a': np.zeros(2, np.float32)}, {})
  for name, message in {
    'run': 'has not finished',
    'tuned': 'is a workdir of finetune',
    'other': 'architecture None',
    'absent': 'expected pretrained, random',
    'absent.pt': 'no such file',
  }.items():
    with pytest.raises(InputError, match=message) as caught:
      load_initialisation(tmp_path / name)
    assert caught.value.arguments == ('init',)


def test_pytorch_files_are_converted(tmp_path):
  torch = pytest.importorskip('torch')
  state = inputs.draw_state_dict('unet', (4, 8, 16), affine=False, seed=0)
  torch.save({name: torch.from_numpy(v) for name, v in state.items()}, tmp_path / 'authors.pt')
  found = load_initialisation(tmp_path / 'authors.pt')
  assert (found.name, found.architecture, found.widths) == ('authors', 'unet', (4, 8, 16))
  torch.save([1, 2], tmp_path / 'list.pt')
  (tmp_path / 'broken.pt').write_text('nothing')
  for name in ('list.pt', 'broken.pt'):
    with pytest.raises(InputError):
      load_initialisation(tmp_path / name)


def test_a_pytorch_file_without_pytorch_is_an_input_error(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  (tmp_path / 'authors.pt').touch()
  with pytest.raises(InputError, match='pip install torch, or convert it'):
    load_initialisation(tmp_path / 'authors.pt')
