"""Pictures are written whole whatever they are given, and progress is said where no terminal is."""

import numpy as np
import pytest
from skimage.io import imread

from experiments.common.figure_log import FigureLog, read_figures
from experiments.common.figures import draw_crops, draw_iou_bars, draw_losses, draw_overlays
from fscs.progress import progress_bar


@pytest.fixture
def masks():
  """A square, nothing, and everything: only the first has an outline."""
  square = np.zeros((16, 16), bool)
  square[4:12, 4:12] = True
  return [square, np.zeros_like(square), np.ones_like(square)]


def test_overlays_and_crops_of_masks_without_an_outline(tmp_path, masks):
  images = [np.full((16, 16), value, np.uint8) for value in (0, 128, 255)]
  draw_overlays(tmp_path / 'overlays.png', ['a', 'b', 'c'], images, masks, masks[::-1])
  draw_crops(tmp_path / 'crops.png', ['B5'], [np.zeros((3, 16, 16))], [np.stack(masks)])
  for name in ('overlays.png', 'crops.png'):
    picture = imread(tmp_path / name)[..., :3]
    assert picture.std() > 0
    assert (picture == (255, 176, 0)).all(-1).any(), f'no outline of the truth in {name}'
  assert sorted(path.name for path in tmp_path.iterdir()) == ['crops.png', 'overlays.png']


def test_names_with_signs_of_formulas_and_tables(tmp_path, masks):
  name = r'a_$5_$b, c'
  image = np.zeros((16, 16), np.uint8)
  draw_overlays(tmp_path / 'overlays.png', [name], [image], masks[:1], masks[:1])
  draw_crops(tmp_path / 'crops.png', [name], [np.zeros((3, 16, 16))], [np.stack(masks)])
  for first_step in (0, 1):  # a run, and how it goes on
    with FigureLog(tmp_path, [f'loss/{name}', 'rate'], first_step=first_step) as log:
      log.write(first_step + 1, {f'loss/{name}': 0.5, 'rate': 2})
  rows = read_figures(tmp_path / 'figures.csv')
  assert rows == [{'step': s, f'loss/{name}': '0.5', 'rate': '2'} for s in '12']
  draw_losses(tmp_path / 'losses.png', tmp_path / 'figures.csv')
  assert len(list(tmp_path.glob('*.png'))) == 3


def test_bars_of_initialisations_with_different_shots(tmp_path):
  scores = {'meta': {1: (0.5, 0.1), 5: (0.6, 0.05)}, 'random': {5: (0.4, 0.0)}}
  draw_iou_bars(tmp_path / 'iou.png', 'TNBC', scores)
  assert imread(tmp_path / 'iou.png').ndim == 3


def test_curves_need_rows(tmp_path):
  figures = tmp_path / 'figures.csv'
  figures.write_text('step,loss/B5,validation/B5,validation_loss\n')
  draw_losses(tmp_path / 'losses.png', figures)
  assert not (tmp_path / 'losses.png').exists()
  figures.write_text('step,loss/B5,validation/B5,validation_loss\n1,0.7,,\n2,0.6,0.5,0.5\n')
  draw_losses(tmp_path / 'losses.png', figures)
  assert (tmp_path / 'losses.png').exists()


def test_progress_without_a_terminal_says_the_first_and_the_last_step(capsys):
  with progress_bar('steps', 10, 4) as advance:
    for _ in range(6):
      advance(1, loss=0.25)
  lines = capsys.readouterr().err.splitlines()
  assert [line.split(',')[0] for line in lines] == ['steps: 5/10', 'steps: 10/10']
  assert lines[-1].endswith('loss 0.2500')
