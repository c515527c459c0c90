"""Compare methods on the same images; `experiments.report` shows the results.

  python -m experiments.study
  python -m experiments.study --known docs/results/results.jsonl
  python -m experiments.study --protocol=paper --shard=3/40

Every run is a line of results.jsonl in the workdir, so the command goes on where it stopped, and
several of them, on one machine or many, can share the work (--shard).
"""

import dataclasses
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common import data
from experiments.common.options import DataOptions
from experiments.common.results import shard_of
from experiments.common.runs import RUNS
from experiments.common.support_set_files import PAPER
from experiments.study import methods, protocols, store
from experiments.study.methods import COLOUR_TARGETS, METHODS
from experiments.study.protocols import PROTOCOLS, Protocol, Split, Target
from experiments.study.store import Result, Run
from fscs import metrics
from fscs.compilation import keep_compiled_programs
from fscs.data import datasets
from fscs.data.datasets import Code
from fscs.environment import machine
from fscs.errors import InputError
from fscs.io.workdirs import opened_workdir
from fscs.metrics.objects import average_precision
from fscs.progress import progress_bar
from fscs.segmentation.instances import find_objects

LAST_LOSSES = 10


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the study; empty ones mean all that the protocol has."""

  protocol: protocols.Name = 'cpu-small'
  """cpu-small (two cores, many hours), validation (images that cpu-small does not score), smoke, or
  paper (GPU)."""
  workdir: str | None = None
  """Where trainings and results are kept; runs/study for cpu-small and validation, else
  runs/study-PROTOCOL, by default."""
  raw_dir: str | None = None
  """Folder of downloaded archives or unpacked folders; without it data is downloaded."""
  data_dir: str | None = None
  """Folder for prepared data; $FSCS_DATA_DIR or ~/.cache/fscs by default."""
  simulated: bool = False
  """Simulated images instead of the published ones, to try the command."""
  selections_file: str | None = None
  """A file of support sets (.json or .pkl), or paper for the published ones, the default. Those of
  simulated images are random."""
  methods: tuple[str, ...] = ()
  """Only these: otsu, forest, scratch, transfer, combined, fscs-random, fscs, ... (all:
  docs/reference/commands.md)."""
  targets: tuple[Code, ...] = ()
  """Only these data sets."""
  shots: tuple[int, ...] = ()
  """Only these numbers of annotated images."""
  selections: tuple[int, ...] = ()
  """Only these support sets."""
  known: tuple[str, ...] = ()
  """Published files results.jsonl; their results are taken over."""
  curve: bool = True
  """Also follow the score over the steps of adaptation."""
  shard: str | None = None
  """Do only the i-th of n parts (i/n), beside other processes that do the others."""


# What may differ when a study goes on in the same workdir.
_FREE = tuple(field.name for field in dataclasses.fields(Config) if field.name != 'simulated')


class Job(NamedTuple):
  """A run with all that its result depends on."""

  run: Run
  config: str  # digest, see `methods.configuration`
  data: str  # digest of the fingerprints of the data sets
  split: Split
  support: tuple[str, ...]  # names of the annotated images
  images: tuple[str, ...]  # names of the images to score

  def is_of(self, result: Result) -> bool:
    """Whether a result of the same run can be reused. The code version and machine may differ."""
    same_images = (self.support, self.images) == (result.support, result.images)
    return same_images and (self.config, self.data) == (result.config, result.data)


def study(config: Config) -> Path:
  """Do the runs that are missing; returns the workdir."""
  protocol = PROTOCOLS[config.protocol]
  _check(config, protocol)
  workdir = workdir_of(config.workdir, config.protocol)
  shard = shard_of(config.shard)
  options = _data_options(config, protocol)
  runs = list(dict.fromkeys(all_runs(config, protocol)))  # an option may name a thing twice
  names, fingerprints = _read_data_sets(runs, options)
  jobs = list(_jobs(runs, config, protocol, names, fingerprints))
  groups = share(jobs, *shard)
  facts = {'command': 'study'}
  with opened_workdir(workdir, config, facts, free=_FREE, part=config.shard):
    path = store.results_path(workdir, shard)
    mine = {job.run: job for group in groups for job in group}
    done = _done(mine, store.read_all(workdir), workdir)
    for known in map(Path, config.known):
      found = _done(mine, store.read(known), known)
      new = {run: result for run, result in found.items() if run not in done}
      if (predictions := known.with_name(store.PUBLISHED_PREDICTIONS)).exists():
        store.take_over_predictions(predictions, workdir, new)
      store.append(path, new.values())
      done |= new
      print(f'{len(new)} results taken over from {known}')
    with progress_bar('runs', len(mine), len(done)) as advance:
      for group in groups:
        missing = [job for job in group if job.run not in done]
        if missing:
          _do_group(missing, config, fingerprints, path, advance)
  options = f'--protocol={config.protocol} --workdir={workdir}'
  print(f'results: {workdir}; python -m experiments.report {options} shows them')
  return workdir


def workdir_of(workdir: str | None, name: protocols.Name) -> Path:
  """The folder of a study: the one that is given, or one for all protocols of the same sizes."""
  if workdir:
    return Path(workdir)
  same = PROTOCOLS[name].preset == PROTOCOLS[protocols.REPORTED].preset
  return RUNS / ('study' if same else f'study-{name}')


def _check(config: Config, protocol: Protocol) -> None:
  """Raises InputError if an option names what the protocol does not have."""
  choices = {
    'methods': tuple(METHODS),
    'targets': protocol.targets,
    'shots': protocol.shots,
    'selections': protocol.selections,
  }
  for name, known in choices.items():
    for value in getattr(config, name):
      if value not in known:
        raise InputError(
          f'{name}: found {value}, expected one of {" ".join(map(str, known))} with protocol'
          f' {config.protocol}',
          arguments=(name, 'protocol'),
        )


def all_runs(config: Config, protocol: Protocol) -> Iterator[Run]:
  """All runs of a protocol: all methods on one support set of every target, then on the next."""
  for seed in protocol.seeds:
    for selection in config.selections or protocol.selections:
      for name in config.methods or protocol.methods:
        for target in config.targets or protocol.targets:
          if METHODS[name].colours and target not in COLOUR_TARGETS:
            continue
          for shots in config.shots or protocol.shots:
            steps = [methods.final_steps(name, protocol)]
            if config.curve and _is_followed(shots, selection, protocol):
              steps += methods.followed_steps(name, protocol)
            for count in steps:
              yield Run(config.protocol, name, target, shots, selection, seed, count)


def _is_followed(shots: int, selection: int, protocol: Protocol) -> bool:
  return shots in protocol.curve_shots and selection in protocol.curve_selections


def _data_options(config: Config, protocol: Protocol) -> DataOptions:
  return protocols.data_options(
    protocol, simulated=config.simulated, raw_dir=config.raw_dir, data_dir=config.data_dir
  )


def _read_data_sets(
  runs: Sequence[Run], options: DataOptions
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
  """Names of the images, and fingerprints, of the data sets that runs depend on, by code."""
  codes = sorted({code for run in runs for code in methods.depends_on(run.method, run.target)})
  names, fingerprints = {}, {}
  for code in codes:
    image_set = data.load_set(code, options)
    names[code], fingerprints[code] = image_set.names, datasets.fingerprint(image_set)
  return names, fingerprints


def _jobs(
  runs: Iterable[Run],
  config: Config,
  protocol: Protocol,
  names: Mapping[str, Sequence[str]],
  fingerprints: Mapping[str, str],
) -> Iterator[Job]:
  file = config.selections_file or (None if config.simulated else PAPER)
  selections, splits, digests = {}, {}, {}
  for run in runs:
    of_target = names[run.target]
    if run.target not in selections:
      selections[run.target] = protocols.read_selections(
        run.target, of_target, protocol, file, config.data_dir
      )
    place = run.target, run.selection, run.shots
    if place not in splits:
      splits[place] = protocols.split(
        run.target,
        of_target,
        selections[run.target],
        protocol,
        selection=run.selection,
        shots=run.shots,
      )
    if run.method not in digests:
      configuration = methods.configuration(run.method, config.protocol, simulated=config.simulated)
      digests[run.method] = methods.digest(configuration)
    codes = methods.depends_on(run.method, run.target)
    yield Job(
      run,
      digests[run.method],
      methods.digest({code: fingerprints[code] for code in codes}),
      splits[place],
      *(tuple(of_target[i] for i in indices) for indices in splits[place]),
    )


def share(jobs: Iterable[Job], index: int, count: int) -> list[list[Job]]:
  """The jobs of shard `index` (from 1) of `count`, in groups that one process does in turn.

  A group has one method on one support set of every target. All that adapts the same trained
  parameters is in one shard, so that no two shards train them.
  """
  groups: dict[tuple, list[Job]] = {}
  shards: dict[tuple, int] = {}
  for job in jobs:
    run = job.run
    trained = run.seed, METHODS[run.method].training or run.method
    if shards.setdefault(trained, len(shards) % count) == index - 1:
      groups.setdefault((run.seed, run.selection, run.method), []).append(job)
  return list(groups.values())


def _done(jobs: Mapping[Run, Job], results: Iterable[Result], where: Path) -> dict[Run, Result]:
  """Those results that can be reused; a note counts the others."""
  found, outdated = {}, Counter()
  for result in results:
    job = jobs.get(result.run)
    if job and job.is_of(result):
      found[result.run] = result
    elif job:
      outdated['options' if job.config != result.config else 'images'] += 1
  for what, count in outdated.items():
    print(
      f'note: {count} results in {where} are not used: they are of other {what} than now',
      file=sys.stderr,
    )
  return found


def _do_group(
  jobs: Sequence[Job],
  config: Config,
  fingerprints: Mapping[str, str],
  path: Path,
  advance: Callable[..., None],
) -> None:
  """In processes of their own, so that the memory that is measured is the adaptation's.

  Raises:
    InputError: a process was killed.
  """
  commit = store.code_version()
  trained = {
    (job.run.target, job.run.seed): job for job in jobs if METHODS[job.run.method].training
  }
  for job in trained.values():
    with _process() as pool:
      _result_of(pool.submit(train, job, config), job)
  with _process() as pool:
    for job in jobs:
      result = _result_of(pool.submit(do_job, job, config, fingerprints, commit), job)
      store.append(path, [result])
      advance(1, IoU=float(np.mean(result.iou)))


def _process() -> ProcessPoolExecutor:
  return ProcessPoolExecutor(1, multiprocessing.get_context('spawn'), keep_compiled_programs)


def _result_of(future: Future, job: Job) -> Any:
  try:
    return future.result()
  except BrokenProcessPool as error:
    raise InputError(
      f'the process of {job.run} was killed, probably because memory ran out: end other'
      ' programs, or use a machine with more memory; the same command goes on where it stopped'
    ) from error


def train(job: Job, config: Config) -> None:
  """The training on the sources that the method of a job starts from."""
  run, protocol = job.run, PROTOCOLS[config.protocol]
  workdir = workdir_of(config.workdir, config.protocol)
  methods.train(
    run.method, run.target, run.seed, _data_options(config, protocol), protocol, workdir
  )


def do_job(job: Job, config: Config, fingerprints: Mapping[str, str], commit: str) -> Result:
  """Adapt a method to a support set and score it; final predictions are kept in the workdir."""
  run, protocol = job.run, PROTOCOLS[config.protocol]
  options = _data_options(config, protocol)
  workdir = workdir_of(config.workdir, config.protocol)
  target = protocols.load_target(run.target, options)
  start = methods.load_start(
    run.method, run.target, run.seed, options, protocol, workdir, fingerprints
  )
  begin = time.perf_counter()
  learned = methods.learn(
    run.method,
    start,
    protocols.select(target, job.split.support),
    options,
    protocol,
    steps=run.steps,
    seed=run.seed,
  )
  adapted = time.perf_counter()
  test = protocols.select(target, job.split.test)
  probabilities = learned.predict(test)
  predicted = time.perf_counter()
  foreground = probabilities > learned.watershed.threshold
  if run.steps == methods.final_steps(run.method, protocol):
    store.keep_predictions(workdir, run, job.images, foreground)
  losses = learned.losses
  return Result(
    run,
    config=job.config,
    commit=commit,
    data=job.data,
    machine=machine(),
    support=job.support,
    images=job.images,
    iou=_rounded(metrics.iou(foreground, test.grey_set.masks > 0)),
    sections=protocols.sections_to_support(run.target, job.split),
    average_precision=_average_precision(test, probabilities, learned),
    seconds=round(adapted - begin, 2),
    seconds_per_image=round((predicted - adapted) / len(job.images), 4),
    peak_mb=_peak_mb(),
    losses=_rounded([losses[0], np.mean(losses[-LAST_LOSSES:])] if len(losses) else []),
    start=start.digest if start else '',
  )


def _average_precision(
  test: Target, probabilities: np.ndarray, learned: methods.Learned
) -> tuple[float, ...] | None:
  if test.labels is None:
    return None
  pairs = zip(probabilities, test.labels, strict=True)
  return _rounded(
    average_precision(find_objects(found, learned.watershed), truth, (0.5,))[0]
    for found, truth in pairs
  )


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
  return tuple(round(float(value), 5) for value in values)


def _peak_mb() -> float:
  """Of this process so far; the system counts kilobytes on Linux and bytes on macOS."""
  unit = 1e6 if sys.platform == 'darwin' else 1e3
  return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 0)
