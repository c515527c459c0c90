"""`fscs predict`: segments a folder of images with a fine-tuned model.

For every image NAME the output folder gets NAME_probability.tif (0 to 1), NAME_mask.tif (0 or 255),
NAME_labels.tif (one value per object), NAME_overlay.png, NAME_rois.zip (for ImageJ) and
NAME_objects.csv (measurements of every object); besides objects.csv with all objects, images.csv
with a line per image, and report.html.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fscs.errors import InputError
from fscs.messages import examples
from fscs.segmentation.config import Orientations

if TYPE_CHECKING:
  from fscs.io import ImageRef
  from fscs.segmentation.image_files import FileSummary
  from fscs.segmentation.segmenter import Segmenter


@dataclasses.dataclass(frozen=True)
class Predict:
  """Segment images with a model that `fscs finetune` made.

  fscs predict --model runs/mine --images all --out results

  Run it again to segment new and changed images; finished ones are kept.
  """

  model: Path
  """Workdir of `fscs finetune`."""
  images: Path
  """Folder of images to segment."""
  out: Path
  """Folder to write to; images of other folders may go there too, under other names."""
  orientations: Orientations | None = None
  """Average over 1, 4 or 8 flips and rotations; by default as in fine-tuning."""
  axes: str | None = None
  """Axes of arrays in TIFF and NPY files, as in `fscs finetune`; by default as in fine-tuning."""
  scene: str | None = None
  """Scene of files with several (CZI, ND2, LIF, OME-Zarr), by name or counted from 0; by default
  all, each as an image of its own."""
  report: bool = True
  """Write report.html, a page to look at."""
  dry_run: bool = False
  """List what would be done, and do nothing."""


def predict(config: Predict) -> Path:
  """Segment the images that are not done yet; returns the folder of the results.

  Raises:
    InputError: a folder cannot be used, results cannot be written, or, when all others are done, an
      image could not be segmented.
  """
  from fscs.environment import versions
  from fscs.io.atomic import atomic_path
  from fscs.io.axes import require_axes
  from fscs.io.files import split_name
  from fscs.io.workdirs import locked
  from fscs.segmentation import measurements, records
  from fscs.segmentation.outputs import output_path
  from fscs.segmentation.report import write_prediction_report

  out = config.out
  if out.resolve().is_relative_to(config.images.resolve()):
    raise InputError(
      f'{out} is inside {config.images}, where results would be taken for images: choose a folder'
      ' elsewhere',
      arguments=('out', 'images'),
    )
  if out.resolve() in (config.model.resolve(), config.model.resolve().parent):
    raise InputError(
      f'{out} is the workdir of the model, whose report would be replaced: choose another folder',
      arguments=('out', 'model'),
    )
  if config.axes is not None:
    require_axes(config.axes)
  segmenter = _load(config.model)
  segmenter = dataclasses.replace(
    segmenter,
    orientations=config.orientations or segmenter.orientations,
    axes=config.axes or segmenter.axes,
  )
  images = _find_images(config.images, config.scene)
  model = records.model_digest(segmenter)
  if config.dry_run:
    finished = records.read_finished(out, model, images)
    for image in images:
      print(f'{image.name}: {"done" if image.name in finished else "to do"}')
    return out
  with _as_input_error(out):
    out.mkdir(parents=True, exist_ok=True)
  with _as_input_error(out), locked(out, argument='out'):
    finished = records.read_finished(out, model, images)
    records.rewrite(out, finished, model)
    images, failed = _segment(segmenter, images, out, finished, model)
    records.rewrite(out, finished, model)
    with atomic_path(out / 'objects.csv') as path:
      stems = [split_name(name)[0] for name in sorted(finished)]
      measurements.join(path, [output_path(out, stem, 'objects.csv') for stem in stems])
    if config.report:
      found = {'scale': segmenter.scale, 'orientations': segmenter.orientations}
      facts = {**dataclasses.asdict(config), **found, **versions()}
      write_prediction_report(out / 'report.html', images, finished, failed, segmenter, facts)
  print(f'results: {out}')
  if failed:
    raise InputError(f'{len(failed)} of {len(images)} images could not be segmented; see above')
  return out


def _segment(
  segmenter: 'Segmenter',
  images: 'Sequence[ImageRef]',
  out: Path,
  finished: 'dict[str, FileSummary]',
  model: str,
) -> 'tuple[list[ImageRef], dict[str, str]]':
  """Segments what is missing and adds it to `finished`.

  Returns:
    The images without later files of OME-TIFF sets; and why some failed, by name.
  """
  from fscs.progress import progress_bar
  from fscs.segmentation import records
  from fscs.segmentation.image_files import PartOfSet, segment_file

  missing = [image for image in images if image.name not in finished]
  failed: dict[str, str] = {}
  parts: list[ImageRef] = []
  with progress_bar('images', len(images), len(images) - len(missing)) as advance:
    for image in missing:
      try:
        summary = segment_file(segmenter, image, out)
      except PartOfSet as part:
        print(f'left out: {part}')
        parts.append(image)
      except InputError as error:
        print(f'left out: {error}', file=sys.stderr)
        failed[image.name] = str(error)
      except OSError as error:
        error.filename = f'results of {image.name}'  # says more than the name of a temporary file
        raise
      else:
        records.add(out, summary, model)
        finished[image.name] = summary
        if summary.warnings:
          print(f'warning: {image.name}: {summary.warnings}', file=sys.stderr)
      advance(1)
  return [image for image in images if image not in parts], failed


@contextlib.contextmanager
def _as_input_error(out: Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    what = Path(error.filename).name if error.filename else 'results'
    raise InputError(
      f'{out}: {what} cannot be written ({error.strerror or error}); make room there or choose a'
      ' folder that can be written to, and run again: what is done is kept',
      arguments=('out',),
    ) from error


def _load(workdir: Path) -> 'Segmenter':
  from fscs.io.workdirs import CONFIG_FILE
  from fscs.segmentation.segmenter import Segmenter

  folder = workdir / 'model'
  if (workdir / CONFIG_FILE).exists() and not folder.is_dir():
    raise InputError(
      f'{workdir} has no model yet: finish its fine-tuning first', arguments=('model',)
    )
  folder = folder if folder.is_dir() else workdir
  try:
    return Segmenter.load(folder)
  except InputError as error:
    if error.arguments:
      raise
    nested = f'; is it {folder / "model"}?' if (folder / 'model').is_dir() else ''
    raise InputError(
      f'{workdir}: found no fine-tuned model ({error}); expected the workdir of fscs'
      f' finetune{nested}',
      arguments=('model',),
    ) from error


def _find_images(folder: Path, scene: str | None) -> 'list[ImageRef]':
  """The images of a folder, without masks.

  Raises:
    InputError: there are none, there is no such scene, or two have one stem, and would write to
      the same files.
  """
  from fscs.io import IMAGE_SUFFIXES, find_files, images_of, separate

  found = images_of(find_files(folder, IMAGE_SUFFIXES), scene)
  images, _ = separate(found, found)
  if left_out := sorted(set(found) - set(images)):
    print(
      f'masks and results of other images, left out: {len(left_out)} of {len(found)} files'
      f' ({examples(image.name for image in left_out)})'
    )
  by_stem: dict[str, ImageRef] = {}
  for image in images:
    if (other := by_stem.setdefault(image.stem, image)) is not image:
      raise InputError(
        f'{other} and {image.name} would write to the same files: rename one of them'
      )
  return images
