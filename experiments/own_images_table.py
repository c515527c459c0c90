"""What a trial of own images found, and the table of it."""

from typing import NamedTuple

import numpy as np

from fscs.segmentation.finetuning import LEARNING_RATES, Settings

LABELS = {
  'pretrained': 'fscs, shipped initialisation',
  'random': 'fscs, random initialisation',
  'otsu': "Otsu's threshold",
  'forest': 'random forest',
}
RATE = LEARNING_RATES[Settings().optimizer]
SOURCES = ('B5', 'B39', 'EM', 'TNBC')  # of the shipped initialisation


class Key(NamedTuple):
  """What makes a trial a different one."""

  data_set: str
  method: str
  shots: int
  seed: int
  steps: int  # 0 for methods that take none
  rate: float  # learning rate, alike
  most: int  # images to segment; 0 for all


class Row(NamedTuple):
  """One trial: its key and what came of it."""

  data_set: str
  method: str
  shots: int
  seed: int
  steps: int
  rate: float
  most: int
  iou: float  # of the foreground, mean over images
  average_precision: float  # of objects at IoU 0.5, mean over images
  expected: float  # IoU that fine-tuning announced; NaN where a method announces none
  seconds_to_learn: float
  seconds_per_image: float
  num_test_images: int

  @property
  def key(self) -> Key:
    """What makes the trial a different one."""
    return Key(*self[: len(Key._fields)])


def table(rows: list[Row]) -> str:
  """Markdown: means over seeds."""
  groups: dict[Key, list[Row]] = {}
  for row in rows:
    groups.setdefault(row.key._replace(seed=0), []).append(row)
  lines = [
    '| data set | K | method | IoU | announced | AP at 0.5 | to learn, s | per image, s | images |',
    '|---|---:|---|---:|---:|---:|---:|---:|---:|',
  ]
  in_order = sorted(groups.items(), key=lambda item: (item[0].data_set, item[0].shots))
  for key, group in in_order:
    name = LABELS.get(key.method, key.method)
    name += '' if key.steps in (0, Settings().num_steps) else f', {key.steps} steps'
    name += '' if key.rate in (0, RATE) else f', rate {key.rate:g}'
    mean = {
      field: float(np.mean([getattr(row, field) for row in group]))
      for field in Row._fields[len(Key._fields) :]
    }
    expected = '' if np.isnan(mean['expected']) else f'{mean["expected"]:.3f}'
    lines.append(
      f'| {key.data_set}{" (a source)" if key.data_set in SOURCES else ""} | {key.shots} | {name}'
      f' | {mean["iou"]:.3f} | {expected} | {mean["average_precision"]:.3f}'
      f' | {mean["seconds_to_learn"]:.0f} | {mean["seconds_per_image"]:.2f}'
      f' | {mean["num_test_images"]:.0f} |'
    )
  return '\n'.join(lines) + '\n'
