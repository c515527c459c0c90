"""`fscs demo`: the whole way from annotated images to scores."""

from pathlib import Path

import tifffile
from helpers import fails_after, full_disk, read_table, refusal, run_fscs, small_initialisation

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


def test_a_full_disk_is_named_and_no_image_is_cut(tmp_path, monkeypatch):
  with monkeypatch.context() as patched:
    fails_after(patched, Path, 'write_bytes', 3, full_disk)
    line = refusal(['demo', '--workdir', tmp_path, '--size', 64])
  assert line.endswith('.tif: No space left on device')
  written = sorted(tmp_path.rglob('*.tif'))
  assert len(written) == 3
  assert all(tifffile.imread(path).shape == (64, 64) for path in written)
