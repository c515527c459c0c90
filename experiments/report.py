"""The results of a study, as Markdown with pictures and as one HTML page.

  python -m experiments.report --workdir=runs/study
  python -m experiments.report --workdir=runs/study --out=docs/results --raw-dir=DIR

It reads what `experiments.study` has done so far, and writes results.md, results.html, the pictures
and differences.csv (every contestant against every other). Predictions are drawn where the images
can be read again (--raw-dir, or prepared data on disk) and only into the HTML page.
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from experiments.options import DataOptions, run
from experiments.results import write_table
from experiments.study import cells, command, document, plots, protocols, tables, targets
from experiments.study.cells import Result
from experiments.study.document import Code, Heading, Part, Picture, Table, Text
from experiments.study.protocols import CONTESTANTS, FOLLOWED, OURS, PROTOCOLS
from fscs.datasets import CODES
from fscs.errors import InputError

TITLE = 'Results of the study'
DRAWN = ('otsu', 'forest', 'scratch', 'transfer', 'combined', OURS)
DRAWN_SHOTS = 5
FAR = {'EM': 10, 'ssTEM': 3}  # sections between test and annotated images that tell copies apart


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the report."""

  workdir: str = 'runs/study'
  """Folder of the study."""
  protocol: protocols.Name = 'cpu-small'
  """The study's protocol."""
  out: str | None = None
  """Where the report is written; report/ in the workdir by default."""
  raw_dir: str | None = None
  """Folder of the data sets' archives or folders, to draw predictions."""
  data_dir: str | None = None
  """Where prepared data is kept; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  predictions: bool = True
  """Draw predictions into the HTML page."""


def report(config: Config) -> Path:
  """Write the report; returns its folder."""
  results = _known(cells.read_all(Path(config.workdir)))
  if not results:
    raise InputError(
      f'--workdir={config.workdir} has no results: run python -m experiments.study first'
    )
  out = Path(config.out or Path(config.workdir) / 'report')
  out.mkdir(parents=True, exist_ok=True)
  final = tables.at_end(results)
  parts = [
    *_summary(final, config),
    *_scores(final, out),
    *_steps(results, out),
    *_cost(final, out),
  ]
  document.write_markdown(out / 'results.md', TITLE, [*parts, *_commands(config)])
  drawn = list(_predictions(final, config)) if config.predictions else []
  document.write_html(out / 'results.html', TITLE, [*parts, *drawn, *_commands(config)])
  _write_differences(out / 'differences.csv', final)
  print(f'report: {out / "results.md"}, {out / "results.html"}')
  return out


def _known(results: Sequence[Result]) -> list[Result]:
  """Those that this version can show; the others are named."""
  known = [r for r in results if r.cell.contestant in CONTESTANTS and r.cell.target in CODES]
  names, shown = (
    {f'{r.cell.target}/{r.cell.contestant}' for r in part} for part in (results, known)
  )
  if names - shown:
    strange = ' '.join(sorted(names - shown))
    print(f'note: left out, since this version does not know them: {strange}', file=sys.stderr)
  return known


def _present(results: Sequence[Result]) -> dict[str, str]:
  """{name: label} of the contestants that have results, in the order of the protocols."""
  names = {result.cell.contestant for result in results}
  return {name: c.label for name, c in CONTESTANTS.items() if name in names}


def _targets(results: Sequence[Result]) -> list[str]:
  found = {result.cell.target for result in results}
  return [code for code in CODES if code in found]


def _summary(results: Sequence[Result], config: Config) -> Iterator[Part]:
  protocol = PROTOCOLS[config.protocol]
  selections = sorted({result.cell.selection for result in results})
  yield Text(
    f'Protocol {config.protocol}: selections {", ".join(map(str, selections))} of the published'
    f' ones; at most {protocol.max_test_images} test images of each, drawn by a fixed seed from'
    f' those that the selection annotates for no K; {protocol.training_steps} gradient steps on'
    f' sources for everything that is trained there, {protocol.steps} steps of adaptation for all'
    ' networks. IoU of the foreground, mean over images, then mean ± standard deviation over'
    ' selections.'
  )
  labels = _present(results)
  if OURS not in labels:
    return
  table = tables.means(results)
  rows = tables.losses_first(table, OURS)
  lost = sum(row[0] < 0 for row in rows)
  yield Heading('Where ours loses')
  yield Text(f'{labels[OURS]} against the best of all others: behind in {lost} of {len(rows)}.')
  yield Table(
    ('target', 'K', 'ours', 'best other', 'its IoU', 'difference'),
    [
      (
        t,
        str(k),
        f'{table[OURS, t, k].mean:.3f}',
        labels[o],
        f'{table[o, t, k].mean:.3f}',
        f'{d:+.3f}',
      )
      for d, t, k, o in rows
    ],
  )
  yield from _paired(results, labels)


def _paired(results: Sequence[Result], labels: dict[str, str]) -> Iterator[Part]:
  yield Heading('Paired differences of ours to every other')
  yield Text('Mean over all targets and K of the difference on the same images, 95 % interval.')
  yield Table(
    ('other', 'difference', '95 % interval', 'experiments'),
    [
      (label, f'{d.mean:+.3f}', f'{d.low:+.3f} to {d.high:+.3f}', str(d.cells))
      for name, label in labels.items()
      if name != OURS and (d := tables.difference(results, OURS, name))
    ],
  )


def _scores(results: Sequence[Result], out: Path) -> Iterator[Part]:
  labels, codes = _present(results), _targets(results)
  table = tables.means(results)
  yield Heading('IoU')
  plots.draw_over_shots(out / 'iou.png', table, codes, labels)
  yield Picture(out / 'iou.png', 'IoU over the number of annotated images')
  yield _table(table, labels, codes)
  precision = tables.means(results, tables.average_precision)
  if precision:
    yield Heading('Average precision at IoU 0.5')
    yield Text('TP / (TP + FP + FN) of objects, where the data set tells them apart.')
    yield _table(precision, labels, codes)
  for code, distance in FAR.items():
    far = tables.means(results, tables.distant_iou(distance))
    far = {key: mean for key, mean in far.items() if key[1] == code}
    if far:
      yield Heading(f'{code}, at least {distance} sections from every annotated one')
      yield _table(far, labels, [code])


def _table(table, labels: dict[str, str], codes: Sequence[str]) -> Table:
  """A line per contestant, a column per target and K; the best of a column is bold."""
  columns = sorted({key[1:] for key in table}, key=lambda c: (codes.index(c[0]), c[1]))
  names = [name for name in labels if any(key[0] == name for key in table)]
  rows, bold = [], set()
  for name in names:
    means = [table.get((name, *column)) for column in columns]
    rows.append([labels[name], *('' if m is None else _mean(m) for m in means)])
  for c, column in enumerate(columns, 1):
    scores = {r: table[n, *column].mean for r, n in enumerate(names) if (n, *column) in table}
    bold.add((max(scores, key=scores.get), c))
  return Table(['', *(f'{t}, K = {k}' for t, k in columns)], rows, frozenset(bold))


def _mean(mean: tables.Mean) -> str:
  return f'{mean.mean:.3f} ± {mean.deviation:.3f}' if mean.count > 1 else f'{mean.mean:.3f}'


def _steps(results: Sequence[Result], out: Path) -> Iterator[Part]:
  """How the score grows with the steps of adaptation."""
  labels = _present(results)
  shots = sorted({r.cell.shots for r in results if r.cell.contestant in FOLLOWED})
  for k in shots:
    curves = {
      code: {n: tables.curve(results, n, code, k) for n in FOLLOWED if n in labels}
      for code in _targets(results)
    }
    steps = sorted({s for by_name in curves.values() for c in by_name.values() for s in c})
    if len(steps) < 3:
      continue
    yield Heading(f'IoU over steps of adaptation, K = {k}')
    path = out / f'steps-K{k}.png'
    plots.draw_over_steps(path, curves, labels, 'every number of steps is an adaptation of its own')
    yield Picture(path, f'IoU over steps of adaptation from {k} images')
    yield Table(
      ('', '', *map(str, steps)),
      [
        (code, labels[name], *(f'{curve[s]:.3f}' if s in curve else '' for s in steps))
        for code, by_name in curves.items()
        for name, curve in by_name.items()
      ],
    )


def _cost(results: Sequence[Result], out: Path) -> Iterator[Part]:
  labels = _present(results)
  groups = {n: [r for r in results if r.cell.contestant == n] for n in labels}
  points = {
    n: (float(np.median([r.seconds for r in g])), float(np.mean([np.mean(r.iou) for r in g])))
    for n, g in groups.items()
  }
  yield Heading('Cost')
  yield Text(
    'Seconds to adapt to one set of annotated images (compilation included, training on sources'
    ' not) and to predict one image, medians; largest memory of the process.'
  )
  plots.draw_over_cost(out / 'cost.png', points, labels)
  yield Picture(out / 'cost.png', 'IoU over the seconds to adapt')
  yield Table(
    ('', 'mean IoU', 'seconds to adapt', 'seconds per image', 'memory, MB'),
    [
      (
        labels[n],
        f'{points[n][1]:.3f}',
        f'{points[n][0]:.1f}',
        f'{np.median([r.seconds_per_image for r in g]):.2f}',
        f'{max(r.peak_mb for r in g):.0f}',
      )
      for n, g in groups.items()
    ],
  )


def _predictions(results: Sequence[Result], config: Config) -> Iterator[Part]:
  """Of every target the test image of median IoU, as the main contestants see it."""
  protocol = PROTOCOLS[config.protocol]
  study = command.Config(raw_dir=config.raw_dir, data_dir=config.data_dir)
  options = command.data_options(study, protocol)
  labels = _present(results)
  folder = Path(config.workdir)
  yield Heading('Predictions')
  yield Text(f'K = {DRAWN_SHOTS}, first selection: the image of median IoU.')
  for code in _targets(results):
    found = {
      r.cell.contestant: r
      for r in sorted(results, key=lambda r: (-r.cell.selection, -r.cell.seed))
      if (r.cell.target, r.cell.shots) == (code, DRAWN_SHOTS)
      and (folder / r.cell.file).with_suffix('.npz').exists()
    }
    shown = [name for name in DRAWN if name in found]
    if not shown:
      continue
    leading = found[shown[-1]]
    shown = [name for name in shown if found[name].images == leading.images]
    place = int(np.argsort(leading.iou)[len(leading.iou) // 2])
    image, mask = _image(code, leading.images[place], options)
    predictions = {
      name: command.read_predictions(folder / found[name].cell.file)[place] for name in shown
    }
    if predictions[shown[-1]].shape != image.shape:
      raise InputError(f'--protocol={config.protocol} is not that of the study: its images differ')
    path = folder / 'report-pictures' / f'{code}.png'
    path.parent.mkdir(exist_ok=True)
    plots.draw_predictions(
      path,
      f'{code}: {leading.images[place]}',
      image,
      mask,
      {labels[name]: (f'{found[name].iou[place]:.3f}', predictions[name]) for name in shown},
    )
    yield Picture(path, f'Predictions of {code}')


def _image(code: str, name: str, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
  """(H, W) uint8 grey values and boolean truth of an image that was scored.

  Raises:
    InputError: the images cannot be read, or are not those of the study.
  """
  instead = 'or leave predictions out with --no-predictions'
  try:
    grey_set = targets.load(code, options).grey_set
  except InputError as error:
    raise InputError(f'{error}; {instead}') from error
  if name not in grey_set.names:
    raise InputError(
      f'{code} has no image {name}, which the study scored: give the --raw-dir of the study,'
      f' {instead}'
    )
  index = grey_set.names.index(name)
  return grey_set.images[index], grey_set.masks[index] > 0


def _commands(config: Config) -> Iterator[Part]:
  yield Heading('Commands')
  yield Code(
    f'python -m experiments.study --protocol={config.protocol} --workdir=runs/study\n'
    'python -m experiments.report --workdir=runs/study --out=docs/results'
  )


def _write_differences(path: Path, results: Sequence[Result]) -> None:
  rows = []
  for first, second in itertools.permutations(_present(results), 2):
    found = tables.difference(results, first, second)
    if found:
      rows.append((first, second, *found))
  write_table(path, rows, ('contestant', 'other', *tables.Difference._fields))


if __name__ == '__main__':
  run(report, Config, lambda _: Config())
