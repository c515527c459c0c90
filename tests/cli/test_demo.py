"""`fscs demo`: the whole way from annotated images to scores."""

from helpers import read_table, run_fscs, small_initialisation

from fscs.io import initialisations


def test_the_demo_makes_all_its_files(tmp_path, monkeypatch):
  # The published network takes minutes to compile.
  monkeypatch.setattr(initialisations, 'load_initialisation', lambda *_: small_initialisation())
  small = ('--steps=1', '--annotated=1', '--others=1', '--size=128')
  outcome = run_fscs('demo', f'--workdir={tmp_path}', *small)
  assert outcome.status == 0, outcome.err
  for name in ('model/report.html', 'results/report.html'):
    assert (tmp_path / name).stat().st_size > 1000
    assert str(tmp_path / name) in outcome.out
  (image,) = read_table(tmp_path / 'results' / 'images.csv')
  (scores,) = read_table(tmp_path / 'results' / 'scores.csv')
  assert image['file'] == f'{scores["image"]}.tif'
  assert int(scores['objects_predicted']) == int(image['objects'])
  assert int(scores['objects_true']) > 0
