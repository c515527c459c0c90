"""What fine-tuning can start from: the shipped initialisation, a saved one, or random kernels."""

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import numpy as np

from fscs.data.scaling import DiameterRange
from fscs.errors import InputError
from fscs.io.checkpoints import load_init
from fscs.models import Architecture, init_params, make_model
from fscs.typing import Params

DIAMETER_RANGE = (32.0, 32.0)  # where an initialisation does not say what it knows
SHIPPED = 'pretrained.npz'


class Initialisation(NamedTuple):
  """Where fine-tuning starts."""

  architecture: Architecture
  widths: tuple[int, ...]
  params: Params  # with or without batch-norm scales and biases
  diameter_range: DiameterRange  # of the objects that it has learned from
  name: str = 'initialisation'


def random_initialisation(like: Initialisation, seed: int = 0) -> Initialisation:
  """The same network with He's kernels and nothing learned, for comparison."""
  model = make_model(like.architecture, widths=like.widths, kernel_init='he')
  return like._replace(params=init_params(model, jax.random.key(seed)), name='random')


def read_initialisation(folder: str | Path) -> Initialisation:
  """What `fscs.save_init` wrote, or the `init` folder of a training run.

  Raises:
    InputError: there is none, or it does not say which network it is of.
  """
  params, metadata = load_init(folder)
  architecture = metadata.get('architecture')
  if architecture not in get_args(Architecture):
    raise InputError(f'{folder} does not say which network it is of: it cannot be used')
  return Initialisation(
    architecture,
    widths_of(architecture, params),
    params,
    diameter_range_of(metadata) or DIAMETER_RANGE,
    Path(folder).resolve().name,
  )


def diameter_range_of(facts: Mapping[str, Any]) -> DiameterRange | None:
  """The objects that an initialisation or a run knows, as its metadata or options say; or None."""
  if (only := facts.get('object_diameter')) is not None:  # how it was written once
    return float(only), float(only)
  if (both := facts.get('diameter_range')) is None:
    return None
  return float(both[0]), float(both[1])


def widths_of(architecture: Architecture, params: Params) -> tuple[int, ...]:
  """Channels of the levels, as the parameters' shapes tell.

  Raises:
    InputError: a layer is missing.
  """
  if architecture == 'fcrn':
    layers = [('conv1',), ('conv2',), ('conv3',), ('conv4',)]
  else:
    depth = sum(name.startswith('down') for name in params)
    layers = [(f'down{level}', 'conv2') for level in range(1, max(depth, 1) + 1)]
  try:
    return tuple(_at(params, path)['kernel'].shape[-1] for path in layers)
  except KeyError as error:
    raise InputError(f'the parameters are not of {architecture}: {error} is missing') from error


def _at(tree: Params, path: tuple[str, ...]) -> Params:
  for name in path:
    tree = tree[name]
  return tree


def pretrained() -> Initialisation:
  """The initialisation that comes with the package; see `docs/model-card.md`.

  Raises:
    InputError: this installation has none.
  """
  file = resources.files('fscs') / SHIPPED
  if not file.is_file():
    raise InputError('this installation has no pretrained initialisation: give --init, or random')
  with file.open('rb') as opened, np.load(opened) as arrays:
    facts = json.loads(str(arrays['facts']))
    params: Params = {}
    for name in arrays.files:
      if name != 'facts':
        *path, leaf = name.split('/')
        _branch(params, path)[leaf] = arrays[name].astype(np.float32)
  return Initialisation(
    facts['architecture'],
    widths_of(facts['architecture'], params),
    params,
    diameter_range_of(facts) or DIAMETER_RANGE,
    'pretrained',
  )


def ship(path: Path, initialisation: Initialisation) -> None:
  """Write an initialisation as the package's, in half precision."""
  arrays = {
    '/'.join(key.key for key in place): np.asarray(leaf, np.float16)
    for place, leaf in jax.tree_util.tree_leaves_with_path(initialisation.params)
  }
  facts = {
    'architecture': initialisation.architecture,
    'diameter_range': initialisation.diameter_range,
  }
  np.savez_compressed(path, facts=json.dumps(facts), **arrays)


def _branch(tree: Params, path: list[str]) -> Params:
  for name in path:
    tree = tree.setdefault(name, {})
  return tree
