"""The demo runs both commands on simulated images."""

import pytest
from helpers import read_table

from experiments.demo import Config, demo


@pytest.mark.slow
def test_the_demo_trains_evaluates_and_names_its_pictures(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  demo(Config(preset='smoke', workdir='demo'))
  rows = read_table(tmp_path / 'demo' / 'finetune_eval' / 'results.csv')
  assert {row['initialisation'] for row in rows} == {'meta_train', 'random-normal-s0'}
  assert {(row['shots'], row['selection']) for row in rows} == {
    ('1', '1'),
    ('1', '2'),
    ('5', '1'),
    ('5', '2'),
  }
  printed = capsys.readouterr().out
  for path in tmp_path.rglob('*.png'):
    assert path.name in printed
