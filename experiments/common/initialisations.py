"""Initialisations to evaluate: random parameters or the checkpoint of a training run."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from experiments.common.options import NetworkOptions, make_network
from experiments.common.runs import has_begun
from experiments.configs import PRESETS
from fscs.data.scaling import DiameterRange
from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints, load_init
from fscs.io.initialisations import TRAINING_COMMANDS, Initialisation, diameter_range_of
from fscs.io.workdirs import CONFIG_FILE, read_config
from fscs.models import Architecture, init_params, widths_of
from fscs.typing import Params

Which = Literal['latest', 'best']
RANDOM = 'random'


class Candidate(NamedTuple):
  """An initialisation to evaluate."""

  name: str  # 'random-normal-s0', or the name of the folder
  objective: str  # of meta-training, or 'transfer', 'none' (random) or 'unknown'
  step: int  # training step of the checkpoint
  digest: str  # hash of the parameters, 8 hexadecimal digits
  params: Params
  diameter_range: DiameterRange | None  # of objects in training; None if unknown


def as_initialisation(candidate: Candidate, architecture: Architecture) -> Initialisation:
  """What `fscs.finetune` starts from; random parameters take the objects of the recipe."""
  known = candidate.diameter_range or PRESETS['recommended']['diameter_range']
  widths = widths_of(architecture, candidate.params)
  return Initialisation(architecture, widths, candidate.params, known, candidate.name)


def run_of(init: str, option: str = 'init') -> dict[str, Any] | None:
  """The configuration of a run; None for 'random' and for folders of `fscs.io.save_init`.

  Raises:
    InputError: `init` is something else.
  """
  folder = Path(init)
  if init == RANDOM or (folder.is_dir() and not (folder / CONFIG_FILE).exists()):
    return None
  if not folder.is_dir():
    raise InputError(
      f'{init}: no such folder; expected the workdir of a run, a folder of fscs.io.save_init, or'
      ' random',
      arguments=(option,),
    )
  run = read_config(folder)
  if run['command'] not in TRAINING_COMMANDS:
    raise InputError(
      f'{init} is a run of {run["command"]}: expected a run of {" or ".join(TRAINING_COMMANDS)}',
      arguments=(option,),
    )
  return run


def load_all(
  inits: Sequence[str], network: NetworkOptions, *, target: str, which: Which
) -> list[Candidate]:
  """`load` all initialisations.

  Raises:
    InputError: as `load`, or two have the same name.
  """
  loaded = [load(init, network, target=target, which=which) for init in inits]
  names = [init.name for init in loaded]
  for name in names:
    if names.count(name) > 1:
      raise InputError(
        f'two initialisations are named {name}: rename one of their folders', arguments=('init',)
      )
  return loaded


def load(
  init: str,
  network: NetworkOptions,
  *,
  target: str,
  which: Which = 'latest',
  option: str = 'init',
) -> Candidate:
  """Read an initialisation, or draw a random one.

  Args:
    init: 'random', the workdir of a run, or a folder written by `fscs.io.save_init`.
    network: the expected network, with the seed of random parameters.
    target: code of the data set to adapt to.
    which: checkpoint of a meta-trained run; supervised runs always use the best one.
    option: where the user gave it, for errors.

  Raises:
    InputError: the network differs, the run has learned from the target, or it has no checkpoint.
  """
  model = make_network(network)
  params = init_params(model, jax.random.fold_in(jax.random.key(network.seed), 0))
  name = Path(init).resolve().name
  if init == RANDOM:
    name = f'{RANDOM}-{network.kernel_init}-s{network.seed}'
    return Candidate(name, 'none', 0, _digest(params), params, None)
  run = run_of(init, option)
  if run is None:
    objective, step, (found, metadata) = 'unknown', 0, load_init(init)
    seen, arch = _learned_from(metadata), metadata.get('architecture', network.arch)
    known = diameter_range_of(metadata)
  else:
    objective, step, found = _read_run(Path(init), run, which)
    seen, arch = _learned_from(run), run['config']['arch']
    known = _diameter_range_of_run(Path(init), run)
  if target in seen:
    raise InputError(
      f'{init} has learned from {target}: choose another target or run',
      arguments=('target', option),
    )
  if arch != network.arch:
    raise InputError(
      f'{init} holds another network: {arch}, not {network.arch}', arguments=('arch', option)
    )
  _check_network(init, found, params, model)
  return Candidate(name, objective, step, _digest(found), found, known)


def learned_before(start: str | None, workdir: Path) -> dict[str, list[str]]:
  """Sources that the initial parameters of a run were trained on; part of its config.json."""
  if start in (None, RANDOM):
    return {}
  if has_begun(workdir):
    return {name: found for name, found in read_config(workdir).items() if name == 'learned_before'}
  run = run_of(start, 'start')
  return {'learned_before': _learned_from(load_init(start)[1] if run is None else run)}


def _learned_from(facts: Mapping[str, Any]) -> list[str]:
  """Sources of a run or stored initialisation, and of the runs that it started from."""
  return [*facts.get('sources', ()), *facts.get('learned_before', ())]


def _diameter_range_of_run(workdir: Path, run: dict[str, Any]) -> DiameterRange | None:
  """As `fscs.io.load_initialisation` reads it: measured on the sources where none was asked for."""
  if (workdir / 'init').is_dir():
    return diameter_range_of(load_init(workdir / 'init')[1])
  return diameter_range_of(run['config'])


def _read_run(workdir: Path, run: dict[str, Any], which: Which) -> tuple[str, int, Params]:
  supervised = run['command'] == 'pretrain'
  folder = workdir / 'checkpoints'
  if not folder.is_dir():
    raise InputError(f'{workdir} has no checkpoint yet: finish its training first')
  with Checkpoints(folder, read_only=True) as checkpoints:
    step = checkpoints.best_step if supervised or which == 'best' else checkpoints.latest_step
    if step is None:
      raise InputError(f'{workdir} has no checkpoint yet: finish its training first')
    params = checkpoints.restore_params(step)
  return 'transfer' if supervised else run['config']['objective'], step, params


def _check_network(init: str, found: Params, wanted: Params, model) -> None:
  """Raises InputError if a parameter of the network is missing or has another shape."""
  shapes = {jax.tree_util.keystr(p): x.shape for p, x in jax.tree_util.tree_leaves_with_path(found)}
  for path, leaf in jax.tree_util.tree_leaves_with_path(wanted):
    name = jax.tree_util.keystr(path)
    if shapes.get(name) != leaf.shape:
      raise InputError(
        f'{init} holds another network: {name} is {shapes.get(name, "missing")} there and'
        f' {leaf.shape} in {type(model).__name__} of widths {model.widths}',
        arguments=('arch', 'widths'),
      )


def _digest(params: Params) -> str:
  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(params):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()[:8]
