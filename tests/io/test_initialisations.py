"""Initialisations: the shipped one, and others that fine-tuning can start from."""

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
from fscs.io import initialisations, load_initialisation, save_init
from fscs.io.initialisations import SHIPPED, random_initialisation


def shapes(params):
  return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), params)


def test_the_shipped_network_is_that_of_the_recommended_preset_in_two_megabytes():
  shipped = fscs.pretrained()
  assert shipped.architecture == PRESETS['recommended']['arch'] == 'deep_unet'
  assert shipped.widths == (16, 32, 64, 128)
  assert 5 < shipped.diameter_range[0] <= shipped.diameter_range[1] < 100
  random = jax.eval_shape(lambda: load_initialisation('random').params)
  assert shapes(shipped.params) == shapes(random)
  assert (initialisations.resources.files('fscs') / SHIPPED).stat().st_size < 2e6


def test_what_is_shipped_is_what_was_trained_but_for_half_precision(tmp_path, monkeypatch):
  trained = small_initialisation()
  metadata = {'architecture': trained.architecture, 'diameter_range': (31.0, 40.0)}
  save_init(tmp_path / 'run', trained.params, metadata)
  monkeypatch.setattr(ship.fscs, '__file__', str(tmp_path / '__init__.py'))
  ship.main(ship.Config(str(tmp_path / 'run')))
  monkeypatch.setattr(initialisations.resources, 'files', lambda _: tmp_path)
  found = load_initialisation('pretrained')
  assert found[:2] == trained[:2]
  assert found.diameter_range == (31, 40)
  assert_trees_close(found.params, trained.params, rtol=1e-3)
  (tmp_path / SHIPPED).unlink()
  with pytest.raises(InputError, match="init='random'"):
    fscs.pretrained()


def test_random_parameters_are_of_the_same_network_and_differ_by_seed():
  like = small_initialisation()
  one, other = (random_initialisation(like, seed) for seed in (1, 2))
  assert one._replace(params=None, name='') == like._replace(params=None, name='')
  assert shapes(one.params) == shapes(like.params)
  assert np.abs(one.params['conv1']['kernel'] - other.params['conv1']['kernel']).max() > 0.1


def test_an_unfinished_run_and_a_folder_of_no_network_are_named(tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'config.json').write_text('{}')
  save_init(tmp_path / 'other', {'a': np.zeros(2, np.float32)}, {})
  for name in ('run', 'other', 'nowhere'):
    with pytest.raises(InputError, match=name) as error:
      load_initialisation(tmp_path / name)
    assert error.value.arguments == ('init',)


def test_a_file_of_pytorch_is_converted(tmp_path):
  torch = pytest.importorskip('torch')
  state = inputs.draw_state_dict('fcrn', inputs.NARROW_WIDTHS['fcrn'], affine=False, seed=1)
  torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / 'a.pt')
  found = load_initialisation(tmp_path / 'a.pt')
  assert (found.architecture, found.widths) == ('fcrn', inputs.NARROW_WIDTHS['fcrn'])
  torch.save([1, 2], tmp_path / 'list.pt')
  (tmp_path / 'text.pt').write_text('nothing')
  for name in ('list.pt', 'text.pt'):
    with pytest.raises(InputError):
      load_initialisation(tmp_path / name)


def test_a_file_of_pytorch_without_pytorch_is_named(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'torch', None)
  (tmp_path / 'a.pt').touch()
  with pytest.raises(InputError, match=r'a\.pt needs PyTorch'):
    load_initialisation(tmp_path / 'a.pt')
