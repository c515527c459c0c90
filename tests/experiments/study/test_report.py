"""The report of results made up: what its tables say, and which results it leaves out."""

import json
import shutil

import numpy as np
import pytest

from experiments.study import report, store
from fscs.errors import InputError
from fscs.io.workdirs import CONFIG_FILE


@pytest.fixture
def report_of(tmp_path):
  """A function that writes the report of results, and returns its folder."""

  def write(results, predictions=(), **options):
    workdir = tmp_path / 'study'
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir()
    store.append(workdir / store.FILE, results)
    for result, masks in predictions:
      store.keep_predictions(workdir, result.run, result.images, masks)
    content = {'command': 'study', 'config': {'simulated': False}}
    (workdir / CONFIG_FILE).write_text(json.dumps(content))
    return report.report(report.Config(workdir=str(workdir), **options))

  return write


def rows_of(text, title=None):
  """The cells of the table below a heading, row by row, without the names of the columns."""
  if title:
    text = text.partition(f'\n## {title}\n')[2].partition('\n## ')[0]
  rows = [line for line in text.splitlines() if line.startswith('| ')]
  return [[cell.strip() for cell in row.strip('|').split('|')] for row in rows[1:]]


@pytest.fixture
def results(made_up):
  """Three methods on two targets, on two support sets each; fscs loses on B5."""
  scores = {'forest': (0.9, 0.4), 'combined': (0.6, 0.5), 'fscs': (0.8, 0.7)}
  found = []
  for method, (on_b5, on_em) in scores.items():
    for shots in (1, 5, 10):
      for selection, gain in ((1, 0.0), (2, 0.1)):
        place = {'shots': shots, 'selection': selection}
        found.append(made_up(method, 'B5', [on_b5 + gain] * 2, **place))
        found.append(made_up(method, 'EM', [on_em + gain] * 2, sections=(10, 1), **place))
  for steps, iou in ((10, 0.2), (25, 0.35)):
    found.append(made_up('fscs', 'EM', [iou] * 2, shots=5, steps=steps))
  for method, iou in (('fscs', 0.8), ('fscs-random', 0.7)):
    found.append(made_up(method, 'B5', [iou], selection=0, protocol='validation'))
  return found


def test_every_table_has_its_numbers(report_of, results):
  out = report_of(results)
  text = (out / 'results.md').read_text()
  expected = ['fscs', '0.850 / 0.850 / 0.850', '0.750 / 0.750 / 0.750', '2']
  assert rows_of(text, 'Summary')[-1] == expected
  forest, _, fscs = rows_of(text, 'IoU')
  assert forest[1] == '**0.950 ±\u00a00.071**'  # the best of its column
  assert fscs[1] == '0.850 ±\u00a00.071'
  far = rows_of(text, 'EM, at least 10 sections from every annotated image')
  assert [row[1] for row in far] == ['0.450 (2)', '0.550 (2)', '**0.750 (2)**']
  losses = rows_of(text, 'Where fscs loses')
  assert [row[0] for row in losses] == ['B5'] * 3 + ['EM'] * 3
  assert [row[-1] for row in losses] == ['-0.100'] * 3 + ['+0.200'] * 3
  assert rows_of(text, 'fscs against every other method') == [
    ['random forest', '+0.100', '+0.100 to +0.100', '12'],
    ['meta-learned (combined)', '+0.200', '+0.200 to +0.200', '12'],
  ]
  assert rows_of(text, '1 annotated image against 10')[0] == ['B5', '0.650', '0.850', '0.950']
  (curve,) = rows_of(text, 'Steps of adaptation, K = 5')
  assert curve[2:5] == ['0.200', '0.350', '0.700']
  (variant,) = rows_of(text, 'Variants of fscs')
  assert variant[2:5] == ['fscs, random initialisation', '+0.100', '+0.100']
  assert [row[1] for row in rows_of(text, 'Machines and versions')] == ['12', '12', '1', '15']
  summary = rows_of((out / 'summary.md').read_text())
  assert summary[-1] == ['fscs', '0.850', '', '', '0.750', '', '']
  page = (out / 'results.html').read_text()
  assert '<strong>0.950 ±\u00a00.071</strong>' in page
  assert 'src="data:image/png;base64,' in page and 'src="http' not in page
  assert sorted(store.read(out / store.FILE)) == sorted(results)


def test_a_report_needs_no_results_of_fscs(report_of, made_up):
  text = (report_of([made_up('otsu', 'B5', [0.5])]) / 'results.md').read_text()
  assert rows_of(text, 'Summary') == [["Otsu's threshold", '0.500', '1']]
  assert 'Where fscs loses' not in text


def test_other_options_other_data_and_unknown_methods_are_left_out(report_of, made_up, capsys):
  kept = [made_up('otsu', 'B5', [0.5], selection=number) for number in (1, 2)]
  other = made_up('otsu', 'B5', [0.9], selection=3)
  strange = [
    other._replace(config='old'),
    made_up('forest', 'B5', [0.9])._replace(data='other'),
    other._replace(run=other.run._replace(method='gone')),
  ]
  out = report_of([*kept, *strange])
  assert store.read(out / store.FILE) == kept
  assert capsys.readouterr().err.count('note: left out 1 results') == 3


def test_a_folder_without_results_is_refused(report_of):
  with pytest.raises(InputError, match='no results of protocol cpu-small: run python -m exp'):
    report_of([])


def test_predictions_of_one_image_are_drawn_and_published(report_of, made_up, small_sets):
  images = {'images': ('03.png', '04.png', '05.png'), 'shots': 5}
  result = made_up('otsu', 'TNBC', [0.5, 0.6, 0.7], **images)
  masks = np.random.default_rng(0).random((3, 128, 128)) > 0.5
  out = report_of([result], [(result, masks)], raw_dir='anywhere')
  assert '![Predictions of TNBC](predictions-TNBC.png)' in (out / 'results.md').read_text()
  store.take_over_predictions(out / 'predictions.zip', out / 'taken', [result.run])
  np.testing.assert_array_equal(
    store.read_prediction(out / 'taken', result.run, '04.png'), masks[1]
  )
  with pytest.raises(InputError, match='not those of the study'):
    report_of([result], [(result, masks[:, 1:])], raw_dir='anywhere')
