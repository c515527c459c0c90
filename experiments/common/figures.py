"""Pictures of runs as PNG files: sampled crops, loss curves, IoU over shots, overlays."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')  # works without a screen

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.ticker import MaxNLocator

from experiments.common.training_log import read_log
from fscs.io.atomic import atomic_path

TRUTH_COLOUR, PREDICTION_COLOUR = '#ffb000', '#00a8e8'


def save(figure: plt.Figure, path: Path, dpi: int = 110) -> None:
  """Write a PNG atomically and close the figure."""
  with atomic_path(path) as temporary:
    figure.savefig(temporary, dpi=dpi)
  plt.close(figure)


def draw_outline(axes: plt.Axes, mask: np.ndarray, colour: str) -> None:
  """The border of a (H, W) mask."""
  if mask.any() and not mask.all():
    axes.contour(mask, levels=[0.5], colors=colour, linewidths=0.9)


def _plain(name: str) -> str:
  """The name with dollar signs escaped, which would start a formula."""
  return name.replace('$', r'\$')


def draw_crops(
  path: Path, titles: Sequence[str], images: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> None:
  """One row per source: crops (B, H, W) in [-1, 1] with their masks (B, H, W) outlined."""
  columns = len(images[0])
  figure, grid = plt.subplots(
    len(images),
    columns,
    figsize=(2.2 * columns, 2.3 * len(images)),
    squeeze=False,
    layout='constrained',
  )
  for row, title, crops, truths in zip(grid, titles, images, masks, strict=True):
    for axes, crop, truth in zip(row, crops, truths, strict=True):
      axes.imshow(crop, cmap='gray', vmin=-1, vmax=1)
      draw_outline(axes, truth, TRUTH_COLOUR)
      axes.set_axis_off()
    row[0].set_title(_plain(title), loc='left')
  save(figure, path)


def draw_losses(path: Path, log: Path) -> None:
  """Write curves of loss and validation loss per source from a figures.csv."""
  rows = read_log(log)
  if not rows:
    return
  figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout='constrained')
  panels = ((left, 'loss', 'loss after the inner loop'), (right, 'validation', 'validation loss'))
  for axes, kind, title in panels:
    for name in rows[0]:
      if name.split('/')[0] == kind:
        points = [(int(row['step']), float(row[name])) for row in rows if row[name]]
        label = _plain(name.partition('/')[2])
        axes.plot(*zip(*points, strict=True), marker='.', label=label or 'all')
    axes.set(title=title, xlabel='step')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if axes.has_data():
      axes.legend()
  save(figure, path)


def draw_iou_bars(path: Path, title: str, scores: pd.DataFrame) -> None:
  """Write bars of IoU per initialisation and number of shots, with standard deviations.

  Args:
    path: PNG to write.
    title: above the bars.
    scores: columns name, shots, iou_mean and iou_std (NaN for a single support set).
  """
  shots = sorted(scores['shots'].unique())
  names = list(scores['name'].unique())
  figure, axes = plt.subplots(figsize=(1.8 + 1.1 * len(shots) * max(1, len(names) / 3), 3.8))
  width = 0.8 / len(names)
  for index, name in enumerate(names):
    of_name = scores[scores['name'] == name]
    positions = of_name['shots'].map(shots.index) + (index - (len(names) - 1) / 2) * width
    axes.bar(
      positions,
      of_name['iou_mean'],
      width * 0.92,
      yerr=of_name['iou_std'].fillna(0.0),
      capsize=3,
      label=_plain(name),
    )
  axes.set(
    xticks=range(len(shots)),
    xticklabels=shots,
    xlabel='annotated images',
    ylabel='IoU',
    title=title,
  )
  axes.set_ylim(0, 1)
  axes.grid(axis='y', alpha=0.3)
  axes.legend(fontsize=8)
  figure.tight_layout()
  save(figure, path)


def draw_overlays(
  path: Path,
  titles: Sequence[str],
  images: Sequence[np.ndarray],
  truths: Sequence[np.ndarray],
  predictions: Sequence[np.ndarray],
) -> None:
  """Images (H, W) uint8 with the outlines of truth and prediction (H, W) bool, side by side."""
  height, width = np.shape(images[0])[:2]
  size = (4.2 * len(images), 4.2 * height / width + 0.9)
  figure, grid = plt.subplots(1, len(images), figsize=size, squeeze=False, layout='constrained')
  panels = zip(grid[0], titles, images, truths, predictions, strict=True)
  for axes, title, image, truth, prediction in panels:
    axes.imshow(image, cmap='gray', vmin=0, vmax=255)
    draw_outline(axes, truth, TRUTH_COLOUR)
    draw_outline(axes, prediction, PREDICTION_COLOUR)
    axes.set_title(_plain(title), fontsize=9)
    axes.set_axis_off()
  handles = [plt.Line2D([], [], color=c) for c in (TRUTH_COLOUR, PREDICTION_COLOUR)]
  figure.legend(handles, ('truth', 'prediction'), loc='outside lower center', ncols=2)
  save(figure, path, dpi=140)
