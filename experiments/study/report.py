"""The results of a study, as Markdown with pictures and as one HTML page.

  python -m experiments.report
  python -m experiments.report --out=docs/results --raw-dir=DIR

It reads what `experiments.study` has done so far, and writes results.md, results.html, summary.md,
pictures, results.jsonl (all results, to go on from with `experiments.study --known`) and
predictions.zip (the predictions that are drawn). Predictions are drawn if the images are there.
"""

import base64
import dataclasses
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from experiments.study import methods, plots, protocols, run, stats, store
from experiments.study.methods import COLOUR_SUFFIX, COLOUR_TARGETS, FSCS, METHODS, PAPER
from experiments.study.protocols import PROTOCOLS, REPORTED, VALIDATION, Protocol
from experiments.study.store import Result, Run
from fscs.data import datasets
from fscs.data.datasets import CODES
from fscs.errors import InputError
from fscs.io.atomic import write_text
from fscs.io.workdirs import read_config

TITLE = 'Results of the study'
SUMMARY = ('otsu', 'forest', 'scratch', PAPER, 'fscs-random', FSCS)  # rows of summary.md
DRAWN = ('otsu', 'forest', 'scratch', 'transfer', PAPER, 'fscs-random', 'fscs-colours', FSCS)
SHOWN_SHOTS = 5  # in summary.md and in pictures of predictions
FAR = {'EM': 10, 'ssTEM': 3}  # sections from which a test image is no near copy of an annotated one
BASELINE = 'scratch'  # whose final IoU the curves of others are compared with
INTERVAL = '95 % interval'
MIN_COMPARED = 3  # methods, to show what they cost


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the report."""

  workdir: str | None = None
  """Folder of the study; by default that of experiments.study for this protocol."""
  protocol: protocols.Name = 'cpu-small'
  """The study's protocol. The report of cpu-small shows the validation protocol too."""
  out: str | None = None
  """Where the report is written; report/ in the workdir by default."""
  raw_dir: str | None = None
  """Folder of the data sets' archives or unpacked folders, to draw predictions."""
  data_dir: str | None = None
  """Folder for prepared data; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  predictions: bool = True
  """Draw predictions."""


class Picture(NamedTuple):
  """A PNG file."""

  path: Path
  description: str


class Commands(NamedTuple):
  """Lines for a shell."""

  text: str


class Section(NamedTuple):
  """A heading with what comes below; tables are data frames of text."""

  title: str
  parts: Sequence[str | pd.DataFrame | Picture | Commands]


def report(config: Config) -> Path:
  """Write the report; returns its folder."""
  workdir = run.workdir_of(config.workdir, config.protocol)
  results = store.read_all(workdir)
  simulated = bool(results) and read_config(workdir)['config']['simulated']
  shown = _current(results, config.protocol, simulated)
  validation = []
  if config.protocol == REPORTED:
    validation = _current(results, VALIDATION, simulated)
  if not any(_is_final(result.run) for result in shown):
    raise InputError(
      f'{workdir} has no results of protocol {config.protocol}: run python -m experiments.study'
      ' first',
      arguments=('workdir', 'protocol'),
    )
  out = Path(config.out or workdir / 'report')
  out.mkdir(parents=True, exist_ok=True)
  sections = list(_sections(shown, validation, config.protocol, out))
  sections += _draw_predictions(shown, config, simulated, workdir, out)
  sections.append(_commands(config.protocol))
  _write_markdown(out / 'results.md', sections)
  _write_html(out / 'results.html', sections)
  summary = _summary_table(stats.to_frame(filter(_is_of_final, shown)), config.protocol)
  write_text(out / 'summary.md', summary)
  store.write(out / store.FILE, sorted((*shown, *validation), key=_run_of))
  print(f'report: {out / "results.md"}, {out / "results.html"}')
  return out


def _run_of(result: Result) -> Run:
  return result.run


def _is_final(wanted: Run) -> bool:
  """Whether a run has all steps of its method; others are followed on the way there."""
  return wanted.steps == methods.final_steps(wanted.method, PROTOCOLS[wanted.protocol])


def _is_of_final(result: Result) -> bool:
  return _is_final(result.run)


def _current(results: Sequence[Result], name: protocols.Name, simulated: bool) -> list[Result]:
  """The results of a protocol with the options of this version, on the same data.

  A note counts the others. Of several results of a run the last counts.
  """
  of_protocol = {r.run: r for r in results if r.run.protocol == name}.values()
  known = [r for r in of_protocol if r.run.method in METHODS]
  digests = {
    method: methods.digest(methods.configuration(method, name, simulated=simulated))
    for method in {result.run.method for result in known}
  }
  current = [r for r in known if r.config == digests[r.run.method]]
  data: dict[tuple, list[str]] = {}
  for result in current:
    data.setdefault(_data_sets_of(result), []).append(result.data)
  most = {codes: max(found, key=found.count) for codes, found in data.items()}
  same_data = [r for r in current if r.data == most[_data_sets_of(r)]]
  reasons = {
    'methods that this version does not have': len(of_protocol) - len(known),
    'other options than those of this version': len(known) - len(current),
    'other images than most': len(current) - len(same_data),
  }
  for reason, count in reasons.items():
    if count:
      print(f'note: left out {count} results of {reason}', file=sys.stderr)
  return same_data


def _data_sets_of(result: Result) -> tuple[str, ...]:
  return methods.depends_on(result.run.method, result.run.target)


def _sections(
  shown: Sequence[Result], validation: Sequence[Result], name: protocols.Name, out: Path
) -> Iterator[Section]:
  """All sections but pictures of predictions; other pictures are drawn into `out`."""
  frame = stats.to_frame(shown)
  final = stats.to_frame(filter(_is_of_final, shown))
  colours = final['method'].str.endswith(COLOUR_SUFFIX)
  grey = final[~colours]
  yield _protocol(final, shown, name)
  yield _methods(grey)
  yield _summary(grey)
  if FSCS in set(grey['method']):
    yield from _losses(grey)
    yield from _differences(grey)
  if not grey.empty:
    yield from _iou(grey, out)
    yield from _average_precision(grey)
    for target, sections in FAR.items():
      yield from _far(grey, target, sections)
    yield from _initialisations(grey)
    yield from _one_against_many(grey)
  yield from _colours(final)
  yield from _steps(frame, out)
  yield from _variants(stats.to_frame(validation))
  yield from _cost(grey, out)
  yield _machines(stats.to_frame((*shown, *validation)))


def _labels_of(frame: pd.DataFrame) -> dict[str, str]:
  """{method: label} of the methods that have results."""
  names = set(frame['method'])
  return {name: method.label for name, method in METHODS.items() if name in names}


def _targets_of(frame: pd.DataFrame) -> list[str]:
  found = set(frame['target'])
  return [code for code in CODES if code in found]


def _shots_of(frame: pd.DataFrame) -> list[int]:
  return sorted(int(shots) for shots in frame['shots'].unique())


def _shown_shots(protocol: Protocol) -> int:
  return max(shots for shots in protocol.shots if shots <= SHOWN_SHOTS)


def _listed(values: Sequence[object]) -> str:
  return ', '.join(map(str, values))


def _protocol(final: pd.DataFrame, shown: Sequence[Result], name: protocols.Name) -> Section:
  protocol = PROTOCOLS[name]
  if protocol.validation:
    images = (
      f'Protocol {name}: the annotated images are drawn with a fixed seed from those that'
      f' {REPORTED} scores for no support set. At most {protocol.max_test_images} of the others are'
      ' scored.'
    )
  else:
    images = (
      f'Protocol {name}: support sets {_listed(sorted(final["selection"].unique()))}. At most'
      f' {protocol.max_test_images} test images per support set are drawn with a fixed seed from'
      ' the images that it annotates for no K (K: the number of annotated images).'
    )
  parts = [
    f'{images} Sources are all data sets but the target. Everything that is trained on them takes'
    f' {protocol.training_steps:,} gradient steps ({PROTOCOLS["paper"].training_steps:,} in the'
    f" paper). The paper's networks adapt in {protocol.steps} steps, fscs in its default of"
    f' {protocol.fscs.steps}. Seeds: {_listed(sorted(final["seed"].unique()))}.',
    'IoU is that of the foreground: mean over images, then mean ± standard deviation over support'
    ' sets. An image without foreground counts 1 if nothing is found in it, else 0.',
  ]
  sizes = final.assign(count=final['support'].map(len))
  sizes = sizes[sizes['count'] != sizes['shots']]
  columns = ['target', 'shots', 'selection', 'count']
  for target, shots, selection, count in sorted(set(sizes[columns].itertuples(index=False))):
    parts.append(f'{target}, K = {shots}: support set {selection} has {count} images.')
  wanted = set(run.all_runs(run.Config(protocol=name), protocol))
  missing = len(wanted - {result.run for result in shown})
  if missing:
    parts.append(f'Not finished: {missing} of {len(wanted)} runs are still to be done.')
  return Section('Protocol', parts)


def _methods(grey: pd.DataFrame) -> Section:
  rows = [(label, METHODS[name].description) for name, label in _labels_of(grey).items()]
  return Section('Methods', [pd.DataFrame(rows, columns=['method', 'what it is'])])


def _summary(grey: pd.DataFrame) -> Section:
  means, shots = stats.means(grey), _shots_of(grey)
  most = means['count'].max()
  rows = []
  for name, label in _labels_of(grey).items():
    row = {'method': label}
    for target in _targets_of(grey):
      keys = [(name, target, k) for k in shots]
      texts = [f'{means.loc[key, "mean"]:.3f}' if key in means.index else '-' for key in keys]
      row[target] = ' / '.join(texts)
    counts = means.loc[[name], 'count']
    least, largest = counts.min(), counts.max()
    row['support sets'] = f'{least}' if least == largest else f'{least} to {largest}'
    rows.append(row)
  text = f'Mean IoU at K = {" / ".join(map(str, shots))}.'
  if (means['count'] < most).any():
    text += (
      f' Means over fewer than {most} support sets are of other images than the rest: compare them'
      ' by paired differences.'
    )
  return Section('Summary', [text, pd.DataFrame(rows)])


def _losses(grey: pd.DataFrame) -> Iterator[Section]:
  table = stats.losses_first(grey[~grey['method'].str.startswith(f'{FSCS}-')], FSCS)
  if table.empty:
    return
  behind = (table['difference'] < 0).sum()
  text = (
    'fscs against the best of the other methods, variants of itself aside, on the support sets that'
    f' both have done. fscs is behind in {behind} of {len(table)} pairs of target and K; its mean'
    f' lead is {table["difference"].mean():+.3f}.'
  )
  shown = pd.DataFrame(
    {
      'target': table['target'],
      'K': table['shots'].map(str),
      'support sets': table['count'].map(str),
      'fscs': table['mean'].map('{:.3f}'.format),
      'best other': [METHODS[name].label for name in table['other']],
      'its IoU': table['other_mean'].map('{:.3f}'.format),
      'difference': table['difference'].map('{:+.3f}'.format),
    }
  )
  yield Section('Where fscs loses', [text, shown])


def _differences(grey: pd.DataFrame) -> Iterator[Section]:
  rows = []
  for name, label in _labels_of(grey).items():
    if name != FSCS and (found := stats.difference(grey, FSCS, name)):
      rows.append((label, f'{found.mean:+.3f}', found.interval, str(found.count)))
  if rows:
    text = (
      'IoU of fscs less that of another method, mean over the runs that both have done on the same'
      ' images. The 95 % interval is a Bayesian bootstrap over images and support sets; an image'
      ' counts once, however many support sets score it. No training was repeated with another'
      ' seed, so the interval does not include how much trainings differ.'
    )
    table = pd.DataFrame(rows, columns=['other method', 'difference', INTERVAL, 'runs'])
    yield Section('fscs against every other method', [text, table])


def _iou(grey: pd.DataFrame, out: Path) -> Iterator[Section]:
  means = stats.means(grey)
  path = out / 'iou.png'
  plots.draw_over_shots(path, means, _targets_of(grey), _labels_of(grey))
  parts = [Picture(path, 'IoU over the number of annotated images'), _score_table(means)]
  yield Section('IoU', parts)


def _average_precision(grey: pd.DataFrame) -> Iterator[Section]:
  means = stats.means(grey, 'mean_ap')
  if not means.empty:
    text = (
      'TP / (TP + FP + FN) of objects at IoU 0.5, where the data set tells objects apart. fscs'
      ' learns the threshold and the watershed by cross-validation on the annotated images. All'
      ' others are cut at 0.5 (or at their tuned threshold) and split by the typical size of the'
      ' annotated objects.'
    )
    yield Section('Average precision', [text, _score_table(means)])


def _far(grey: pd.DataFrame, target: str, sections: int) -> Iterator[Section]:
  means = stats.far_from_support(grey[grey['target'] == target], sections)
  if not means.empty:
    text = (
      f'{target} is a stack, in which neighbouring images are nearly copies. Mean IoU over the test'
      f' images of all support sets that are at least {sections} sections from every annotated'
      ' image, with the number of images.'
    )
    title = f'{target}, at least {sections} sections from every annotated image'
    yield Section(title, [text, _score_table(means)])


def _score_table(means: pd.DataFrame) -> pd.DataFrame:
  """A row per method, a column per target and K; the best of a column is bold.

  Only those with the largest count in a column can be the best.
  """
  names = [name for name in METHODS if name in means.index.unique('method')]
  places = sorted(set(means.index.droplevel('method')), key=_order_of_place)
  table = {'method': [METHODS[name].label for name in names]}
  for target, shots in places:
    column = means.xs((target, shots), level=('target', 'shots'))
    best = column.loc[column['count'] == column['count'].max(), 'mean'].idxmax()
    texts = {name: _score(row) for name, row in column.iterrows()}
    texts[best] = f'**{texts[best]}**'
    # Spaces that do not break keep a column narrow and its numbers whole.
    table[f'{target}, K\u00a0=\u00a0{shots}'] = [texts.get(name, '') for name in names]
  return pd.DataFrame(table)


def _order_of_place(place: tuple[str, int]) -> tuple[int, int]:
  target, shots = place
  return CODES.index(target), shots


def _score(row: pd.Series) -> str:
  """The mean with its deviation, or else with the number of images."""
  if 'std' not in row:
    return f'{row["mean"]:.3f} ({row["count"]:.0f})'
  deviation = '' if np.isnan(row['std']) else f' ±\u00a0{row["std"]:.3f}'
  return f'{row["mean"]:.3f}{deviation}'


def _initialisations(grey: pd.DataFrame) -> Iterator[Section]:
  """The paper's claim: meta-learned initialisations are better than random ones and transfer."""
  learned = ('bce', 'bce_entropy', 'bce_distillation', PAPER)
  compared = [*itertools.product(learned, ('random-normal', 'transfer')), ('combined-tuned', PAPER)]
  targets = _targets_of(grey)
  rows = []
  for name, other in compared:
    every = stats.difference(grey, name, other)
    if not every:
      continue
    row = {'method': METHODS[name].label, 'against': METHODS[other].label}
    for target in targets:
      found = stats.difference(grey[grey['target'] == target], name, other)
      row[target] = f'{found.mean:+.3f}' if found else ''
    row |= {'mean': f'{every.mean:+.3f}', INTERVAL: every.interval, 'runs': str(every.count)}
    rows.append(row)
  if rows:
    text = (
      'In the paper, meta-learned initialisations are better than random ones and than transfer.'
      ' Paired differences in IoU, mean over K and support sets; no training was repeated with'
      ' another seed.'
    )
    title = "The paper's initialisations against random ones and transfer"
    yield Section(title, [text, pd.DataFrame(rows)])


def _one_against_many(grey: pd.DataFrame) -> Iterator[Section]:
  """Whether fscs needs fewer annotated images than the paper's method."""
  shots, labels = _shots_of(grey), _labels_of(grey)
  if len(shots) < 2 or not {FSCS, PAPER} <= labels.keys():
    return
  few, many = shots[0], shots[-1]
  keys = ['target', 'selection', 'seed']
  scores = grey.pivot(index=keys, columns=['method', 'shots'], values='mean_iou')
  both = scores.dropna(subset=[(FSCS, few), (PAPER, many)])
  if both.empty:
    return
  columns = [(PAPER, many)]
  others = ('fscs-random', 'forest', 'scratch')
  columns += [(name, few) for name in (FSCS, *others) if (name, few) in scores]
  # A mean over the same support sets, or none.
  means = both[columns].groupby('target').agg(_mean_of_all)
  reached = (means[FSCS, few] >= means[PAPER, many]).sum()
  rows = []
  for target in _targets_of(both.reset_index()):
    texts = ('' if np.isnan(value) else f'{value:.3f}' for value in means.loc[target])
    rows.append((target, *texts))
  header = ['target', *(f'{labels[name]}, K = {k}' for name, k in columns)]
  text = (
    f"fscs from {few} annotated image reaches the paper's method from {many} on {reached} of"
    f' {len(rows)} targets, on the support sets that both have done.'
  )
  title = f'{few} annotated image against {many}'
  yield Section(title, [text, pd.DataFrame(rows, columns=header)])


def _mean_of_all(values: pd.Series) -> float:
  """NaN if a value is missing."""
  return values.mean(skipna=False)


def _colours(final: pd.DataFrame) -> Iterator[Section]:
  rows = []
  for target in COLOUR_TARGETS:
    for shots in _shots_of(final):
      here = final[(final['target'] == target) & (final['shots'] == shots)]
      for name in _labels_of(here):
        if name.endswith(COLOUR_SUFFIX) and (row := _colour_row(here, name)):
          rows.append({'target': target, 'K': str(shots), **row})
  if rows:
    text = (
      'All other tables use greyscale images. Here Otsu, the forest and the network from scratch'
      ' see the weighted sum of red, green and blue that separates the annotated foreground best'
      " (Fisher's criterion), every image stretched; `fscs.finetune` sees the colours and does the"
      ' same itself. Means over the support sets that a method has done with both.'
    )
    table = pd.DataFrame(rows)
    yield Section('Colours', [text, table.loc[:, (table != '').any()]])


def _colour_row(here: pd.DataFrame, name: str) -> dict[str, str] | None:
  """What a method gains by colours, on one target with one number of annotated images."""
  grey = name.removesuffix(COLOUR_SUFFIX)
  both = stats.pairs(here, name, grey)
  gain = stats.difference(here, name, grey)
  if gain is None:
    return None
  lead = stats.difference(here, f'{FSCS}{COLOUR_SUFFIX}', name)
  return {
    'method': METHODS[grey].label,
    'support sets': str(gain.count),
    'IoU, grey': f'{both["mean_iou_2"].mean():.3f}',
    'IoU, colours': f'{both["mean_iou_1"].mean():.3f}',
    'gain': f'{gain.mean:+.3f}',
    INTERVAL: gain.interval,
    'AP, grey': f'{both["mean_ap_2"].mean():.3f}',
    'AP, colours': f'{both["mean_ap_1"].mean():.3f}',
    'lead of fscs': f'{lead.mean:+.3f}' if lead and not name.startswith(f'{FSCS}-c') else '',
  }


def _steps(frame: pd.DataFrame, out: Path) -> Iterator[Section]:
  labels, baseline_label = _labels_of(frame), METHODS[BASELINE].label
  for shots in _shots_of(frame):
    curves: dict[str, dict[str, dict[int, float]]] = {}
    for target, name in itertools.product(_targets_of(frame), labels):
      curve = stats.curve(frame, name, target, shots)
      if len(curve) > 1:
        curves.setdefault(target, {})[name] = curve
    steps = sorted({s for of_target in curves.values() for c in of_target.values() for s in c})
    if len(steps) < 3:
      continue
    rows = []
    for target, of_target in curves.items():
      baseline = of_target.get(BASELINE)
      for name, curve in of_target.items():
        texts = {str(s): f'{curve[s]:.3f}' if s in curve else '' for s in steps}
        reached = _first_to_reach(curve, baseline)
        rows.append({'target': target, 'method': labels[name], **texts, 'reaches': reached})
    table = pd.DataFrame(rows).rename(columns={'reaches': 'reaches the baseline after'})
    path = out / f'steps-K{shots}.png'
    plots.draw_over_steps(path, curves, labels)
    text = (
      'IoU after so many steps; each number of steps is a fine-tuning of its own. The last column'
      f' is the number of steps after which a method reaches the final IoU of "{baseline_label}".'
    )
    picture = Picture(path, f'IoU over steps of adaptation, K = {shots}')
    yield Section(f'Steps of adaptation, K = {shots}', [picture, text, table])


def _first_to_reach(curve: dict[int, float], baseline: dict[int, float] | None) -> str:
  if not baseline:
    return ''
  steps = stats.first_to_reach(curve, baseline[max(baseline)])
  return 'never' if steps is None else str(steps)


def _variants(validation: pd.DataFrame) -> Iterator[Section]:
  """fscs against itself with one thing changed, by steps of adaptation and K."""
  changed = ('fscs-random', 'fscs-supervised', 'fscs-fcrn', 'fscs-one-orientation')
  targets = _targets_of(validation)
  rows = []
  for (steps, shots), group in validation.groupby(['steps', 'shots'], sort=True):
    for name in changed:
      every = stats.difference(group, FSCS, name)
      if not every:
        continue
      row = {'steps': str(steps), 'K': str(shots), 'instead': METHODS[name].label}
      for target in targets:
        found = stats.difference(group[group['target'] == target], FSCS, name)
        row[target] = f'{found.mean:+.3f}' if found else ''
      rows.append({**row, 'mean': f'{every.mean:+.3f}', INTERVAL: every.interval})
  if rows:
    counts = validation.drop_duplicates('target').set_index('target')['images'].map(len)
    images = _listed([f'{counts[code]} of {code}' for code in targets])
    text = (
      'IoU of fscs less that of itself with one thing changed, in the validation protocol, on'
      f' images that no other table scores: {images}. On so few images a difference of one or two'
      ' points says little.'
    )
    yield Section('Variants of fscs', [text, pd.DataFrame(rows)])


def _cost(grey: pd.DataFrame, out: Path) -> Iterator[Section]:
  machine, results = _on_one_machine(grey)
  labels = _labels_of(results)
  if len(labels) < MIN_COMPARED:
    return
  costs = results.groupby('method').agg(
    iou=('mean_iou', 'mean'),
    seconds=('seconds', 'median'),
    seconds_per_image=('seconds_per_image', 'median'),
    memory=('peak_mb', 'max'),
  )
  path = out / 'cost.png'
  plots.draw_over_cost(path, costs, labels)
  text = (
    'Seconds to adapt to one support set and to predict one image: medians of wall time,'
    ' compilation included unless the same program was compiled before, on a machine that may have'
    ' had other work. Training on sources is not included. Memory is the largest of the process.'
    f' {len(results) // len(labels)} runs of each method on {machine or "an unknown machine"}:'
    f' {_listed(_targets_of(results))}.'
  )
  rows = []
  for name, label in labels.items():
    iou, seconds, per_image, memory = costs.loc[name]
    rows.append((label, f'{iou:.3f}', f'{seconds:.1f}', f'{per_image:.2f}', f'{memory:.0f}'))
  header = ['method', 'mean IoU', 'seconds to adapt', 'seconds per image', 'memory, MB']
  table = pd.DataFrame(rows, columns=header)
  yield Section('Cost', [text, Picture(path, 'IoU over the seconds to adapt'), table])


def _on_one_machine(grey: pd.DataFrame) -> tuple[str, pd.DataFrame]:
  """The machine with most comparable results, one that ran fscs if there is any; and these."""
  machines = set(grey.loc[grey['method'] == FSCS, 'machine']) or set(grey['machine'])
  parts = [
    (machine, stats.most_in_common(grey[grey['machine'] == machine], FSCS))
    for machine in sorted(machines)
  ]
  return max(parts, key=_size_of_part)


def _size_of_part(part: tuple[str, pd.DataFrame]) -> int:
  return len(part[1])


def _machines(frame: pd.DataFrame) -> Section:
  known = frame.assign(machine=frame['machine'].replace('', 'unknown'))
  counts = pd.crosstab(known['method'], known['machine'])
  labels = _labels_of(frame)
  rows = [{'method': labels[name], **counts.loc[name].map(_count)} for name in labels]
  commits = frame['commit'].value_counts()
  parts = [
    'Number of runs, those of curves and of validation among them, by kind of machine. The same run'
    ' ends elsewhere on another kind. results.jsonl has machine and code version of every run.',
    pd.DataFrame(rows),
    f'Runs by code version: {_listed([f"{commit} {count}" for commit, count in commits.items()])}.',
  ]
  several = _several_trainings(frame)
  if several:
    parts.append(
      'More than one training, on different kinds of machine, is behind the results of'
      f' {_listed(several)}.'
    )
  return Section('Machines and versions', parts)


def _count(number: int) -> str:
  return str(number) if number else ''


def _several_trainings(frame: pd.DataFrame) -> list[str]:
  """Methods of which several trained initialisations adapted to one target.

  Where the initialisation is unknown, the machine tells them apart.
  """
  trained = frame[[METHODS[name].training is not None for name in frame['method']]]
  starts = trained['start'].where(trained['start'] != '', trained['machine'])
  counts = starts.groupby([trained[key] for key in ('protocol', 'method', 'target', 'seed')])
  several = counts.nunique().loc[_above_one]
  names = set(several.index.get_level_values('method'))
  return [label for name, label in _labels_of(frame).items() if name in names]


def _above_one(counts: pd.Series) -> pd.Series:
  return counts > 1


def _draw_predictions(
  shown: Sequence[Result], config: Config, simulated: bool, workdir: Path, out: Path
) -> list[Section]:
  """Of every target one test image, the middle one in the order of their names.

  What is drawn is published beside the results, so that it can be drawn again elsewhere.

  Raises:
    InputError: predictions are damaged, or the images cannot be read or are others.
  """
  protocol = PROTOCOLS[config.protocol]
  chosen: dict[str, list[tuple[Result, np.ndarray]]] = {}
  for result in sorted(filter(_is_of_final, shown), key=_order_of_drawing):
    place = result.run.shots, result.run.selection, result.run.seed
    wanted = _shown_shots(protocol), protocol.selections[0], protocol.seeds[0]
    if place == wanted and result.run.method in DRAWN:
      mask = store.read_prediction(workdir, result.run, _drawn_image(result))
      if mask is not None:
        chosen.setdefault(result.run.target, []).append((result, mask))
  published = {
    (result.run, _drawn_image(result)): mask
    for of_target in chosen.values()
    for result, mask in of_target
  }
  store.publish_predictions(out / store.PUBLISHED_PREDICTIONS, published)
  targets = [code for code in CODES if code in chosen]
  if not config.predictions or not targets:
    return []
  if not (simulated or config.raw_dir or datasets.prepared(targets, config.data_dir)):
    print(
      f'note: no pictures of predictions: give --raw-dir with {" ".join(targets)}', file=sys.stderr
    )
    return []
  options = protocols.data_options(
    protocol, simulated=simulated, raw_dir=config.raw_dir, data_dir=config.data_dir
  )
  pictures = [_draw_target(code, chosen[code], options, out) for code in targets]
  text = (
    f'K = {_shown_shots(protocol)}, support set {protocol.selections[0]}: of its test images the'
    ' middle one in the order of their names.'
  )
  return [Section('Predictions', [text, *pictures])]


def _order_of_drawing(result: Result) -> int:
  return list(METHODS).index(result.run.method)


def _drawn_image(result: Result) -> str:
  return result.images[len(result.images) // 2]


def _draw_target(code: str, drawn: Sequence[tuple[Result, np.ndarray]], options, out: Path):
  grey_set = protocols.load_target(code, options).grey_set
  name = _drawn_image(drawn[0][0])
  if name not in grey_set.names or any(m.shape != grey_set.masks.shape[1:] for _, m in drawn):
    raise InputError(
      f'{code}: the images are not those of the study, of which {name} was scored: give the raw'
      ' data of the study, or draw no predictions',
      arguments=('raw_dir', 'predictions'),
    )
  index = grey_set.names.index(name)
  predictions = {}
  for result, mask in drawn:
    iou = result.iou[result.images.index(name)]
    predictions[f'{METHODS[result.run.method].label}\nIoU {iou:.3f}'] = mask
  path = out / f'predictions-{code}.png'
  image, truth = grey_set.images[index], grey_set.masks[index] > 0
  plots.draw_predictions(path, f'{code}: {name}', image, truth, predictions)
  return Picture(path, f'Predictions of {code}')


def _commands(name: protocols.Name) -> Section:
  lines = ['study', f'study --protocol={VALIDATION}', 'report --out=docs/results']
  if name != REPORTED:
    lines = [f'study --protocol={name}', f'report --protocol={name}']
  return Section('Commands', [Commands('\n'.join(f'python -m experiments.{x}' for x in lines))])


def _summary_table(final: pd.DataFrame, name: protocols.Name) -> str:
  """The main methods at one number of annotated images, to show elsewhere.

  All means are over the support sets that all of these methods have done.
  """
  shots, targets = _shown_shots(PROTOCOLS[name]), list(PROTOCOLS[name].targets)
  shown = final[(final['shots'] == shots) & final['method'].isin(SUMMARY)]
  shown = stats.in_common(shown)
  scores = stats.means(shown)['mean'].droplevel('shots').unstack()
  rows = []
  for method in SUMMARY:
    if method in scores.index:
      values = scores.loc[method].reindex(targets)
      texts = values.map(_score_or_nothing)
      mean = _score_or_nothing(values.mean(skipna=False))
      rows.append({'method': METHODS[method].label, **texts, 'mean': mean})
  sets = ', '.join(str(number) for number in sorted(shown['selection'].unique()))
  caption = (
    f'Mean foreground IoU from {shots} annotated images (protocol {name}, support set'
    f'{"s" if "," in sets else ""} {sets}).'
  )
  return f'{caption}\n\n{_to_markdown(pd.DataFrame(rows))}\n'


def _score_or_nothing(value: float) -> str:
  return '' if np.isnan(value) else f'{value:.3f}'


def _to_markdown(table: pd.DataFrame) -> str:
  return table.to_markdown(index=False, disable_numparse=True)


def _write_markdown(path: Path, sections: Sequence[Section]) -> None:
  blocks = [f'# {TITLE}']
  for section in sections:
    blocks.append(f'## {section.title}')
    for part in section.parts:
      if isinstance(part, pd.DataFrame):
        part = _to_markdown(part)
      elif isinstance(part, Picture):
        part = f'![{part.description}]({part.path.name})'
      elif isinstance(part, Commands):
        part = f'```sh\n{part.text}\n```'
      blocks.append(part)
  write_text(path, '\n\n'.join(blocks) + '\n')


def _write_html(path: Path, sections: Sequence[Section]) -> None:
  """One file that needs no other."""
  loaders = [jinja2.PackageLoader('experiments.study'), jinja2.PackageLoader('fscs')]
  environment = jinja2.Environment(
    loader=jinja2.ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True
  )
  content = [(section.title, list(map(_part_of_page, section.parts))) for section in sections]
  page = environment.get_template('study.html').render(title=TITLE, sections=content)
  write_text(path, page)


def _part_of_page(part: str | pd.DataFrame | Picture | Commands) -> dict[str, Any]:
  """A part as the template shows it."""
  if isinstance(part, pd.DataFrame):
    rows = [list(map(_to_html, row)) for row in part.itertuples(index=False)]
    numeric = [i for i, name in enumerate(part.columns) if part[name].map(_is_number).all()]
    return {'kind': 'table', 'header': list(part.columns), 'rows': rows, 'numeric': numeric}
  if isinstance(part, Picture):
    url = f'data:image/png;base64,{base64.b64encode(part.path.read_bytes()).decode()}'
    return {'kind': 'picture', 'url': url, 'description': part.description}
  if isinstance(part, Commands):
    return {'kind': 'commands', 'text': part.text}
  return {'kind': 'text', 'text': _to_html(part)}


def _is_number(text: str) -> bool:
  """Whether a text begins with a number, or is empty."""
  return re.match(r'\**[-+]?\d|-|$', text) is not None


def _to_html(text: str) -> Markup:
  """Text with the Markdown marks of code and of bold."""
  marked = re.sub(r'`([^`]*)`', r'<code>\1</code>', str(escape(text)))
  return Markup(re.sub(r'\*\*(.*?)\*\*', r'<strong>\1</strong>', marked))
