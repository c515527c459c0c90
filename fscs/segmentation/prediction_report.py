"""The page of a prediction: pictures of some images, facts of all of them, from what is on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fscs.data.channels import Channel
from fscs.data.scaling import stretch
from fscs.errors import InputError
from fscs.io import open_image
from fscs.segmentation.image_files import Summary
from fscs.segmentation.outputs import output_path
from fscs.segmentation.report_page import LONGEST_SIDE, Case, write_page
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.thumbnails import read_thinned

FILE = 'report.html'
MAX_PICTURES = 24
HEADER = ('image', 'pages', 'pixels', 'objects', 'foreground', 'remarks')


def write_report(
  out: Path,
  images: Sequence[Path],
  done: Mapping[str, Summary],
  failed: Mapping[str, str],
  segmenter: Segmenter,
  facts: Mapping[str, object],
) -> None:
  """Write report.html.

  Args:
    out: folder of the results.
    images: all images, in the order of the page.
    done: what was found, by file name; in this run or an earlier one.
    failed: why images could not be segmented, by file name.
    segmenter: that did it.
    facts: configuration and versions.
  """
  finished = [path for path in images if path.name in done]
  shown = choose_evenly(finished, MAX_PICTURES)
  cases = [case for path in shown if (case := _case(out, path, done[path.name], segmenter.channel))]
  objects = sum(done[path.name].objects for path in finished)
  summary = f'{len(finished)} of {len(images)} images are segmented, with {objects:,} objects.'
  if segmenter.estimate is not None:
    summary += f' On images like the annotated ones, an IoU of about {segmenter.estimate:.2f} is'
    summary += ' to be expected.'
  write_page(
    out / FILE,
    'Segmented images',
    summary,
    (),
    cases,
    facts,
    heading=f'Pictures of {len(cases)} of {len(finished)} images',
    table=[HEADER, *(_row(path.name, done, failed) for path in images)],
  )


def choose_evenly(items: Sequence[Path], count: int) -> list[Path]:
  """At most `count` items, the first and the last among them."""
  places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
  return [items[place] for place in places]


def _case(out: Path, path: Path, summary: Summary, channel: Channel) -> Case | None:
  """The first page of an image with its objects; None if either is gone or damaged meanwhile."""
  try:
    with open_image(path, channel) as image:
      picture = read_thinned(image, 0, LONGEST_SIDE)
    with open_image(output_path(out, path.stem, 'labels.tif')) as labels:
      found = read_thinned(labels, 0, LONGEST_SIDE)
  except InputError:
    return None
  if picture.shape[:2] != found.shape:
    return None
  pages = f' on {summary.pages} pages, of which this is the first' if summary.pages > 1 else ''
  return Case(path.name, f'{summary.objects} objects{pages}', stretch(picture), None, found)


def _row(name: str, done: Mapping[str, Summary], failed: Mapping[str, str]) -> tuple:
  if name not in done:
    return (name, '', '', '', '', failed.get(name, 'not done'))
  found = done[name]
  size = f'{found.height} × {found.width}'
  return (name, found.pages, size, found.objects, f'{found.foreground:.1%}', found.doubts)
