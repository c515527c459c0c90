"""A run as one HTML file that needs nothing else: switchable pictures, tables, learning curve."""

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from skimage.segmentation import find_boundaries

from fscs.segmentation.outputs import whole_or_not

LONGEST_SIDE = 768  # of a picture, in pixels; larger ones are thinned out
SHORTEST_SIDE = 384  # outlines of smaller pictures are drawn finer than their pixels
TRUTH, PREDICTION = (255, 176, 0), (0, 168, 232)
MISSED, EXTRA, AGREED = (230, 60, 60), (160, 80, 255), (60, 190, 90)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left }
td { vertical-align: top; overflow-wrap: anywhere }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
fieldset { border: 0; padding: 0; margin: 0 0 1rem } label { margin-right: 1.2rem; cursor: pointer }
.cases { display: flex; flex-wrap: wrap; gap: 1rem }
figure { margin: 0; width: min(30rem, 100%) } .stack { position: relative }
figcaption { overflow-wrap: anywhere }
.stack img { display: block; width: 100% } .stack img.small { image-rendering: pixelated }
.stack img + img { position: absolute; inset: 0; visibility: hidden }
body[data-view=truth] .truth, body[data-view=prediction] .prediction,
body[data-view=error] .error { visibility: visible }
.key span { padding: 0 .4rem; margin-right: .8rem; color: #fff; border-radius: .2rem }
pre { overflow-x: auto; background: #f4f4f4; padding: .6rem }
"""
_SCRIPT = """
for (const input of document.querySelectorAll('input[name=view]'))
  input.addEventListener('change', () => { document.body.dataset.view = input.value })
"""
_CITATION = (
  'Dawoud, Y., Hornauer, J., Carneiro, G. and Belagiannis, V.: Few-Shot Microscopy Image Cell'
  ' Segmentation. ECML-PKDD 2020. arXiv:2007.01671'
)


class Case(NamedTuple):
  """An image with what was predicted and, where it is known, the truth; (H, W) each."""

  title: str
  score: str  # IoU with the truth, or what else to say of it
  image: np.ndarray  # uint8; colours have (H, W, 3)
  truth: np.ndarray | None  # int, objects; 0 is background
  prediction: np.ndarray  # alike


def write_page(
  path: Path,
  title: str,
  summary: str,
  losses: Sequence[float],
  cases: Sequence[Case],
  facts: Mapping[str, object],
  *,
  heading: str = 'Images that the network had not seen',
  table: Sequence[Sequence[object]] | None = None,
) -> None:
  """Write the page.

  Args:
    path: HTML file.
    title: of the page.
    summary: a sentence below it.
    losses: one per step; no curve is drawn of fewer than two.
    cases: pictures to look at.
    facts: configuration and versions, shown as a table.
    heading: above the pictures.
    table: a row of names and a row for every image; the cases' scores by default.
  """
  if table is None and cases:
    table = [('image', 'IoU'), *((case.title, case.score) for case in cases)]
  parts = [
    f'<h1>{html.escape(title)}</h1><p>{html.escape(summary)}</p>',
    _pictures(cases, heading) if cases else '',
    f'<h2>Image by image</h2>{_table(table[1:], table[0])}' if table else '',
    f'<h2>Learning curve</h2>{curve(losses)}' if len(losses) > 1 else '',
    f'<h2>Configuration</h2>{_table(facts.items())}',
    f'<h2>How to cite</h2><pre>{html.escape(_CITATION)}</pre>',
  ]
  with whole_or_not(path) as temporary:
    temporary.write_text(_document(title, ''.join(parts)), encoding='utf-8', errors='replace')


def _document(title: str, body: str) -> str:
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
    f'<style>{_STYLE}</style></head><body data-view="prediction">{body}'
    f'<script>{_SCRIPT}</script></body></html>\n'
  )


def _pictures(cases: Sequence[Case], heading: str) -> str:
  with_truth = any(case.truth is not None for case in cases)
  views = ('image', 'truth', 'prediction', 'error') if with_truth else ('image', 'prediction')
  choices = ''.join(
    f'<label><input type="radio" name="view" value="{view}"'
    f'{" checked" if view == "prediction" else ""}> {view}</label>'
    for view in views
  )
  key = ''.join(
    f'<span style="background:rgb{colour}">{name}</span>'
    for name, colour in (('agreed', AGREED), ('missed', MISSED), ('too much', EXTRA))
  )
  figures = ''.join(_figure(case) for case in cases)
  return (
    f'<h2>{html.escape(heading)}</h2><fieldset>{choices}</fieldset>'
    f'{f"""<p class="key">In the view “error”: {key}</p>""" if with_truth else ""}'
    f'<div class="cases">{figures}</div>'
  )


def _figure(case: Case) -> str:
  step = -(-max(case.prediction.shape) // LONGEST_SIDE)
  image, prediction = case.image[::step, ::step], case.prediction[::step, ::step]
  layers = {'prediction': _outlines(prediction, PREDICTION)}
  if case.truth is not None:
    truth = case.truth[::step, ::step]
    layers = {'truth': _outlines(truth, TRUTH), **layers, 'error': _errors(truth, prediction)}
  title, score = html.escape(case.title), html.escape(case.score)
  small = 'small' if max(prediction.shape) < SHORTEST_SIDE else ''
  images = f'<img class="{small}" src="{_data(image)}" alt="{title}">'
  images += ''.join(
    f'<img class="{name} {small}" src="{_data(layer)}" alt="{name} of {title}">'
    for name, layer in layers.items()
  )
  caption = f'{title}: {score}' if case.truth is None else f'{title}: IoU {score}'
  return f'<figure><div class="stack">{images}</div><figcaption>{caption}</figcaption></figure>'


def _outlines(labels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
  """(h, w, 4) outlines, two pixels wide; small images are enlarged by a whole number for them."""
  factor = -(-SHORTEST_SIDE // max(labels.shape))
  labels = labels.repeat(factor, axis=0).repeat(factor, axis=1)
  return _paint([(find_boundaries(labels, mode='thick'), colour)])


def _errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
  areas = [
    ((truth > 0) & (prediction > 0), AGREED),
    ((truth > 0) & (prediction == 0), MISSED),
    ((truth == 0) & (prediction > 0), EXTRA),
  ]
  return _paint(areas, opacity=150)


def _paint(areas: Sequence[tuple[np.ndarray, tuple[int, int, int]]], opacity: int = 255):
  layer = np.zeros((*areas[0][0].shape, 4), np.uint8)
  for where, colour in areas:
    layer[where] = (*colour, opacity)
  return layer


def _data(pixels: np.ndarray) -> str:
  """An image as the address of itself."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, format='PNG')
  return 'data:image/png;base64,' + base64.b64encode(file.getvalue()).decode()


def curve(losses: Sequence[float], width: int = 640, height: int = 200) -> str:
  """An SVG of a loss over steps, with the largest and smallest value named."""
  values = np.asarray(losses, float)
  low, high = float(values.min()), float(values.max())
  x = np.linspace(50, width - 10, len(values))
  y = 10 + (high - values) / max(high - low, 1e-12) * (height - 40)
  points = ' '.join(f'{a:.1f},{b:.1f}' for a, b in zip(x, y, strict=True))
  return (
    f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="loss over steps">'
    f'<polyline points="{points}" fill="none" stroke="rgb{PREDICTION}" stroke-width="1.5"/>'
    f'<text x="0" y="16" font-size="12">{high:.3g}</text>'
    f'<text x="0" y="{height - 28}" font-size="12">{low:.3g}</text>'
    f'<text x="{width / 2:.0f}" y="{height - 6}" font-size="12">step 1 to {len(values)}</text>'
    '</svg>'
  )


def _table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
  """Columns with a header have their numbers flush right."""
  names = ''.join(f'<th>{html.escape(name)}</th>' for name in header)
  lines = ''.join(f'<tr>{"".join(_cell(x, bool(names)) for x in row)}</tr>' for row in rows)
  return f'<table>{f"<tr>{names}</tr>" if names else ""}{lines}</table>'


def _cell(value: object, in_column: bool) -> str:
  number = in_column and re.fullmatch(r'[\d.,%× ]+', str(value))
  return f'<td{" class=number" if number else ""}>{html.escape(str(value))}</td>'
