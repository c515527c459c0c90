"""images.csv of a prediction: a line per finished image, added when it is finished.

An interrupted run goes on from it, and the report covers images of earlier runs.
"""

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from fscs.io import ImageRef
from fscs.io.atomic import append_text, csv_text, write_text
from fscs.io.files import split_name
from fscs.messages import examples
from fscs.segmentation import measurements
from fscs.segmentation.image_files import FileSummary
from fscs.segmentation.outputs import ENDINGS, output_path
from fscs.segmentation.segmenter import Segmenter

FILE = 'images.csv'
COLUMNS = (*FileSummary._fields, 'model')  # `model_digest`


def model_digest(segmenter: Segmenter) -> str:
  """8 hexadecimal digits that tell models, and ways to predict with them, apart."""
  facts = (
    segmenter.scale,
    segmenter.file_channel,
    tuple(segmenter.watershed),
    segmenter.orientations,
  )
  digest = hashlib.sha256(repr(facts).encode())
  network = segmenter.network
  for leaf in jax.tree.leaves((network.params, network.batch_statistics)):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()[:8]


def read_finished(
  out: Path, model: str, images: Sequence[ImageRef], log: Callable[[str], None] = print
) -> dict[str, FileSummary]:
  """Images that are finished with this model, of whatever folder.

  Only complete results count: a line or table that was cut short does not, nor do results of
  another file, or of other contents, under the name of one of the images.

  Args:
    out: folder of the results.
    model: `model_digest`.
    images: to segment now.
    log: called with a line about results of other images of the same names.

  Returns:
    {file name: what was found}.
  """
  path = out / FILE
  if not path.exists():
    return {}
  finished: dict[str, FileSummary] = {}
  types = FileSummary.__annotations__
  with path.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
    for line in csv.DictReader(file):
      try:
        summary = FileSummary(**{name: types[name](line[name]) for name in FileSummary._fields})
      except (KeyError, TypeError, ValueError):
        continue
      if line['model'] == model:
        finished[summary.file] = summary
      else:
        finished.pop(summary.file, None)
  by_stem = {image.stem: image for image in images}
  whole = {name: summary for name, summary in finished.items() if _has_results(out, name)}
  same = {name: s for name, s in whole.items() if _is_of(s, by_stem.get(split_name(name)[0]))}
  if len(same) < len(whole):
    names = examples(sorted(whole.keys() - same.keys()))
    log(f'{out} has results of other images of these names, which are segmented again: {names}')
  return same


def _is_of(summary: FileSummary, image: ImageRef | None) -> bool:
  """Whether the results are those of the image that would write to their files, if any."""
  if image is None:
    return True
  try:
    return (image.name, image.digest()) == (summary.file, summary.sha256)
  except OSError:
    return False


def _has_results(out: Path, name: str) -> bool:
  return measurements.is_whole(output_path(out, split_name(name)[0], ENDINGS[-1]))


def add(out: Path, summary: FileSummary, model: str) -> None:
  """Add a line to the file that `rewrite` began."""
  append_text(out / FILE, csv_text([_line(summary, model)]))


def rewrite(out: Path, finished: Mapping[str, FileSummary], model: str) -> None:
  """Write all lines anew, one per image, sorted by name."""
  lines = [_line(finished[name], model) for name in sorted(finished)]
  write_text(out / FILE, csv_text([COLUMNS, *lines]))


def _line(summary: FileSummary, model: str) -> tuple:
  return (*summary._replace(foreground=f'{summary.foreground:.6g}'), model)  # type: ignore[arg-type]
