"""On which terms contestants are compared: which images, how many, how much of everything."""

import dataclasses
from typing import Literal, NamedTuple

from experiments.common.options import Code, DataOptions, from_preset
from experiments.configs import PRESETS
from experiments.study.contestants import COLOURED, COMPARED, CONTESTANTS, OURS, VARIANTS, Tuning

Name = Literal['cpu-small', 'rehearsal', 'paper', 'smoke']


class Protocol(NamedTuple):
  """Sizes, and how much of everything."""

  preset: str  # of the data and of the training commands
  targets: tuple[Code, ...] = ('B5', 'B39', 'ssTEM', 'EM', 'TNBC')
  shots: tuple[int, ...] = (1, 5, 10)
  selections: tuple[int, ...] = (1, 2, 3)
  seeds: tuple[int, ...] = (0,)
  max_test_images: int = 20
  training_steps: int = 1440  # gradient steps on sources
  training_crops: int = 5  # per step
  inner_steps: int = 30  # of an episode, where training is meta-learning
  steps: int = 250  # of adaptation
  batch_size: int = 8
  curve: tuple[int, ...] = (0, 5, 10, 25, 60, 150)  # further numbers of steps, of FOLLOWED
  curve_shots: tuple[int, ...] = (5,)
  curve_selections: tuple[int, ...] = (1,)
  contestants: tuple[str, ...] = (*COMPARED, *COLOURED)
  rehearsal: bool = False  # annotate and score images that 'cpu-small' does not score


def tuning_of(name: str, protocol: Protocol) -> Tuning:
  """How a network adapts under a protocol."""
  preset, tuning = PRESETS[protocol.preset], CONTESTANTS[name].tuning
  if tuning.learning_rate is None:
    tuning = tuning._replace(learning_rate=preset['finetune_lr'])
  if tuning.norm_scale is None:
    tuning = tuning._replace(norm_scale=preset['norm_scale'])
  return tuning


def data_options(
  protocol: Protocol,
  *,
  simulated: bool = False,
  raw_dir: str | None = None,
  data_dir: str | None = None,
) -> DataOptions:
  """How images are read and prepared under a protocol."""
  data = 'simulated' if simulated else 'real'
  options = from_preset(DataOptions, protocol.preset)
  return dataclasses.replace(options, data=data, raw_dir=raw_dir, data_dir=data_dir)


REPORTED, REHEARSAL = 'cpu-small', 'rehearsal'

PROTOCOLS: dict[Name, Protocol] = {
  'cpu-small': Protocol('cpu'),
  'rehearsal': Protocol(
    'cpu',
    shots=(1, 5),
    selections=(0,),
    max_test_images=10,
    curve=(25,),
    curve_selections=(0,),
    contestants=('otsu', 'forest', 'scratch', OURS, *VARIANTS, *COLOURED),
    rehearsal=True,
  ),
  'paper': Protocol(
    'paper',
    selections=tuple(range(1, 11)),
    shots=(1, 3, 5, 7, 10),
    seeds=(0, 1, 2),
    max_test_images=10_000,
    training_steps=84_000,
    steps=1000,
    batch_size=64,
    curve=(0, 5, 10, 25, 60, 150, 250),
    curve_selections=(1, 2, 3),
  ),
  'smoke': Protocol(
    'smoke',
    targets=('TNBC',),
    shots=(1, 3),
    selections=(1,),
    max_test_images=2,
    training_steps=24,
    training_crops=2,
    inner_steps=2,
    steps=3,
    batch_size=2,
    curve=(0, 1),
    curve_shots=(1,),
  ),
}
