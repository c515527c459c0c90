"""Tables, training logs and pictures of runs."""

import numpy as np
import pandas as pd
import pytest
from skimage.io import imread

from experiments.common.figures import draw_crops, draw_iou_bars, draw_losses, draw_overlays
from experiments.common.results import Row, read_all, read_rows, shard_of, write_summary
from experiments.common.training_log import TrainingLog, read_log
from fscs.errors import InputError
from fscs.io.atomic import write_csv


def row(name='meta', shots=1, selection=1, iou=0.5, digest='abc') -> Row:
  return Row(
    'TNBC', 'fcrn', name, 'bce', 4, digest, shots, selection, iou, 0.6, 0.7, 3, 8, seconds=1.0
  )


def test_rows_are_read_as_they_were_written_each_experiment_once(tmp_path):
  rows = [row(), row(selection=2, iou=0.25), row(shots=5)]
  write_csv(tmp_path / 'results.csv', rows, Row._fields)
  write_csv(tmp_path / 'results-1of2.csv', rows[:1], Row._fields)
  assert read_rows(tmp_path / 'results.csv') == rows
  assert sorted(read_all(tmp_path)) == sorted(rows)


def test_a_summary_has_means_and_deviations_over_support_sets(tmp_path):
  rows = [row(iou=0.4), row(selection=2, iou=0.6), row(shots=5, iou=0.7)]
  rows += [row('random', shots=5, iou=0.1), row(shots=5, digest='def', iou=0.8)]
  summary = write_summary(tmp_path, rows, 'TNBC, fcrn')
  by_name = summary.set_index(['name', 'shots'])
  assert by_name.loc[('meta, step 4 (abc)', 1), 'iou_mean'] == pytest.approx(0.5)
  assert by_name.loc[('meta, step 4 (abc)', 1), 'iou_std'] == pytest.approx(0.02**0.5)
  assert np.isnan(by_name.loc[('random', 5), 'iou_std'])  # of one support set
  assert by_name.loc[('meta, step 4 (def)', 5), 'iou_mean'] == pytest.approx(0.8)
  table = pd.read_csv(tmp_path / 'summary.csv')
  assert table['num_selections'].sum() == len(rows)
  assert '0.500 ± 0.141' in (tmp_path / 'summary.md').read_text()


@pytest.mark.parametrize('text', ['target\n1\n', 'x' * 5 + '\n"', None])
def test_damaged_tables_are_refused_by_name(tmp_path, text):
  path = tmp_path / 'results.csv'
  write_csv(path, [row()], Row._fields)
  path.write_text(path.read_text().replace('0.5', 'half') if text is None else text)
  with pytest.raises(InputError, match=r'results\.csv'):
    read_rows(path)


@pytest.mark.parametrize('shard', ['3/2', '0/2', 'a/b', '2', ''])
def test_shards_count_from_1_to_n(shard):
  assert shard_of('2/3') == (2, 3)
  with pytest.raises(InputError, match='i/n with i from 1 to n'):
    shard_of(shard)


def test_a_log_that_goes_on_drops_the_rows_after_its_checkpoint(tmp_path):
  name = r'a_$5_$b, c'  # signs of formulas and of tables
  columns = [f'loss/{name}', 'validation_loss']
  for first_step, last_step in ((0, 3), (2, 4)):
    with TrainingLog(tmp_path, columns, first_step=first_step) as log:
      for step in range(first_step + 1, last_step + 1):
        log.write(step, {f'loss/{name}': 0.5 + first_step})
  losses = [row[f'loss/{name}'] for row in read_log(tmp_path / 'figures.csv')]
  assert losses == ['0.5', '0.5', '2.5', '2.5']
  draw_losses(tmp_path / 'losses.png', tmp_path / 'figures.csv')
  assert imread(tmp_path / 'losses.png').std() > 0


def test_a_log_without_rows_has_no_curves(tmp_path):
  assert read_log(tmp_path / 'figures.csv') == []
  draw_losses(tmp_path / 'losses.png', tmp_path / 'figures.csv')
  assert not (tmp_path / 'losses.png').exists()


def test_pictures_show_outlines_where_there_are_any(tmp_path):
  square = np.zeros((16, 16), bool)
  square[4:12, 4:12] = True
  masks = [square, np.zeros_like(square), np.ones_like(square)]
  images = [np.full((16, 16), value, np.uint8) for value in (0, 128, 255)]
  draw_overlays(tmp_path / 'overlays.png', ['a', r'$b_$', 'c'], images, masks, masks[::-1])
  draw_crops(tmp_path / 'crops.png', [r'B5 $_$'], [np.zeros((3, 16, 16))], [np.stack(masks)])
  for name in ('overlays.png', 'crops.png'):
    picture = imread(tmp_path / name)[..., :3]
    assert (picture == (255, 176, 0)).all(-1).any(), f'no outline of the truth in {name}'


def test_bars_of_initialisations_with_different_shots(tmp_path):
  columns = ['name', 'shots', 'iou_mean', 'iou_std']
  rows = [('meta', 1, 0.5, 0.1), ('meta', 5, 0.6, 0.05), ('random', 5, 0.4, np.nan)]
  draw_iou_bars(tmp_path / 'iou.png', 'TNBC', pd.DataFrame(rows, columns=columns))
  assert imread(tmp_path / 'iou.png').std() > 0
