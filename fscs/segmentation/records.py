"""images.csv of a prediction: a line for every image that is done, added when it is.

With it a run that was interrupted goes on, and its page tells of images of earlier runs too.
"""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import jax
import numpy as np

from fscs.messages import examples
from fscs.segmentation import measurements
from fscs.segmentation.image_files import Summary, content_digest
from fscs.segmentation.outputs import ENDINGS, output_path, whole_or_not
from fscs.segmentation.segmenter import Segmenter

FILE = 'images.csv'
COLUMNS = (*Summary._fields, 'model')  # the model's `digest`


def digest(segmenter: Segmenter) -> str:
  """8 hexadecimal digits that tell one model, or way of predicting with it, from another."""
  facts = (segmenter.scale, segmenter.channel, segmenter.splitting)
  if segmenter.orientations != 1:
    facts += (segmenter.orientations,)
  found = hashlib.sha256(repr(facts).encode())
  for leaf in jax.tree.leaves((segmenter.params, segmenter.statistics)):
    found.update(np.asarray(leaf).tobytes())
  return found.hexdigest()[:8]


def read(out: Path, model: str, images: Sequence[Path]) -> dict[str, Summary]:
  """{file name: what was found} of the images that are done with this model, in whatever folder.

  An image counts whose other results are there; a line or a table that was cut short does not. Nor
  do results under the name of one of the images which are of another file, or of what was in it.
  """
  path = out / FILE
  if not path.exists():
    return {}
  done = {}
  types = Summary.__annotations__
  with path.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
    for line in csv.DictReader(file):
      try:
        summary = Summary(**{name: types[name](line[name]) for name in Summary._fields})
      except (KeyError, TypeError, ValueError):
        continue
      if line['model'] == model:
        done[summary.file] = summary
      else:
        done.pop(summary.file, None)
  now = {path.stem: path for path in images}
  whole = {name: summary for name, summary in done.items() if _has_results(out, name)}
  same = {name: s for name, s in whole.items() if _is_of(s, now.get(Path(name).stem))}
  if len(same) < len(whole):
    names = examples(sorted(whole.keys() - same.keys()))
    print(f'{out} has results of other images of these names, that are done anew: {names}')
  return same


def _is_of(summary: Summary, image: Path | None) -> bool:
  """Whether the results are those of the image, if there is one that would write to their files."""
  if image is None:
    return True
  try:
    return (image.name, content_digest(image)) == (summary.file, summary.sha256)
  except OSError:
    return False


def _has_results(out: Path, name: str) -> bool:
  return measurements.is_whole(output_path(out, Path(name).stem, ENDINGS[-1]))


def add(out: Path, summary: Summary, model: str) -> None:
  """Add the line of an image to the file that `rewrite` began."""
  with (out / FILE).open('a', newline='', encoding='utf-8', errors='surrogateescape') as file:
    _writer(file).writerow(_line(summary, model))


def rewrite(out: Path, done: Mapping[str, Summary], model: str) -> None:
  """All lines anew, each image once, by name."""
  with (
    whole_or_not(out / FILE) as path,
    path.open('w', newline='', encoding='utf-8', errors='surrogateescape') as file,
  ):
    writer = _writer(file)
    writer.writerow(COLUMNS)
    writer.writerows(_line(done[name], model) for name in sorted(done))


def _writer(file: TextIO):
  return csv.writer(file, lineterminator='\n')


def _line(summary: Summary, model: str) -> tuple:
  return (*summary._replace(foreground=f'{summary.foreground:.6g}'), model)
