"""Results of a study that was not done, for its tests."""

import numpy as np

from experiments.study import cells, predicted
from experiments.study.cells import Cell, Result
from experiments.study.contestants import CONTESTANTS


def result(contestant, target, iou, *, shots=1, selection=1, steps=None, **fields):
  if steps is None:  # all that it takes
    known = CONTESTANTS.get(contestant)
    steps = 250 if known and known.tuning else 0
  cell = Cell(target, contestant, shots, selection, 0, steps)
  names = tuple(f'image {i}' for i in range(len(iou)))
  standard = {
    'support': ('support',),
    'images': names,
    'sections': None,
    'average_precision': None,
    'seconds': 2.0,
    'seconds_per_image': 0.5,
    'peak_mb': 100.0,
    'losses': (1.0, 0.5),
  }
  return Result(cell, iou=tuple(iou), **{**standard, **fields})


def keep(folder, contestant='otsu', *, shots=5, prediction=(2, 8, 8), **fields):
  """A cell with its predictions; its file."""
  written = result(contestant, 'TNBC', fields.pop('iou', (0.2, 0.3)), shots=shots, **fields)
  cells.write(folder, written)
  predicted.keep(folder / written.cell.file, np.zeros(prediction, bool))
  return folder / written.cell.file
