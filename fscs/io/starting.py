"""--init of the commands for own images."""

from pathlib import Path

from fscs.errors import InputError
from fscs.io import initialisations as starting_points
from fscs.io.initialisations import DIAMETER_RANGE, Initialisation
from fscs.io.pytorch import params_from_torch
from fscs.io.workdirs import CONFIG_FILE
from fscs.models import Architecture

TORCH_SUFFIXES = ('.pt', '.pth')


def load_start(init: str, seed: int = 0) -> Initialisation:
  """The initialisation that --init names; the seed is that of a random one.

  Raises:
    InputError: it names none, or one that cannot be read.
  """
  if init == 'pretrained':
    return starting_points.pretrained()
  if init == 'random':
    return starting_points.random_initialisation(starting_points.pretrained(), seed)
  path = Path(init)
  if path.suffix in TORCH_SUFFIXES:
    return _of_torch(path)
  if not path.is_dir():
    raise InputError(
      f'{init}: give pretrained, random, the workdir of a training run, or a PyTorch file'
      f' ({", ".join(TORCH_SUFFIXES)})'
    )
  if (path / CONFIG_FILE).exists() and not (path / 'init').is_dir():
    raise InputError(f'{init}: that run has not ended yet: run its command again')
  folder = path / 'init' if (path / 'init').is_dir() else path
  return starting_points.read_initialisation(folder)._replace(name=path.resolve().name)


def _of_torch(path: Path) -> Initialisation:
  """The authors' parameters; batch-norm scales and biases of theirs are kept."""
  if not path.is_file():
    raise InputError(f'{path}: there is no such file')
  try:
    import torch
  except ImportError as error:
    raise InputError(
      f'{path} needs PyTorch to be read: pip install torch, or convert it with'
      ' fscs.params_from_torch where PyTorch is, and keep it with fscs.save_init'
    ) from error
  try:
    state = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # many kinds for one thing: no file of parameters
    raise InputError(
      f'{path} is no PyTorch file of parameters alone'
      f' ({str(error).splitlines()[0][:100]}): save model.state_dict()'
    ) from error
  architecture: Architecture = 'unet' if any('dconv' in name for name in state) else 'fcrn'
  params = params_from_torch(state, architecture)
  widths = starting_points.widths_of(architecture, params)
  return Initialisation(architecture, widths, params, DIAMETER_RANGE, path.stem)
