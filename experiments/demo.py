"""Meta-train and fine-tune on simulated images, and compare with random initialisation.

  python -m experiments.demo

Takes minutes on two cores. The target is the simulated TNBC domain; the sources are the other four.
It prints the IoU on the test images and the paths of the pictures.
"""

import dataclasses
from pathlib import Path

from experiments import finetune_eval, meta_train
from experiments.common.options import run
from experiments.configs import Preset
from fscs.data.datasets import Code


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the demo."""

  preset: Preset = 'demo'
  """Sizes of networks, crops and training."""
  target: Code = 'TNBC'
  """The simulated data set to adapt to."""
  workdir: str = 'runs/demo'
  """Folder of both runs."""


def demo(config: Config) -> None:
  """Run meta_train and finetune_eval."""
  workdir = Path(config.workdir)
  training = meta_train.Config(
    preset=config.preset,
    data='simulated',
    target=config.target,
    workdir=str(workdir / 'meta_train'),
  )
  initialisation = meta_train.meta_train(training)
  evaluation = finetune_eval.Config(
    preset=config.preset,
    data='simulated',
    target=config.target,
    init=(str(initialisation), 'random'),
    shots=(1, 5),
    selections=(1, 2),
    workdir=str(workdir / 'finetune_eval'),
  )
  results = finetune_eval.finetune_eval(evaluation)
  print('pictures:')
  for path in [*sorted(initialisation.glob('*.png')), *sorted(results.glob('*.png'))]:
    print(f'  {path}')


if __name__ == '__main__':
  run(demo, Config)
