"""Store the initialisation of a training run in the package.

  python -m experiments.ship --init=runs/ssTEM-deep_unet-bce-s0

Writes fscs/pretrained.npz in half precision; docs/model-card.md describes the run.
"""

import dataclasses
from pathlib import Path

import fscs
from experiments.common.options import run
from fscs.io.initialisations import SHIPPED, load_initialisation, write_shipped


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the command."""

  init: str
  """Workdir of a training run."""


def main(config: Config) -> Path:
  """Write the file; returns its path."""
  path = Path(fscs.__file__).parent / SHIPPED
  write_shipped(path, load_initialisation(config.init))
  print(f'{path}: {path.stat().st_size / 1e6:.2f} MB')
  return path


if __name__ == '__main__':
  run(main, Config)
