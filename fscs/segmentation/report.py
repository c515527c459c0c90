"""HTML reports that need no other file: pictures to switch between, tables, the learning curve."""

import base64
import functools
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries

from fscs.data.channels import Channel
from fscs.data.intensity import stretch
from fscs.data.scaling import rescale, scaled_shape
from fscs.errors import InputError
from fscs.io import ImageRef, open_image
from fscs.io.atomic import write_text
from fscs.messages import counted
from fscs.segmentation.annotated_files import AnnotatedPage
from fscs.segmentation.cross_validation import FoldResult
from fscs.segmentation.image_files import FileSummary
from fscs.segmentation.instances import find_objects, resized
from fscs.segmentation.outputs import output_path
from fscs.segmentation.segmenter import Segmenter
from fscs.segmentation.thumbnails import read_subsampled

PICTURE_SIDE = 1536  # longest side of a picture in pixels; larger images are subsampled
MIN_MEDIAN = 0.2  # of the brightness of a picture; darker ones are lightened
MIN_GAMMA = 0.4
OUTLINE_SIDE = 384  # outlines of smaller pictures are drawn on enlarged ones
MAX_PICTURES = 24
TRUTH, PREDICTION = (255, 176, 0), (0, 168, 232)
AGREED, MISSED, EXTRA = (60, 190, 90), (230, 60, 60), (160, 80, 255)
CITATION = (
  'Dawoud, Y., Hornauer, J., Carneiro, G. and Belagiannis, V.: Few-Shot Microscopy Image Cell'
  ' Segmentation. ECML-PKDD 2020. arXiv:2007.01671'
)
PREDICTION_COLUMNS = ('image', 'pages', 'pixels', 'objects', 'foreground', 'remarks')


def objects_of_fold(fold: FoldResult, segmenter: Segmenter) -> np.ndarray:
  """(H, W) labels of what was found in a held-out part, at the working scale."""
  return find_objects(fold.probability, resized(segmenter.watershed, segmenter.scale))


def case_of_fold(fold: FoldResult, segmenter: Segmenter, page: AnnotatedPage) -> 'Case':
  """A held-out part with annotation and prediction, in colour if the image has colours."""
  found = objects_of_fold(fold, segmenter)
  picture = fold.grey
  if page.rgb and page.channels.shape[2] == 3:
    shape = scaled_shape(page.grey.shape, segmenter.scale)
    colours = stretch(page.channels)
    colours = np.stack([rescale(colours[..., i], shape) for i in range(3)], axis=-1)
    picture = colours[fold.part.rows, fold.part.columns]
  true = len(np.unique(fold.labels[fold.labels > 0]))
  caption = f'IoU {fold.iou:.3f}; {counted(int(found.max()), "object")} found, {true} annotated'
  return Case(fold.name, caption, picture, fold.labels, found)


class Case(NamedTuple):
  """An image with its prediction and, if known, the truth."""

  title: str
  caption: str
  image: np.ndarray  # (H, W) or (H, W, 3) uint8
  truth: np.ndarray | None  # (H, W) labels
  prediction: np.ndarray  # (H, W) labels


def render_template(name: str, **context: Any) -> str:
  """A page from a template of `fscs/templates`."""
  import jinja2

  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('fscs'), autoescape=True, trim_blocks=True, lstrip_blocks=True
  )
  return environment.get_template(name).render(**context)


def write_report(
  path: Path,
  title: str,
  summary: str,
  cases: Sequence[Case],
  facts: Mapping[str, object],
  *,
  heading: str,
  rows: Sequence[Sequence[object]] = (),
  losses: Sequence[float] | np.ndarray = (),
) -> None:
  """Write a report.

  Args:
    path: HTML file.
    title: of the page.
    summary: a sentence below it.
    cases: pictures.
    facts: configuration and versions.
    heading: above the pictures.
    rows: a table with one row per image, after a row of column names.
    losses: one per step; no curve is drawn of fewer than two.
  """
  with_truth = any(case.truth is not None for case in cases)
  page = render_template(
    'segmentation.html',
    title=title,
    summary=summary,
    heading=heading,
    views=('image', 'truth', 'prediction', 'error') if with_truth else ('image', 'prediction'),
    error_colours=(('agreed', AGREED), ('missed', MISSED), ('too much', EXTRA)),
    cases=[_pictures(case) for case in cases],
    rows=list(rows),
    numeric=_numeric_columns(rows),
    curve=_curve(losses) if len(losses) > 1 else None,
    facts=list(facts.items()),
    citation=CITATION,
  )
  write_text(path, page)


def _numeric_columns(rows: Sequence[Sequence[object]]) -> list[int]:
  """Columns whose values are all numbers."""
  number = re.compile(r'[\d.,%× ]*')
  columns = list(zip(*rows[1:], strict=True))
  return [i for i, column in enumerate(columns) if all(number.fullmatch(str(v)) for v in column)]


def _pictures(case: Case) -> dict[str, object]:
  """A case as the template shows it."""
  step = -(-max(case.prediction.shape) // PICTURE_SIDE)
  prediction = case.prediction[::step, ::step]
  layers = [('prediction', _data_url(_outlines(prediction, PREDICTION)))]
  if case.truth is not None:
    truth = case.truth[::step, ::step]
    layers = [
      ('truth', _data_url(_outlines(truth, TRUTH))),
      *layers,
      ('error', _data_url(_errors(truth, prediction))),
    ]
  return {
    'title': case.title,
    'caption': case.caption,
    'size': 'small' if max(prediction.shape) < OUTLINE_SIDE else '',
    'image': _data_url(_lightened(case.image[::step, ::step]), 'jpeg'),
    'layers': layers,
  }


def _lightened(picture: np.ndarray) -> np.ndarray:
  """A uint8 picture in which dim structures can be seen."""
  median = max(float(np.median(picture)), 1.0) / 255
  if median >= MIN_MEDIAN:
    return picture
  gamma = max(MIN_GAMMA, np.log(MIN_MEDIAN) / np.log(median))
  return np.rint(255 * (picture / 255.0) ** gamma).astype(np.uint8)


def _outlines(labels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
  """(h, w, 4) outlines, two pixels wide; small images are enlarged by a whole number first."""
  factor = -(-OUTLINE_SIDE // max(labels.shape))
  labels = labels.repeat(factor, axis=0).repeat(factor, axis=1)
  return _paint([(find_boundaries(labels, mode='thick'), colour)], opacity=255)


def _errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
  areas = [
    ((truth > 0) & (prediction > 0), AGREED),
    ((truth > 0) & (prediction == 0), MISSED),
    ((truth == 0) & (prediction > 0), EXTRA),
  ]
  return _paint(areas, opacity=150)


def _paint(areas: Sequence[tuple[np.ndarray, tuple[int, int, int]]], *, opacity: int) -> np.ndarray:
  layer = np.zeros((*areas[0][0].shape, 4), np.uint8)
  for where, colour in areas:
    layer[where] = (*colour, opacity)
  return layer


def _data_url(pixels: np.ndarray, kind: Literal['png', 'jpeg'] = 'png') -> str:
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format=kind)
  return f'data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}'


def _curve(losses: Sequence[float] | np.ndarray) -> dict[str, object]:
  """Points of a polyline in a drawing of 640 x 200, with the extremes as text."""
  values = np.asarray(losses, float)
  low, high = float(values.min()), float(values.max())
  x = np.linspace(50, 630, len(values))
  y = 10 + (high - values) / max(high - low, 1e-12) * 160
  points = ' '.join(f'{a:.1f},{b:.1f}' for a, b in zip(x, y, strict=True))
  return {'points': points, 'low': f'{low:.3g}', 'high': f'{high:.3g}', 'steps': len(values)}


def write_prediction_report(
  path: Path,
  images: Sequence[ImageRef],
  finished: Mapping[str, FileSummary],
  failed: Mapping[str, str],
  segmenter: Segmenter,
  facts: Mapping[str, object],
) -> None:
  """Write the report of a folder of segmented images.

  Args:
    path: HTML file, in the folder of the results.
    images: all images, in the order of the page.
    finished: what was found, by file name.
    failed: why images could not be segmented, by file name.
    segmenter: made the predictions.
    facts: configuration and versions.
  """
  segmented = [image for image in images if image.name in finished]
  read = functools.partial(
    _read_case, path.parent, channel=segmenter.file_channel, axes=segmenter.axes
  )
  found = (read(image, finished[image.name]) for image in _evenly(segmented, MAX_PICTURES))
  cases = [case for case in found if case]
  objects = sum(finished[image.name].objects for image in segmented)
  summary = (
    f'{len(segmented)} of {len(images)} images are segmented, with {counted(objects, "object")}.'
  )
  if segmenter.expected_iou is not None:
    summary += (
      f' On images like the annotated ones, expect an IoU of about {segmenter.expected_iou:.2f}.'
    )
  write_report(
    path,
    'Segmented images',
    summary,
    cases,
    facts,
    heading=f'Pictures of {len(cases)} of {len(segmented)} images',
    rows=[PREDICTION_COLUMNS, *(_row(image.name, finished, failed) for image in images)],
  )


def _evenly(items: Sequence[ImageRef], count: int) -> list[ImageRef]:
  """At most `count` evenly spaced items, the first and the last among them."""
  places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
  return [items[place] for place in places]


def _read_case(
  out: Path, ref: ImageRef, summary: FileSummary, *, channel: Channel | str, axes: str | None
) -> Case | None:
  """The first page of an image with its objects; None if a file is gone or was damaged."""
  try:
    with open_image(ref.path, channel, axes, ref.scene) as image:
      picture = read_subsampled(image, 0, PICTURE_SIDE)
    with open_image(output_path(out, ref.stem, 'labels.tif')) as labels:
      found = read_subsampled(labels, 0, PICTURE_SIDE)
  except InputError:
    return None
  if picture.shape[:2] != found.shape:
    return None
  objects = counted(summary.objects, 'object')
  pages = f' on {summary.pages} pages, of which this is the first' if summary.pages > 1 else ''
  return Case(ref.name, f'{objects}{pages}', stretch(picture), None, found)


def _row(
  name: str, finished: Mapping[str, FileSummary], failed: Mapping[str, str]
) -> tuple[object, ...]:
  if name not in finished:
    return (name, '', '', '', '', failed.get(name, 'not done'))
  found = finished[name]
  size = f'{found.height} × {found.width}'
  return (name, found.pages, size, found.objects, f'{found.foreground:.1%}', found.warnings)
