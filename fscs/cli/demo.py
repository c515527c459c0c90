"""`fscs demo`: the whole way from annotated images to objects, on simulated images."""

import dataclasses
import io
from pathlib import Path
from typing import Literal

from fscs.cli.evaluate import Evaluate, evaluate
from fscs.cli.finetune import Finetune, finetune
from fscs.cli.predict import Predict, predict
from fscs.errors import InputError
from fscs.segmentation.config import FineTuningConfig

_DEFAULT = FineTuningConfig()
MIN_SIZE = 64  # pixels


@dataclasses.dataclass(frozen=True)
class Demo:
  """Draw images, fine-tune on a few of them, segment and score the others.

  fscs demo

  It needs no data: images of nuclei (or of another kind) are simulated with their masks. Look at
  the two reports whose paths it prints.
  """

  workdir: Path = Path('runs/fscs-demo')
  """Folder for images, masks, the model and the results."""
  kind: Literal['B5', 'B39', 'ssTEM', 'EM', 'TNBC'] = 'B39'
  """Kind of images: cells (B5), nuclei (B39), mitochondria (ssTEM, EM), stained tissue (TNBC)."""
  annotated: int = 3
  """Images to learn from."""
  others: int = 4
  """Images to segment and score."""
  size: int = 256
  """Side of the images in pixels."""
  steps: int = _DEFAULT.steps
  """Optimizer steps of fine-tuning."""
  seed: int = 0
  """Seed of the images."""


def demo(config: Demo) -> Path:
  """Run the other three commands one after the other; returns the workdir.

  Raises:
    InputError: there would be nothing to learn from or to score.
  """
  for name, least in (('annotated', 1), ('others', 1), ('size', MIN_SIZE), ('steps', 1)):
    if getattr(config, name) < least:
      raise InputError(
        f'{name} is {getattr(config, name)}: expected at least {least}', arguments=(name,)
      )
  for folder, first, count in (
    ('annotated', 0, config.annotated),
    ('others', config.annotated, config.others),
  ):
    draw(config, config.workdir / folder, first, count)
  annotated, others = config.workdir / 'annotated', config.workdir / 'others'
  model, results = config.workdir / 'model', config.workdir / 'results'
  finetune(
    Finetune(
      images=annotated / 'images', masks=annotated / 'masks', workdir=model, steps=config.steps
    )
  )
  predict(Predict(model=model, images=others / 'images', out=results))
  evaluate(Evaluate(predictions=results, masks=others / 'masks'))
  print(f'look at: {model / "report.html"}, {results / "report.html"}')
  return config.workdir


def draw(config: Demo, folder: Path, first: int, count: int) -> None:
  """Writes images and label masks of the same names in place of those that were there."""
  import tifffile

  from fscs.data.synthetic import simulate
  from fscs.io.atomic import write_bytes

  for part in (folder / 'images', folder / 'masks'):
    part.mkdir(parents=True, exist_ok=True)
    for path in part.glob(f'{config.kind}_simulated_*.tif'):
      path.unlink()
  shape = (config.size, config.size)
  drawn = simulate(config.kind, num_images=first + count, shape=shape, seed=config.seed)
  assert drawn.labels is not None  # simulated sets have labels
  for index in range(first, first + count):
    name = Path(drawn.names[index]).with_suffix('.tif').name
    pixels = {'images': drawn.images[index], 'masks': drawn.labels[index].astype('uint16')}
    for kind, array in pixels.items():
      file = io.BytesIO()  # NumPy does not say that a disk is full
      tifffile.imwrite(file, array)
      write_bytes(folder / kind / name, file.getvalue())
