"""Segment images with a model that `fscs.cli.finetune` made.

  python -m fscs.cli.predict --model=DIR --images=DIR --out=DIR

For every image NAME the folder --out gets NAME_probability.tif (0 to 1), NAME_mask.tif (0 or 255),
NAME_labels.tif (a number per object), NAME_overlay.png, NAME_rois.zip (for ImageJ) and
NAME_objects.csv (area, position, shape and intensity of every object; of images with colours or
channels also the intensity in each, as intensity_mean_0; where a TIFF says how large its pixels
are, also area and diameter in micrometres). objects.csv has all objects, images.csv a line per
image, and report.html is a page to look at. Pages of a file count from 1, channels from 0. The mask
is where probabilities are above the model's threshold; objects have their holes filled, and specks
are none. Masks among the images are left out. Run again, it does what is missing; images that have
changed, or that another model segmented, are done anew. Images of other folders may go to the same
--out, under other names.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.common.options import run
from fscs import io as files
from fscs.environment import versions
from fscs.errors import InputError
from fscs.io.workdirs import CONFIG_FILE
from fscs.messages import examples
from fscs.progress import progress_bar
from fscs.segmentation import measurements, outputs, records
from fscs.segmentation.image_files import Summary, segment_file
from fscs.segmentation.prediction import Orientations
from fscs.segmentation.prediction_report import write_report
from fscs.segmentation.segmenter import Segmenter


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of prediction."""

  model: str = ''
  """Workdir of `fscs.cli.finetune`."""
  images: str = ''
  """Folder of images to segment."""
  out: str = ''
  """Folder to write to."""
  orientations: Orientations | None = None
  """Probabilities are means over so many flips and turns of an image (1, 4 or 8): better, and so
  many times as long. By default as in fine-tuning, where the IoU to expect was measured; images
  that were done with others are done anew."""
  report: bool = True
  """Write report.html, a page to look at."""
  dry_run: bool = False
  """List what would be done, and do nothing."""


def predict(config: Config) -> Path:
  """Segment the images that are not done yet; returns the folder of the results.

  Raises:
    InputError: an option or folder cannot be used, results cannot be written, or, when all others
      are done, an image could not be segmented.
  """
  folder, out = _folders(config)
  segmenter = _load(Path(config.model))
  if config.orientations is not None:
    segmenter = dataclasses.replace(segmenter, orientations=config.orientations)
  found = _images(folder)
  model = records.digest(segmenter)
  done = records.read(out, model, found)
  if config.dry_run:
    for path in found:
      print(f'{path.name}: {"done" if path.name in done else "to do"}')
    return out
  with _writing(out):
    out.mkdir(parents=True, exist_ok=True)
    records.rewrite(out, done, model)
    failed = _segment(segmenter, found, out, done, model)
    records.rewrite(out, done, model)
    with outputs.whole_or_not(out / 'objects.csv') as path:
      stems = [Path(name).stem for name in sorted(done)]
      measurements.join(path, [outputs.output_path(out, stem, 'objects.csv') for stem in stems])
    if config.report:
      facts = {**dataclasses.asdict(config), **_facts(segmenter), **versions()}
      write_report(out, found, done, failed, segmenter, facts)
  print(f'results: {out}')
  if failed:
    raise InputError(f'{len(failed)} of {len(found)} images could not be segmented; see above')
  return out


def _facts(segmenter: Segmenter) -> dict[str, float]:
  return {'scale': segmenter.scale, 'orientations': segmenter.orientations}


def _segment(
  segmenter: Segmenter, found: Sequence[Path], out: Path, done: dict[str, Summary], model: str
) -> dict[str, str]:
  """Segments what is not done and adds it to `done`; returns why others could not be, by name."""
  missing = [path for path in found if path.name not in done]
  failed = {}
  with progress_bar('images', len(found), len(found) - len(missing)) as advance:
    for path in missing:
      try:
        summary = segment_file(segmenter, path, out)
      except InputError as error:
        print(f'left out: {error}', file=sys.stderr)
        failed[path.name] = str(error)
      except OSError as error:
        error.filename = path.name  # says more than the name of a temporary file
        raise
      else:
        records.add(out, summary, model)
        done[path.name] = summary
        if summary.doubts:
          print(f'warning: {path.name}: {summary.doubts}', file=sys.stderr)
      advance(1)
  return failed


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
  """Raises InputError where results cannot be written."""
  try:
    yield
  except OSError as error:
    what = f'results of {error.filename}' if error.filename else 'results'
    raise InputError(
      f'--out={out}: {what} cannot be written ({error.strerror or error}); make room there or'
      ' choose a folder that can be written to, and run again: what is done is kept'
    ) from error


def _folders(config: Config) -> tuple[Path, Path]:
  for name in ('model', 'images', 'out'):
    if not getattr(config, name):
      raise InputError(f'--{name} is missing')
  folder, out = Path(config.images), Path(config.out)
  if out.resolve().is_relative_to(folder.resolve()):
    raise InputError(
      f'--out={out} is inside --images={folder}, where results would be taken for images: choose a'
      ' folder elsewhere'
    )
  return folder, out


def _load(workdir: Path) -> Segmenter:
  folder = workdir / 'model'
  if not folder.is_dir() and (workdir / CONFIG_FILE).exists():
    raise InputError(f'--model={workdir} has no model yet: finish its fine-tuning first')
  return Segmenter.load(folder if folder.is_dir() else workdir)


def _images(folder: Path) -> list[Path]:
  """The images of a folder, without masks.

  Raises:
    InputError: there are none, or two have one stem, and would write to the same files.
  """
  found = files.find_files(folder, files.IMAGE_SUFFIXES)
  images, masks = files.separate(found, found)
  if masks:
    print(
      f'masks of other images, left out: {len(masks)} of {len(found)} files ({examples(masks)})'
    )
  by_stem: dict[str, Path] = {}
  for path in images:
    if (other := by_stem.setdefault(path.stem, path)) is not path:
      raise InputError(f'{other} and {path.name} would write to the same files: rename one of them')
  return images


if __name__ == '__main__':
  run(predict, Config, lambda _: Config())
