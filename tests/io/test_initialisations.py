"""The shipped initialisation, and others that fine-tuning can start from."""

import jax
import numpy as np
import pytest

import fscs
from experiments import ship
from experiments.configs import PRESETS
from fscs.errors import InputError
from fscs.io import initialisations as initialisations
from fscs.models.factory import widths_of
from fscs.io.starting import load_start
from fscs.models import init_params, make_model


def test_the_shipped_initialisation_is_the_recipes_network_in_under_two_megabytes():
  initialisation = fscs.pretrained()
  assert initialisation.architecture == PRESETS['recommended']['arch'] == 'deep_unet'
  assert initialisation.widths == (16, 32, 64, 128)
  assert 5 < initialisation.diameter_range[0] <= initialisation.diameter_range[1] < 100
  wanted = jax.eval_shape(lambda: init_params(make_model('deep_unet'), jax.random.key(0)))
  shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), initialisation.params)
  assert shapes == jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), wanted)
  path = initialisations.resources.files('fscs') / initialisations.SHIPPED
  assert path.stat().st_size < 2e6


def test_what_is_shipped_is_what_was_trained_but_for_half_precision(tmp_path, monkeypatch):
  model = make_model('unet', widths=(4, 4, 8))
  params = init_params(model, jax.random.key(0))
  fscs.save_init(tmp_path / 'run', params, {'architecture': 'unet', 'diameter_range': (31.0, 40.0)})
  monkeypatch.setattr(ship.fscs, '__file__', str(tmp_path / '__init__.py'))
  ship.main(ship.Config(str(tmp_path / 'run')))
  monkeypatch.setattr(initialisations.resources, 'files', lambda _: tmp_path)
  found = fscs.pretrained()
  assert (found.architecture, found.widths, found.diameter_range) == ('unet', (4, 4, 8), (31, 40))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), found.params, params
  )
  (tmp_path / initialisations.SHIPPED).unlink()
  with pytest.raises(InputError, match='has no pretrained initialisation: give --init'):
    fscs.pretrained()


def test_widths_are_read_from_the_parameters():
  plain = init_params(make_model('unet'), jax.random.key(0))
  assert widths_of('unet', plain) == (32, 64, 128)
  deeper = init_params(make_model('unet', widths=(4, 8, 8, 12)), jax.random.key(0))
  assert widths_of('unet', deeper) == (4, 8, 8, 12)
  with pytest.raises(InputError, match='not of fcrn'):
    widths_of('fcrn', plain)


def test_random_parameters_are_of_the_network_that_they_are_compared_with():
  shipped = fscs.pretrained()
  start = load_start('random')
  assert start._replace(params=None, name='') == shipped._replace(params=None, name='')
  assert jax.tree.map(np.shape, start.params) == jax.tree.map(np.shape, shipped.params)
  other = load_start('random', seed=1)
  assert np.abs(_kernel(other) - _kernel(start)).max() > 0.1


def _kernel(initialisation):
  return np.asarray(jax.tree.leaves(initialisation.params)[-1])


def test_a_run_that_has_not_ended_and_a_folder_of_no_network_are_named(tmp_path):
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(InputError, match='has not ended yet'):
    load_start(str(tmp_path))
  fscs.save_init(tmp_path / 'other', {'a': np.zeros(2, np.float32)}, {})
  with pytest.raises(InputError, match='does not say which network it is of'):
    load_start(str(tmp_path / 'other'))


def test_a_file_of_pytorch_is_converted_or_says_what_is_missing(tmp_path):
  torch = pytest.importorskip('torch')
  from experiments.benchmark import jobs

  state = {name: torch.from_numpy(value) for name, value in jobs.kernels('fcrn').items()}
  torch.save(state, tmp_path / 'authors.pt')
  start = load_start(str(tmp_path / 'authors.pt'))
  assert (start.architecture, start.widths) == ('fcrn', (32, 64, 128, 512))
  (tmp_path / 'broken.pt').write_text('nothing')
  with pytest.raises(InputError, match=r'broken\.pt is no PyTorch file'):
    load_start(str(tmp_path / 'broken.pt'))


def test_without_pytorch_a_line_says_how_to_convert(tmp_path, monkeypatch):
  monkeypatch.setitem(__import__('sys').modules, 'torch', None)
  (tmp_path / 'authors.pt').touch()
  with pytest.raises(InputError, match='pip install torch, or convert it'):
    load_start(str(tmp_path / 'authors.pt'))
