"""Initialisations to fine-tune: random parameters, or the checkpoint of a training run."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from experiments.options import NetworkOptions, make_network
from experiments.runs import read_config
from fscs.checkpoint import Checkpoints
from fscs.errors import InputError
from fscs.models import init_params
from fscs.types import Params

Which = Literal['latest', 'best']
RANDOM = 'random'


class Initialisation(NamedTuple):
  """Parameters to start fine-tuning from, without batch-norm scales and biases."""

  name: str  # 'random-normal-s0', or the name of the run's folder
  objective: str  # of the training: 'none', 'transfer' or one of meta-training's
  step: int  # of the checkpoint
  params: Params


def run_of(init: str) -> dict[str, Any] | None:
  """The configuration of a run's folder; None for 'random'.

  Raises:
    InputError: `init` is neither.
  """
  return None if init == RANDOM else read_config(Path(init))


def load(
  init: str, network: NetworkOptions, *, target: str, which: Which = 'latest'
) -> Initialisation:
  """Read, or draw, an initialisation.

  Args:
    init: 'random' or the workdir of a run.
    network: the network that is wanted; its seed is that of random parameters.
    target: code of the data set to adapt to; the run must not have learned from it.
    which: checkpoint of a meta-trained run; supervised runs always give their best.

  Raises:
    InputError: the run has another network, has seen the target, or has no checkpoint.
  """
  model = make_network(network)
  params = init_params(model, jax.random.fold_in(jax.random.key(network.seed), 0))
  if init == RANDOM:
    return Initialisation(f'{RANDOM}-{network.kernel_init}-s{network.seed}', 'none', 0, params)
  run = run_of(init)
  config = run['config']
  for name in ('arch', 'widths'):
    found, wanted = config[name], getattr(network, name)
    if found != (list(wanted) if isinstance(wanted, tuple) else wanted):
      raise InputError(f'--init={init} was trained with --{name}={found}, found --{name}={wanted}')
  if target in run['sources']:
    raise InputError(f'--init={init} has learned from {target}: choose another --target or run')
  supervised = run['command'] == 'pretrain'
  folder = Path(init) / 'checkpoints'
  if not folder.is_dir():
    raise InputError(f'--init={init} has no checkpoint yet: finish its training first')
  with Checkpoints(folder) as checkpoints:
    step = checkpoints.best_step if supervised or which == 'best' else checkpoints.latest_step
    if step is None:
      raise InputError(f'--init={init} has no checkpoint yet: finish its training first')
    restored = checkpoints.restore_params(step)
  objective = 'transfer' if supervised else config['objective']
  return Initialisation(Path(init).resolve().name, objective, step, restored)
