"""The demo runs both commands."""

import pytest
from helpers import TINY_WIDTHS, disk_set, read_table

from experiments.common import data, options
from experiments.demo import Config, demo
from fscs.models import make_model


@pytest.mark.slow
def test_the_demo_trains_evaluates_and_names_its_pictures(disk_sets, tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(data, 'load_set', lambda code, _: disk_set(code, size=256))  # shrunk by 4

  def make_tiny_model(architecture, **attributes):
    return make_model(architecture, **attributes | {'widths': TINY_WIDTHS[architecture]})

  monkeypatch.setattr(options, 'make_model', make_tiny_model)
  demo(Config(preset='smoke', workdir='demo'))
  rows = read_table(tmp_path / 'demo' / 'finetune_eval' / 'results.csv')
  assert {row['initialisation'] for row in rows} == {'meta_train', 'random-normal-s0'}
  assert len(rows) == 8  # of one and five shots, two support sets each
  printed = capsys.readouterr().out
  for path in tmp_path.rglob('*.png'):
    assert path.name in printed
