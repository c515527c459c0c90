"""Where fine-tuning starts: the shipped initialisation, a saved one, or random parameters."""

import dataclasses
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np

from fscs.data.scaling import DiameterRange
from fscs.errors import InputError
from fscs.io.checkpoints import load_init
from fscs.io.pytorch import params_from_torch
from fscs.io.workdirs import CONFIG_FILE, read_config
from fscs.models import Architecture, init_params, make_model, widths_of
from fscs.typing import Params

DEFAULT_DIAMETER_RANGE = (32.0, 32.0)  # if the initialisation does not say
SHIPPED = 'pretrained.npz'
TRAINING_COMMANDS = ('meta_train', 'pretrain')  # whose workdirs hold an initialisation
TORCH_SUFFIXES = ('.pt', '.pth')


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Initialisation:
  """Parameters to start fine-tuning from."""

  architecture: Architecture
  widths: tuple[int, ...]  # channels of the levels
  params: Params  # with or without batch-norm scales and biases
  diameter_range: DiameterRange  # of the training objects, in pixels
  name: str = 'initialisation'

  def __repr__(self) -> str:
    smallest, largest = self.diameter_range
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(self.params))
    return (
      f'Initialisation({self.name}: {self.architecture}, {count:,} parameters, objects of'
      f' {smallest:g} to {largest:g} pixels)'
    )


def load_initialisation(init: str | Path, seed: int = 0) -> Initialisation:
  """An initialisation by name or path.

  Args:
    init: 'pretrained'; 'random'; the folder of a training run or of `save_init`; or a PyTorch file
      of the authors' networks (.pt, .pth).
    seed: of random parameters.

  Raises:
    InputError: there is none, or it cannot be read.
  """
  if init == 'pretrained':
    return pretrained()
  if init == 'random':
    return random_initialisation(pretrained(), seed)
  path = Path(init)
  if path.suffix in TORCH_SUFFIXES:
    return _from_torch(path)
  if not path.is_dir():
    raise InputError(
      f'{init}: expected pretrained, random, the folder of a training run or of'
      f' fscs.io.save_init, or a PyTorch file ({", ".join(TORCH_SUFFIXES)})',
      arguments=('init',),
    )
  if (path / 'init').is_dir():
    return _read_folder(path / 'init', path.resolve().name)
  if (path / CONFIG_FILE).exists():
    command = read_config(path)['command']
    if command not in TRAINING_COMMANDS:
      raise InputError(
        f'{init} is a workdir of {command}: expected one of experiments.meta_train or pretrain',
        arguments=('init',),
      )
    raise InputError(
      f'{init}: the run has not finished; run its command again to resume it', arguments=('init',)
    )
  return _read_folder(path, path.resolve().name)


def pretrained() -> Initialisation:
  """The initialisation that comes with the package; see the model card.

  Raises:
    InputError: this installation has none.
  """
  file = resources.files('fscs') / SHIPPED
  if not file.is_file():
    raise InputError(
      "this installation has no pretrained initialisation: give init='random'", arguments=('init',)
    )
  with file.open('rb') as opened, np.load(opened) as arrays:
    facts = json.loads(str(arrays['facts']))
    params: Params = {}
    for name in arrays.files:
      if name != 'facts':
        *path, leaf = name.split('/')
        branch = params
        for key in path:
          branch = branch.setdefault(key, {})
        branch[leaf] = arrays[name].astype(np.float32)
  return _described(facts['architecture'], params, facts, 'pretrained')


def random_initialisation(like: Initialisation, seed: int = 0) -> Initialisation:
  """The same network with random parameters (He et al., 2015), for comparison."""
  model = make_model(like.architecture, widths=like.widths, kernel_init='he')
  return dataclasses.replace(like, params=init_params(model, jax.random.key(seed)), name='random')


def _read_folder(folder: Path, name: str) -> Initialisation:
  try:
    params, metadata = load_init(folder)
  except InputError as error:
    raise InputError(str(error), arguments=('init',)) from error
  if metadata.get('architecture') not in get_args(Architecture):
    raise InputError(
      f'{folder}: found the architecture {metadata.get("architecture")!r} in the metadata, expected'
      f' one of {", ".join(get_args(Architecture))}; give another initialisation',
      arguments=('init',),
    )
  return _described(metadata['architecture'], params, metadata, name)


def _described(
  architecture: Architecture, params: Params, metadata: Mapping[str, Any], name: str
) -> Initialisation:
  diameter_range = diameter_range_of(metadata) or DEFAULT_DIAMETER_RANGE
  return Initialisation(architecture, widths_of(architecture, params), params, diameter_range, name)


def diameter_range_of(metadata: Mapping[str, Any]) -> DiameterRange | None:
  """Range of the training objects' diameters, from the metadata; None if they do not state it."""
  if (single := metadata.get('object_diameter')) is not None:  # of old runs
    return float(single), float(single)
  if (pair := metadata.get('diameter_range')) is None:
    return None
  return float(pair[0]), float(pair[1])


def _from_torch(path: Path) -> Initialisation:
  """Convert a state dict of the paper's authors, with or without affine batch norm."""
  if not path.is_file():
    raise InputError(f'{path}: no such file; correct the path', arguments=('init',))
  try:
    import torch
  except ImportError as error:
    raise InputError(
      f'{path} needs PyTorch: pip install torch, or convert it elsewhere with'
      ' fscs.io.params_from_torch and fscs.io.save_init',
      arguments=('init',),
    ) from error
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # PyTorch raises many kinds for files it cannot read
    reason = (str(error) or type(error).__name__).splitlines()[0]
    raise InputError(
      f'{path} is not a PyTorch state dict ({reason[:100]}): save model.state_dict()',
      arguments=('init',),
    ) from error
  names = map(str, state) if isinstance(state, Mapping) else ()
  architecture: Architecture = 'unet' if any('dconv' in name for name in names) else 'fcrn'
  try:
    params = params_from_torch(state, architecture)
  except InputError as error:
    raise InputError(f'{path}: {error}', arguments=('init',)) from error
  return _described(architecture, params, {}, path.stem)


def write_shipped(path: Path, initialisation: Initialisation) -> None:
  """Write the initialisation that ships with the package, in half precision."""
  arrays = {
    '/'.join(key.key for key in place): np.asarray(leaf, np.float16)
    for place, leaf in jax.tree_util.tree_leaves_with_path(initialisation.params)
  }
  facts = {
    'architecture': initialisation.architecture,
    'diameter_range': initialisation.diameter_range,
  }
  np.savez_compressed(path, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]
