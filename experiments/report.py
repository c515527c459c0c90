"""The results of a study, as Markdown with pictures and as one HTML page.

  python -m experiments.report
  python -m experiments.report --out=docs/results --raw-dir=DIR

It reads what `experiments.study` has done so far, and writes results.md, results.html, pictures,
differences.csv (every contestant against every other) and results.jsonl (every experiment, see
`experiments.study --known`). Predictions are drawn where the images can be read again (--raw-dir,
or prepared data on disk) and only into the HTML page; predictions.zip has those that are drawn.
"""

import dataclasses
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from experiments.common.options import run
from experiments.common.results import write_table
from experiments.study import (
  ablations,
  archive,
  cells,
  claims,
  colours,
  command,
  document,
  effort,
  examples,
  legend,
  opening,
  paired,
  predicted,
  protocols,
  provenance,
  sections,
  tables,
  terms,
)
from experiments.study.cells import Result
from experiments.study.contestants import COLOURED, CONTESTANTS, OURS
from experiments.study.document import Code, Heading, Part
from experiments.study.protocols import PROTOCOLS, Protocol
from fscs.data import datasets
from fscs.data.datasets import CODES
from fscs.errors import InputError

TITLE = 'Results of the study'


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the report."""

  workdir: str | None = None
  """Folder of the study; the one that it takes by default for this protocol."""
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
  workdir = command.workdir_of(config.workdir, config.protocol)
  every = cells.read_all(workdir)
  results = _known(every, PROTOCOLS[config.protocol])
  final = _ends(results, config.protocol)
  if not final:
    raise InputError(
      f'--workdir={workdir} has no results of --protocol={config.protocol}: run python -m'
      ' experiments.study first'
    )
  kept = terms.of_results(workdir)
  simulated = any(table['data']['simulated'] for table in kept.values())
  terms.check_sizes(workdir, kept, terms.of(OURS, config.protocol, simulated=simulated))
  out = Path(config.out or workdir / 'report')
  out.mkdir(parents=True, exist_ok=True)
  done = {config.protocol: results}
  if config.protocol == protocols.REPORTED:
    done[protocols.REHEARSAL] = _known(every, PROTOCOLS[protocols.REHEARSAL])
  parts = list(_parts(config, done, out))
  drawn = list(_predictions(final, config, workdir, simulated)) if config.predictions else []
  document.write_markdown(out / 'results.md', TITLE, [*parts, *_commands(config)])
  document.write_html(out / 'results.html', TITLE, [*parts, *drawn, *_commands(config)])
  _write_differences(out / 'differences.csv', final)
  archive.pack(workdir, done, out / 'results.jsonl')
  shown = (r.cell for of_target in examples.chosen(final, workdir) for r in of_target.values())
  predicted.pack(workdir, shown, out / predicted.PUBLISHED)
  print(f'report: {out / "results.md"}, {out / "results.html"}')
  return out


def _parts(
  config: Config, done: Mapping[protocols.Name, Sequence[Result]], out: Path
) -> Iterator[Part]:
  """All sections but pictures of predictions; other pictures are drawn into `out`."""
  results, rehearsed = done[config.protocol], done.get(protocols.REHEARSAL, ())
  final = _ends(results, config.protocol)
  of_luma = [r for r in final if r.cell.contestant not in COLOURED]
  yield from opening.summary(of_luma, config.protocol, _missing(results, config))
  yield from provenance.trainings(results)
  yield from sections.of_ours(of_luma)
  yield from legend.legend(of_luma)
  yield from sections.in_short(of_luma)
  yield from colours.of_colours(final)
  yield from claims.one_against_many(of_luma)
  yield from claims.of_the_paper(of_luma)
  yield from sections.scores(of_luma, out)
  yield from effort.steps(results, out)
  yield from ablations.of_parts(rehearsed)
  if config.protocol != protocols.REHEARSAL:
    yield from colours.of_colours(_ends(rehearsed, protocols.REHEARSAL), ' (rehearsal)')
  yield from effort.cost(of_luma, out)
  yield from provenance.machines(_uses(done, config.protocol))


def _uses(
  done: Mapping[protocols.Name, Sequence[Result]], name: protocols.Name
) -> dict[str, Sequence[Result]]:
  """{what they are there for: results}, every result once."""
  ends = set(_ends(done[name], name))
  uses = {
    'in the tables': [r for r in done[name] if r in ends],
    'over steps': [r for r in done[name] if r not in ends],
  }
  return uses | {f'in {other}': of_other for other, of_other in done.items() if other != name}


def _known(results: Sequence[Result], protocol: Protocol) -> list[Result]:
  """Those of the protocol; of them, those that this version cannot show are named."""
  results = [
    r
    for r in results
    if r.cell.selection in protocol.selections
    and r.cell.shots in protocol.shots
    and r.cell.seed in protocol.seeds
  ]
  known = [r for r in results if r.cell.contestant in CONTESTANTS and r.cell.target in CODES]
  names, shown = (
    {f'{r.cell.target}/{r.cell.contestant}' for r in part} for part in (results, known)
  )
  if names - shown:
    strange = ' '.join(sorted(names - shown))
    print(f'note: left out, since this version does not know them: {strange}', file=sys.stderr)
  return known


def _ends(results: Sequence[Result], name: protocols.Name) -> list[Result]:
  return tables.at_end(results, PROTOCOLS[name].steps)


def _missing(results: Sequence[Result], config: Config) -> int:
  """How many of the protocol's experiments are still to be done."""
  done = {result.cell for result in results}
  wanted = command.all_cells(command.Config(), PROTOCOLS[config.protocol])
  return sum(cell not in done for cell in wanted)


def _predictions(
  results: Sequence[Result], config: Config, workdir: Path, simulated: bool
) -> Iterator[Part]:
  options = protocols.data_options(
    PROTOCOLS[config.protocol],
    simulated=simulated,
    raw_dir=config.raw_dir,
    data_dir=config.data_dir,
  )
  codes = sections.targets_of(results)
  if not simulated and not config.raw_dir and not datasets.prepared(codes, config.data_dir):
    print(
      f'note: no pictures of predictions: --raw-dir has to give {" ".join(codes)} for them',
      file=sys.stderr,
    )
    return iter(())
  return examples.predictions(results, workdir, options)


def _commands(config: Config) -> Iterator[Part]:
  yield Heading('Commands')
  if config.protocol == protocols.REPORTED:
    lines = ['study', f'study --protocol={protocols.REHEARSAL}', 'report --out=docs/results']
  else:
    lines = [f'{name} --protocol={config.protocol}' for name in ('study', 'report')]
  yield Code('\n'.join(f'python -m experiments.{line}' for line in lines))


def _write_differences(path: Path, results: Sequence[Result]) -> None:
  rows = []
  for first, second in itertools.permutations(sections.labels_of(results), 2):
    found = paired.difference(results, first, second)
    if found:
      rows.append((first, second, *found))
  write_table(path, rows, ('contestant', 'other', *paired.Difference._fields))


if __name__ == '__main__':
  run(report, Config, lambda _: Config())
