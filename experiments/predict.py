"""Segment images with a model that `experiments.finetune` made.

  python -m experiments.predict --model=DIR --images=DIR --out=DIR

For every image NAME the folder --out gets NAME_probability.tif (0 to 1), NAME_mask.tif (0 or 255),
NAME_labels.tif (a number per object), NAME_overlay.png, NAME_rois.zip (for ImageJ) and
NAME_objects.csv (area, position, shape and intensity of every object); objects.csv has all of them.
Run again, it does what is missing.
"""

import csv
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments import outputs
from experiments.options import run
from experiments.progress import progress_bar
from experiments.segmentation import segment_file
from fscs import images as files
from fscs.errors import InputError
from fscs.segmenter import Segmenter


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of prediction."""

  model: str = ''
  """Workdir of `experiments.finetune`."""
  images: str = ''
  """Folder of images to segment."""
  out: str = ''
  """Folder to write to."""
  dry_run: bool = False
  """List what would be done, and do nothing."""


def predict(config: Config) -> Path:
  """Segment the images that are not done yet; returns the folder of the results."""
  folder, out = _folders(config)
  segmenter = _load(Path(config.model))
  found = _one_of_each_name(files.find_files(folder, files.IMAGE_SUFFIXES))
  missing = [path for path in found if not _table(out, path).exists()]
  if config.dry_run:
    for path in found:
      print(f'{path.name}: {"to do" if path in missing else "done"}')
    return out
  out.mkdir(parents=True, exist_ok=True)
  failed = 0
  with progress_bar('images', len(found), len(found) - len(missing)) as advance:
    for path in missing:
      try:
        summary = segment_file(segmenter, path, out)
        outputs.write_measurements(_table(out, path), summary.rows)
        for doubt in summary.doubts:
          print(f'warning: {path.name}: {doubt}', file=sys.stderr)
      except InputError as error:
        print(f'left out: {error}', file=sys.stderr)
        failed += 1
      advance(1)
  outputs.write_measurements(out / 'objects.csv', _all_rows(out, found))
  print(f'results: {out}')
  if failed:
    raise InputError(f'{failed} of {len(found)} images could not be segmented; see above')
  return out


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
  return Segmenter.load(folder if folder.is_dir() else workdir)


def _one_of_each_name(found: list[Path]) -> list[Path]:
  """The images.

  Raises:
    InputError: two have one stem, and would write to the same files.
  """
  by_stem: dict[str, Path] = {}
  for path in found:
    if (other := by_stem.setdefault(path.stem, path)) is not path:
      raise InputError(f'{other} and {path.name} would write to the same files: rename one of them')
  return found


def _table(out: Path, path: Path) -> Path:
  """What is written last: an image that has it is done."""
  return out / f'{path.stem}_objects.csv'


def _all_rows(out: Path, found: list[Path]) -> Iterator[dict[str, str]]:
  for path in found:
    if _table(out, path).exists():
      with _table(out, path).open(newline='', encoding='utf-8') as file:
        yield from csv.DictReader(file)


if __name__ == '__main__':
  run(predict, Config, lambda _: Config())
