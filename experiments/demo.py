"""Everything once, on simulated images: meta-train, fine-tune, compare with random initialisation.

  python -m experiments.demo

Minutes on two cores. The target is the simulated TNBC domain, the sources are the other
four. It prints a table of IoU on images that were not annotated and names the pictures to look at.
"""

import dataclasses
from pathlib import Path

from experiments import finetune_eval, meta_train
from experiments.common.options import Code, run
from experiments.configs import Preset


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the demo; the sizes are those of the preset."""

  preset: Preset = 'demo'
  """Sizes; demo is made for this command."""
  target: Code = 'TNBC'
  """The simulated domain to adapt to."""
  workdir: str = 'runs/demo'
  """Where both runs are kept."""


def demo(config: Config) -> None:
  """Run the two commands of the README one after the other."""
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
  print('look at:')
  for path in [*sorted(initialisation.glob('*.png')), *sorted(results.glob('*.png'))]:
    print(f'  {path}')


if __name__ == '__main__':
  run(demo, Config)
