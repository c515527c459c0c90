"""`fscs finetune`: from a folder of annotated images to a model and a report."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fscs.segmentation.config import FineTuningConfig, Orientations

if TYPE_CHECKING:
  from collections.abc import Sequence

  from fscs.segmentation.annotated_files import AnnotatedPage
  from fscs.segmentation.finetuning import FineTuningResult
  from fscs.segmentation.segmenter import Segmenter

_DEFAULT = FineTuningConfig()
_ROOM_FOR_REPORT = 2**20  # bytes


class FoldScores(NamedTuple):
  """A row of folds.csv: a held-out image or part of one."""

  image: str
  iou: float
  ap_50: float  # of objects, at IoU 0.5
  objects_found: int
  objects_annotated: int


@dataclasses.dataclass(frozen=True)
class Finetune:
  """Learn from a few annotated images; `fscs predict` then segments others.

  fscs finetune --images annotated --masks masks --workdir runs/mine

  Masks are named as their images: cell1.tif and cell1_mask.png. Annotate all objects of an image:
  the rest counts as background.
  """

  images: Path
  """Folder of the annotated images; others may be in it too."""
  masks: Path | None = None
  """Folder of their masks; by default that of the images."""
  workdir: Path = Path('runs/own')
  """Folder for the model and the report."""
  init: str = 'pretrained'
  """pretrained, random, the workdir of a training run, a folder of fscs.io.save_init, or a PyTorch
  file of the authors (.pt)."""
  channel: int | str = 'learned'
  """Channel counted from 0 or by its name, luma (brightness of colours), or learned: the weighted
  sum of channels that separates annotated objects best."""
  axes: str | None = None
  """Axes of arrays in TIFF and NPY files, if they do not say: CYX, YXC, ZYX, ... (C: channels)."""
  scene: str | None = None
  """Scene of files with several (CZI, ND2, LIF, OME-Zarr), by name or counted from 0; by default
  all, each as an image of its own."""
  foreground: int | None = None
  """Value of the objects in masks; by default the larger of two, and labels tell objects apart."""
  scale: float | None = None
  """Factor by which images are resized; by default chosen from the size of the objects."""
  steps: int = _DEFAULT.steps
  """Optimizer steps of the model and of every fold of the cross-validation."""
  learning_rate: float = _DEFAULT.learning_rate
  """Learning rate of the first step; it falls to 0."""
  batch_size: int = _DEFAULT.batch_size
  """Crops per step."""
  crop_size: int = _DEFAULT.crop_size
  """Side of the crops in pixels, after resizing; a multiple of 16."""
  orientations: Orientations = _DEFAULT.orientations
  """Average over 1, 4 or 8 flips and rotations: 8 is slightly better than 1, four times slower."""
  estimate: bool = _DEFAULT.estimate
  """Cross-validate: learn how touching objects are split, and the IoU to expect on new images."""
  seed: int = _DEFAULT.seed
  """Seed of crops and augmentation."""
  report: bool = True
  """Write report.html, a page to look at."""


def finetune(config: Finetune) -> Path:
  """Fine-tune and write the model; returns the workdir."""
  import jax

  from fscs.io.axes import require_axes
  from fscs.io.initialisations import load_initialisation
  from fscs.io.workdirs import opened_workdir
  from fscs.progress import progress_bar
  from fscs.segmentation.annotated_files import ReadOptions, read_annotated_folder
  from fscs.segmentation.finetuning import finetune_and_validate

  settings = FineTuningConfig(
    **{f.name: getattr(config, f.name) for f in dataclasses.fields(FineTuningConfig)}
  )
  if config.axes is not None:
    require_axes(config.axes)
  initialisation = load_initialisation(config.init, config.seed)
  pages, channel, channel_name = read_annotated_folder(
    config.images,
    config.masks or config.images,
    ReadOptions(config.channel, config.axes, config.foreground, config.scene),
    _log,
  )
  _note_known_images(config)
  names = [page.name for page in pages]
  facts = {'command': 'finetune', 'images': names}
  room = sum(leaf.nbytes for leaf in jax.tree.leaves(initialisation.params)) + _ROOM_FOR_REPORT

  def complete(segmenter: 'Segmenter') -> 'Segmenter':
    """With what is known of the files only."""
    return dataclasses.replace(
      segmenter, channel=channel, channel_name=channel_name, axes=config.axes
    )

  def ready(segmenter: 'Segmenter') -> None:
    complete(segmenter).save(config.workdir / 'model')
    if config.estimate:
      _log(f'first model: {config.workdir}, ready for `fscs predict`; now it is cross-validated')

  with opened_workdir(config.workdir, config, facts, free=('report',), result='model', room=room):
    result = finetune_and_validate(
      [page.grey for page in pages],
      [page.mask for page in pages],
      initialisation,
      settings,
      names=names,
      channel='luma',  # the pages are in grey values of the channel chosen
      scale=config.scale,
      compare=True,
      progress=progress_bar,
      ready=ready,
    )
    result = result._replace(segmenter=complete(result.segmenter))
    scores = _scores(result)
    _write(config, result, pages, scores)
  _tell(result, config, scores)
  return config.workdir


def _log(line: str) -> None:
  notes = ('note:', 'left out:')
  print(line, file=sys.stderr if line.startswith(notes) else sys.stdout)


def _note_known_images(config: Finetune) -> None:
  """A note if the initialisation was trained on the same folder of images."""
  from fscs.io.workdirs import CONFIG_FILE, read_config

  folder = Path(config.init)
  if (folder / CONFIG_FILE).exists():
    images = config.images.resolve()
    for source in read_config(folder)['config'].get('sources') or ():
      if Path(source).is_dir() and Path(source).resolve() in (images, *images.parents):
        _log(
          f'note: {config.init} was trained on {source}. Its images are not new to it, so the'
          ' expected IoU is optimistic for others'
        )


def _write(
  config: Finetune,
  result: 'FineTuningResult',
  pages: 'Sequence[AnnotatedPage]',
  scores: 'Sequence[FoldScores]',
) -> None:
  from fscs.environment import versions
  from fscs.io.atomic import write_csv
  from fscs.segmentation.report import case_of_fold, write_report

  segmenter = result.segmenter
  segmenter.save(config.workdir / 'model')
  steps = [(step, float(loss)) for step, loss in enumerate(result.losses, 1)]
  write_csv(config.workdir / 'losses.csv', steps, ('step', 'loss'))
  write_csv(config.workdir / 'folds.csv', scores, FoldScores._fields)
  if not config.report:
    return
  channel = 'luma of colours' if segmenter.channel is None else segmenter.file_channel
  found = {'scale': segmenter.scale, 'channel': channel}
  write_report(
    config.workdir / 'report.html',
    'Fine-tuned model',
    f'{_expectation(result, config)} {_comparison(result)}'.strip(),
    [case_of_fold(fold, segmenter, pages[fold.part.image]) for fold in result.folds],
    {**dataclasses.asdict(config), **found, **versions()},
    heading='Annotated images, predicted by networks that were not trained on them',
    rows=[
      ('image', 'IoU', 'AP at 0.5', 'objects found', 'objects annotated'),
      *((name, f'{iou:.3f}', f'{ap:.3f}', *counts) for name, iou, ap, *counts in scores),
    ],
    losses=result.losses,
  )


def _scores(result: 'FineTuningResult') -> 'list[FoldScores]':
  from fscs.metrics.objects import average_precision
  from fscs.segmentation.report import objects_of_fold

  rows = []
  for fold in result.folds:
    found = objects_of_fold(fold, result.segmenter)
    ap = float(average_precision(found, fold.labels, (0.5,))[0])
    true = len(set(fold.labels.ravel().tolist()) - {0})
    rows.append(FoldScores(fold.name, fold.iou, ap, int(found.max()), true))
  return rows


def _expectation(result: 'FineTuningResult', config: Finetune) -> str:
  expected = result.segmenter.expected_iou
  if not config.estimate:
    return 'Not cross-validated: the IoU on new images is unknown.'
  if expected is None:
    return (
      'Too little is annotated to hold some out: the IoU on new images is unknown. Annotate'
      ' another image, or larger ones.'
    )
  return f'Expect an IoU of about {expected:.2f} on new images of this kind.'


def _comparison(result: 'FineTuningResult') -> str:
  """What simpler methods reach, '' if that is not known."""
  if not result.baselines:
    return ''
  scores = ', '.join(f'{name} {score:.2f}' for name, score in result.baselines.items())
  return f'Simpler methods on the same held-out parts: {scores}.'


def _tell(result: 'FineTuningResult', config: Finetune, scores: 'Sequence[FoldScores]') -> None:
  segmenter = result.segmenter
  diameter = segmenter.support.diameters[1]
  print(f'objects are {diameter:.0f} pixels wide; scale {segmenter.scale:.3g}')
  for name, iou, ap, found, true in scores:
    objects = f'{found} objects found, {true} annotated'
    print(f'held out: {name}, IoU {iou:.3f}, AP {ap:.3f}, {objects}')
  print(_expectation(result, config))
  if comparison := _comparison(result):
    print(comparison)
  print(f'model and report: {config.workdir}')
