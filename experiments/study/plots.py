"""Pictures of the report: IoU over annotated images, over steps and over cost; predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from PIL import Image

from experiments.common.figures import PREDICTION_COLOUR, TRUTH_COLOUR, draw_outline, save
from experiments.study.methods import FSCS, METHODS

PANEL = 3.2  # inches
LEGEND_COLUMN = 2.6  # inches
PREDICTIONS_PER_ROW = 4
DPI, NUM_COLOURS = 80, 64


def draw_over_shots(
  path: Path, means: pd.DataFrame, targets: Sequence[str], labels: Mapping[str, str]
) -> None:
  """A panel per target: mean IoU and standard deviation over the number of annotated images.

  Args:
    path: PNG to write.
    means: see `stats.means`.
    targets: codes.
    labels: {method: label}.
  """
  figure, panels = plt.subplots(
    1, len(targets), figsize=(PANEL * len(targets), 4.6), squeeze=False, layout='constrained'
  )
  for axes, target in zip(panels[0], targets, strict=True):
    of_target = means.xs(target, level='target')
    for place, (name, label) in enumerate(labels.items()):
      if name not in of_target.index:
        continue
      points = of_target.loc[name].sort_index()
      axes.errorbar(
        points.index * 1.015 ** (place - len(labels) / 2),  # side by side
        points['mean'],
        points['std'].fillna(0),
        **_style(name),
        capsize=2,
        label=label,
      )
    shots = sorted(of_target.index.unique('shots'))
    axes.set(title=target, xscale='log', xlabel='annotated images')
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.minorticks_off()
  panels[0][0].set_ylabel('IoU')
  _add_legend(figure, panels[0])
  _save_small(figure, path)


def draw_over_steps(
  path: Path, curves: Mapping[str, Mapping[str, Mapping[int, float]]], labels: Mapping[str, str]
) -> None:
  """A panel per target of {target: {method: {steps: IoU}}}."""
  figure, panels = plt.subplots(
    1, len(curves), figsize=(PANEL * len(curves), 4.0), squeeze=False, layout='constrained'
  )
  for axes, (target, by_method) in zip(panels[0], curves.items(), strict=True):
    for name, points in by_method.items():
      axes.plot(points.keys(), points.values(), **_style(name), label=labels[name])
    axes.set(title=target, xlabel='steps of adaptation', xscale='symlog')
    ticks = sorted({steps for points in by_method.values() for steps in points})
    axes.set_xticks(ticks, [str(steps) for steps in ticks], fontsize=8, rotation=90)
  panels[0][0].set_ylabel('IoU')
  _add_legend(figure, panels[0])
  _save_small(figure, path)


def draw_over_cost(path: Path, costs: pd.DataFrame, labels: Mapping[str, str]) -> None:
  """Mean IoU over the seconds to adapt, a point per method.

  Args:
    path: PNG to write.
    costs: columns seconds and iou, indexed by method.
    labels: {method: label}.
  """
  figure, axes = plt.subplots(figsize=(9, 5), layout='constrained')
  for name, label in labels.items():
    style = {**_style(name), 'linestyle': ''}
    seconds, iou = costs.loc[name, ['seconds', 'iou']]
    axes.plot([max(seconds, 0.01)], [iou], **style, label=label)
  axes.set(xscale='log', xlabel='seconds to adapt', ylabel='mean IoU')
  _add_legend(figure, [axes])
  _save_small(figure, path)


def draw_predictions(
  path: Path,
  title: str,
  image: np.ndarray,
  truth: np.ndarray,
  predictions: Mapping[str, np.ndarray],
) -> None:
  """One image (H, W) with the outline of its truth, then with that of every prediction.

  Args:
    path: PNG to write.
    title: above the truth.
    image: (H, W) uint8.
    truth: (H, W) bool.
    predictions: (H, W) bool each, by the text above them.
  """
  count = 1 + len(predictions)
  rows = -(-count // PREDICTIONS_PER_ROW)
  columns = -(-count // rows)
  height = PANEL * image.shape[0] / image.shape[1] + 0.5
  figure, panels = plt.subplots(
    rows, columns, figsize=(PANEL * columns, height * rows), layout='constrained', squeeze=False
  )
  shown = [(f'{_shortened(title)}\nannotated', truth, TRUTH_COLOUR)]
  shown += [(text, mask, PREDICTION_COLOUR) for text, mask in predictions.items()]
  for axes, (text, mask, colour) in zip(panels.flat, shown, strict=False):
    axes.imshow(image, cmap='gray', vmin=0, vmax=255)
    draw_outline(axes, mask, colour)
    axes.set_title(text, fontsize=9)
  for axes in panels.flat:
    axes.set_axis_off()
  _save_small(figure, path)


def _shortened(title: str, most: int = 36) -> str:
  """Without its middle if it would reach over a panel."""
  half = (most - 1) // 2
  return title if len(title) <= most else f'{title[:half]}…{title[-half:]}'


def _style(name: str) -> dict[str, object]:
  """Colour and marker of a method, the same in all pictures."""
  if name == FSCS:
    return {'color': 'black', 'marker': '*', 'markersize': 8, 'linewidth': 2.2, 'zorder': 3}
  repeated, place = divmod(list(METHODS).index(name), 10)
  return {
    'color': plt.get_cmap('tab10').colors[(place + 2 * repeated) % 10],
    'marker': 'osD^vP*X<>'[(place + 3 * repeated) % 10],
    'fillstyle': 'none' if repeated else 'full',
    'linestyle': ('-', '--', ':')[repeated],
    'markersize': 5,
    'linewidth': 1.3,
  }


def _save_small(figure: plt.Figure, path: Path) -> None:
  """With few colours, which makes a third of the size."""
  save(figure, path, dpi=DPI)
  with Image.open(path) as picture:
    picture.convert('RGB').quantize(NUM_COLOURS).save(path, optimize=True)


def _add_legend(figure: plt.Figure, panels: Sequence[plt.Axes]) -> None:
  """Below the panels, every label once."""
  entries: dict[str, object] = {}
  for axes in panels:
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
      entries.setdefault(label, handle)
  columns = min(5, int(figure.get_figwidth() / LEGEND_COLUMN))
  figure.legend(
    entries.values(), entries.keys(), loc='outside lower center', ncols=columns, fontsize=8
  )
