"""Compare methods on real data on equal terms; `experiments.report` makes the page of it.

  python -m experiments.study
  python -m experiments.study --known=docs/results/results.jsonl
  python -m experiments.study --protocol=paper --shard=3/40

Every experiment is a file of its own below --workdir, so the command goes on where it stopped, and
several of them, on one machine or many, can share the work (--shard).
"""

import dataclasses
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from experiments.common.options import Code, DataOptions
from experiments.common.results import shard_of
from experiments.common.runs import RUNS
from experiments.common.support_set_files import PAPER, choose_selections
from experiments.study import archive, cells, copies, predicted, protocols, targets, terms
from experiments.study.cells import Cell
from experiments.study.contestants import COLOUR_TARGETS, CONTESTANTS, FOLLOWED
from experiments.study.protocols import PROTOCOLS, Protocol
from experiments.study.rounds import do_cell
from fscs.compilation import keep_compiled_programs
from fscs.errors import InputError
from fscs.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the study; empty ones mean all that the protocol has."""

  protocol: protocols.Name = 'cpu-small'
  """On which terms: cpu-small (two cores, many hours), rehearsal (variants of the recipe, on images
  that cpu-small does not score), paper (GPU) or smoke."""
  workdir: str | None = None
  """Where trainings and results are kept; runs/study by default, runs/study-PROTOCOL for protocols
  of other sizes than cpu-small."""
  raw_dir: str | None = None
  """Folder of already downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Where prepared data is kept; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  simulated: bool = False
  """Simulated images in place of the published ones, to try the command."""
  selections_file: str | None = None
  """A file of selections (.json or .pkl), or paper for the published ones, as by default; those of
  simulated images are drawn."""
  contestants: tuple[str, ...] = ()
  """Only these; see experiments/study/contestants.py."""
  targets: tuple[Code, ...] = ()
  """Only these data sets."""
  shots: tuple[int, ...] = ()
  """Only these numbers of annotated images."""
  selections: tuple[int, ...] = ()
  """Only these selections."""
  known: str | None = None
  """A results.jsonl of a report: what it has is not done again."""
  curve: bool = True
  """Also follow the score over the steps of adaptation."""
  shard: str | None = None
  """Do only the i-th of n parts (i/n), beside other processes that do the others."""


def study(config: Config) -> Path:
  """Do what is missing; returns the workdir."""
  protocol = PROTOCOLS[config.protocol]
  _check(config, protocol)
  workdir = workdir_of(config.workdir, config.protocol)
  index, count = shard_of(config.shard)
  wanted = list(dict.fromkeys(all_cells(config, protocol)))  # an option may name a thing twice
  here = copies.fingerprints(wanted, _data_options(config, protocol))
  if config.known:
    taken = archive.unpack(Path(config.known), workdir, here)
    print(f'{taken} results taken over from {config.known}')
  contestants = dict.fromkeys(cell.contestant for cell in wanted)
  terms.keep(workdir, contestants, config.protocol, simulated=config.simulated)
  copies.keep(workdir, here)
  groups = _groups(wanted, index, count)
  total = sum(map(len, groups))
  missing = [[cell for cell in group if not (workdir / cell.file).exists()] for group in groups]
  with progress_bar('experiments', total, total - sum(map(len, missing))) as advance:
    for group in filter(None, missing):
      _do_group(group, config, protocol, workdir, advance)
  options = f'--protocol={config.protocol} --workdir={workdir}'
  print(f'results: {workdir}; python -m experiments.report {options} shows them')
  return workdir


def workdir_of(workdir: str | None, name: protocols.Name) -> Path:
  """The folder of a study: the one that is given, or one for all protocols of the same sizes."""
  if workdir:
    return Path(workdir)
  alike = PROTOCOLS[name].preset == PROTOCOLS[protocols.REPORTED].preset
  return RUNS / ('study' if alike else f'study-{name}')


def _check(config: Config, protocol: Protocol) -> None:
  """Raises InputError where an option names what there is not."""
  known = {
    'contestants': tuple(CONTESTANTS),
    'targets': protocol.targets,
    'shots': protocol.shots,
    'selections': protocol.selections,
  }
  for name, values in known.items():
    for value in getattr(config, name):
      if value not in values:
        raise InputError(
          f'--{name} has {value}: one of {" ".join(map(str, values))} is expected with'
          f' --protocol={config.protocol}'
        )


def all_cells(config: Config, protocol: Protocol) -> Iterator[Cell]:
  """Everything to do, what tells most first: all contestants on one selection, then the next."""
  for seed in protocol.seeds:
    for selection in config.selections or protocol.selections:
      for name in config.contestants or protocol.contestants:
        for target in _targets(name, config.targets or protocol.targets):
          for shots in config.shots or protocol.shots:
            network = CONTESTANTS[name].tuning is not None
            followed = config.curve and _followed(name, shots, selection, protocol)
            last = (protocol.steps if network else 0,)
            for steps in (*last, *(protocol.curve if followed else ())):
              yield Cell(target, name, shots, selection, seed, steps)


def _targets(name: str, targets: Sequence[Code]) -> list[Code]:
  """Those on which a contestant is not the same as another."""
  return [code for code in targets if code in COLOUR_TARGETS or not CONTESTANTS[name].colours]


def _followed(name: str, shots: int, selection: int, protocol: Protocol) -> bool:
  """Whether a contestant's scores are wanted over the steps of adaptation."""
  return (
    name in FOLLOWED and shots in protocol.curve_shots and selection in protocol.curve_selections
  )


def _groups(wanted: Sequence[Cell], index: int, count: int) -> list[list[Cell]]:
  """What one process after another does in the shard: a contestant's cells on one selection.

  All that adapts the same trained parameters is in one shard, so that no two train them.
  """
  groups: dict[tuple, list[Cell]] = {}
  shards: dict[tuple, int] = {}
  for cell in wanted:
    trained = (cell.seed, CONTESTANTS[cell.contestant].training or cell.contestant)
    if shards.setdefault(trained, len(shards) % count) == index - 1:
      groups.setdefault((cell.seed, cell.selection, cell.contestant), []).append(cell)
  return list(groups.values())


def _do_group(group: Sequence[Cell], config: Config, protocol: Protocol, workdir, advance) -> None:
  """In a process of its own, so that its memory is the contestant's, and given back.

  Raises:
    InputError: the process was killed.
  """
  spawn = multiprocessing.get_context('spawn')
  with ProcessPoolExecutor(1, spawn, keep_compiled_programs) as pool:
    for cell in group:
      try:
        result, predictions = pool.submit(_do, cell, config, protocol).result()
      except BrokenProcessPool as error:
        raise InputError(
          f'the process of {cell.file.with_suffix("")} was killed, probably because memory ran out:'
          ' end what else needs memory, or find a machine with more; the same command goes on where'
          ' it stopped'
        ) from error
      if cell.steps in (0, protocol.steps):
        predicted.keep(workdir / cell.file, predictions)
      cells.write(workdir, result)
      advance(1, IoU=float(np.mean(result.iou)))


def _do(cell: Cell, config: Config, protocol: Protocol):
  options = _data_options(config, protocol)
  selections = choose_selections(
    config.selections_file or (None if config.simulated else PAPER),
    targets.load(cell.target, options).grey_set.names,
    cell.target,
    shots=protocol.shots,
    selections=protocol.selections,
    seed=0,
    data_dir=config.data_dir,
  )
  workdir = workdir_of(config.workdir, config.protocol)
  return do_cell(cell, options, protocol, selections, workdir)


def _data_options(config: Config, protocol: Protocol) -> DataOptions:
  return protocols.data_options(
    protocol, simulated=config.simulated, raw_dir=config.raw_dir, data_dir=config.data_dir
  )
