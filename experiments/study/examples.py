"""Pictures of predictions for the report of a study, side by side with the truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.common.options import DataOptions
from experiments.study import plots, predicted, targets
from experiments.study.cells import Result
from experiments.study.contestants import OURS
from experiments.study.document import Heading, Part, Picture, Text
from experiments.study.sections import labels_of, targets_of
from fscs.errors import InputError

DRAWN = ('otsu', 'forest', 'scratch', 'transfer', 'combined', f'{OURS}-colours', OURS)
DRAWN_SHOTS = 5


def predictions(results: Sequence[Result], folder: Path, options: DataOptions) -> Iterator[Part]:
  """Of every target the test image of median IoU, as the main contestants see it.

  Args:
    results: those to choose from.
    folder: of the study; it keeps the predictions, and gets the pictures.
    options: how the study read and prepared its images.

  Raises:
    InputError: predictions are damaged, or images are not there or not those of the study.
  """
  labels = labels_of(results)
  yield Heading('Predictions')
  yield Text(
    f'K = {DRAWN_SHOTS}: the image of median IoU of a selection, the first of which most'
    ' predictions are kept.'
  )
  for shown in chosen(results, folder):
    *_, leading = shown.values()
    code = leading.cell.target
    place = int(np.argsort(leading.iou)[len(leading.iou) // 2])
    image, truth = _image(code, leading.images[place], options)
    drawn = {}
    for name, result in shown.items():
      prediction = predicted.read(folder / result.cell.file)[place]
      if prediction.shape != image.shape:
        raise InputError(
          f'{code}: found predictions of {prediction.shape} pixels, expected {image.shape} as its'
          ' images: give the --protocol of the study'
        )
      drawn[labels[name]] = f'{result.iou[place]:.3f}', prediction
    path = folder / 'report-pictures' / f'{code}.png'
    path.parent.mkdir(exist_ok=True)
    plots.draw_predictions(path, f'{code}: {leading.images[place]}', image, truth, drawn)
    yield Picture(path, f'Predictions of {code}')


def chosen(results: Sequence[Result], folder: Path) -> list[dict[str, Result]]:
  """What is drawn, target by target: {name: result} of main contestants, the leading one last.

  Args:
    results: those to choose from, a contestant's on the same images once.
    folder: of the study; it keeps the predictions.
  """
  shown = (_shown(results, code, folder) for code in targets_of(results))
  return list(filter(None, shown))


def _shown(results: Sequence[Result], code: str, folder: Path) -> dict[str, Result]:
  """{name: result} of the main contestants on the same images of a target, the leading one last.

  They are of the first selection of which the leading one's predictions are kept, and most others.
  """
  kept: dict[tuple, dict[str, Result]] = {}
  for r in sorted(results, key=lambda r: (r.cell.seed, r.cell.selection)):
    wanted = (r.cell.target, r.cell.shots) == (code, DRAWN_SHOTS) and r.cell.contestant in DRAWN
    if wanted and (folder / r.cell.file).with_suffix('.npz').exists():
      kept.setdefault((r.cell.seed, r.cell.selection), {})[r.cell.contestant] = r
  if not kept:
    return {}
  found = max(kept.values(), key=lambda names: (max(map(DRAWN.index, names)), len(names)))
  return {name: found[name] for name in DRAWN if name in found}


def _image(code: str, name: str, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
  """(H, W) uint8 grey values and boolean truth of an image that was scored.

  Raises:
    InputError: the images cannot be read, or are not those of the study.
  """
  instead = 'or leave predictions out with --no-predictions'
  try:
    grey_set = targets.load(code, options).grey_set
  except InputError as error:
    raise InputError(f'{error}; {instead}') from error
  if name not in grey_set.names:
    raise InputError(
      f'{code} has no image {name}, which the study scored: give the --raw-dir of the study,'
      f' {instead}'
    )
  index = grey_set.names.index(name)
  return grey_set.images[index], grey_set.masks[index] > 0
