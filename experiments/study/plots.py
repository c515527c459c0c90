"""Pictures of a study: scores over annotated images, over steps, over cost; predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from experiments.common.figures import PREDICTION_COLOUR, TRUTH_COLOUR, draw_outline, save
from experiments.study.contestants import CONTESTANTS, OURS
from experiments.study.tables import Mean

PANEL = 3.2  # inches
LEGEND_COLUMN = 2.6  # inches
PREDICTIONS_IN_ROW = 4


def draw_over_shots(
  path: Path,
  table: Mapping[tuple[str, str, int], Mean],
  targets: Sequence[str],
  labels: Mapping[str, str],
  ylabel: str = 'IoU',
) -> None:
  """A panel per target: mean and deviation over the number of annotated images."""
  figure, panels = plt.subplots(
    1, len(targets), figsize=(PANEL * len(targets), 4.6), squeeze=False, layout='constrained'
  )
  for axes, target in zip(panels[0], targets, strict=True):
    for place, (name, label) in enumerate(labels.items()):
      points = sorted(
        (k, m) for (who, where, k), m in table.items() if (who, where) == (name, target)
      )
      if points:
        shots, means = zip(*points, strict=True)
        axes.errorbar(
          np.array(shots) * 1.015 ** (place - len(labels) / 2),  # side by side
          [m.mean for m in means],
          [m.deviation for m in means],
          **_style(name),
          capsize=2,
          label=label,
        )
    shown = sorted({k for _, where, k in table if where == target})
    axes.set(title=target, xscale='log', xlabel='annotated images')
    axes.set_xticks(shown, [str(k) for k in shown])
    axes.minorticks_off()
  panels[0][0].set_ylabel(ylabel)
  _legend_below(figure, panels[0])
  save(figure, path)


def draw_over_steps(
  path: Path,
  curves: Mapping[str, Mapping[str, Mapping[int, float]]],
  labels: Mapping[str, str],
  title: str,
) -> None:
  """A panel per target of {target: {contestant: {steps: IoU}}}."""
  figure, panels = plt.subplots(
    1, len(curves), figsize=(PANEL * len(curves), 4.2), squeeze=False, layout='constrained'
  )
  for axes, (target, by_name) in zip(panels[0], curves.items(), strict=True):
    for name, points in by_name.items():
      axes.plot(points.keys(), points.values(), **_style(name), label=labels[name])
    axes.set(title=target, xlabel='steps of adaptation', xscale='symlog')
    ticks = sorted({steps for points in by_name.values() for steps in points})
    axes.set_xticks(ticks, [str(steps) for steps in ticks], fontsize=8, rotation=90)
  panels[0][0].set_ylabel('IoU')
  figure.suptitle(title)
  _legend_below(figure, panels[0])
  save(figure, path)


def draw_over_cost(
  path: Path, points: Mapping[str, tuple[float, float]], labels: Mapping[str, str]
) -> None:
  """Mean IoU over the seconds to adapt to one set of annotated images, a point per contestant."""
  figure, axes = plt.subplots(figsize=(9, 5), layout='constrained')
  for name, (seconds, score) in points.items():
    style = {**_style(name), 'linestyle': ''}
    axes.plot([max(seconds, 0.01)], [score], **style, label=labels[name])
  axes.set(xscale='log', xlabel='seconds to adapt', ylabel='mean IoU over targets and shots')
  _legend_below(figure, [axes])
  save(figure, path)


def draw_predictions(
  path: Path,
  title: str,
  image: np.ndarray,
  truth: np.ndarray,
  predictions: Mapping[str, tuple[str, np.ndarray]],
) -> None:
  """One image with its truth, then as every contestant sees it: {label: (score, (H, W) bool)}."""
  rows = -(-(1 + len(predictions)) // PREDICTIONS_IN_ROW)
  columns = -(-(1 + len(predictions)) // rows)
  height = PANEL * image.shape[0] / image.shape[1] + 0.5
  figure, panels = plt.subplots(
    rows, columns, figsize=(PANEL * columns, height * rows), layout='constrained', squeeze=False
  )
  first, *others = panels.flat
  first.set_title(f'{_shortened(title)}\nannotated', fontsize=9)
  draw_outline(first, truth, TRUTH_COLOUR)
  for axes, (label, (score, prediction)) in zip(others, predictions.items(), strict=False):
    axes.set_title(f'{label}\nIoU {score}', fontsize=9)
    draw_outline(axes, prediction, PREDICTION_COLOUR)
  for number, axes in enumerate(panels.flat):
    axes.set_axis_off()
    if number <= len(predictions):
      axes.imshow(image, cmap='gray', vmin=0, vmax=255)
  save(figure, path, dpi=110)


def _shortened(title: str, most: int = 36) -> str:
  """Without its middle, if it would reach over a panel."""
  half = (most - 1) // 2
  return title if len(title) <= most else f'{title[:half]}…{title[-half:]}'


def _style(name: str) -> dict:
  """Colours and marks of a contestant, the same in all pictures; they stay apart for forty."""
  if name == OURS:
    return {'color': 'black', 'marker': '*', 'markersize': 8, 'linewidth': 2.2, 'zorder': 3}
  index = [other for other in CONTESTANTS if other != OURS].index(name)
  again, place = divmod(index, 10)
  return {
    'color': plt.get_cmap('tab10').colors[(place + 2 * again) % 10],  # FOLLOWED have one each
    'marker': 'osD^vP*X<>'[(place + 3 * again) % 10],
    'fillstyle': 'none' if again else 'full',
    'linestyle': ('-', '--', ':', '-.')[again],
    'markersize': 5,
    'linewidth': 1.3,
  }


def _legend_below(figure: plt.Figure, panels: Sequence[plt.Axes]) -> None:
  entries: dict[str, object] = {}
  for axes in panels:
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
      entries.setdefault(label, handle)
  columns = min(5, int(figure.get_figwidth() / LEGEND_COLUMN))
  figure.legend(
    entries.values(), entries.keys(), loc='outside lower center', ncols=columns, fontsize=8
  )
