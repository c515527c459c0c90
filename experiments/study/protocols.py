"""Who is compared, and on which terms: everything that the figures of a study depend on.

Every contestant that is trained on sources takes the same number of gradient steps there, on as
many crops; see `Protocol`.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from experiments.options import Code, Schedule
from fscs.augmentation import AugmentationName
from fscs.losses import PixelLossName
from fscs.models import Architecture, KernelInit

Name = Literal['cpu-small', 'paper', 'smoke']


class Tuning(NamedTuple):
  """How a network adapts to the annotated images; the number of steps is the protocol's."""

  learning_rate: float
  schedule: Schedule = 'constant'
  loss: PixelLossName = 'weighted_bce'
  augmentation: AugmentationName = 'none'
  norm_scale: float = 1.0


class Contestant(NamedTuple):
  """A way from annotated images to predictions."""

  label: str  # in tables
  arch: Architecture = 'fcrn'
  kernel_init: KernelInit = 'normal'
  training: tuple[str, Mapping[str, Any]] | None = None  # command and its options
  tuning: Tuning | None = None  # None: no network, see `experiments.baselines`


class Protocol(NamedTuple):
  """Sizes, and how much of everything."""

  preset: str  # of the data and of the training commands
  targets: tuple[Code, ...] = ('B5', 'B39', 'ssTEM', 'EM', 'TNBC')
  shots: tuple[int, ...] = (1, 5, 10)
  selections: tuple[int, ...] = (1, 2, 3)
  seeds: tuple[int, ...] = (0,)
  max_test_images: int = 20
  training_steps: int = 2400  # gradient steps on sources
  training_crops: int = 5  # per step
  inner_steps: int = 30  # of an episode, where training is meta-learning
  steps: int = 250  # of adaptation
  batch_size: int = 8
  curve: tuple[int, ...] = (0, 5, 10, 25, 60, 150)  # further numbers of steps, for K in curve_shots
  curve_shots: tuple[int, ...] = (5,)


# Chosen on rehearsals that share no image with the reported ones; see docs/study.md.
_PAPER = Tuning(learning_rate=1e-2)
_STRONG = Tuning(1e-3, 'cosine', 'bce_dice', 'mild')

CONTESTANTS: dict[str, Contestant] = {
  'otsu': Contestant("Otsu's threshold"),
  'forest': Contestant('random forest'),
  'random-normal': Contestant('random, N(0, 1)', tuning=_PAPER),
  'random-he': Contestant('random, He', kernel_init='he', tuning=_PAPER),
  'transfer': Contestant('transfer', training=('pretrain', {}), tuning=_PAPER),
  **{
    objective: Contestant(
      f'meta-learned, {objective}',
      training=('meta_train', {'objective': objective}),
      tuning=_PAPER,
    )
    for objective in ('bce', 'bce_entropy', 'bce_distillation', 'combined')
  },
  'scratch': Contestant('strong scratch', kernel_init='he', tuning=_STRONG),
  'unet-normal': Contestant('U-Net, random, N(0, 1)', arch='unet', tuning=_PAPER),
  'unet-he': Contestant('U-Net, random, He', arch='unet', kernel_init='he', tuning=_PAPER),
}

OURS = 'recommended'

# Those whose score is followed over the steps of adaptation.
FOLLOWED = ('scratch', 'transfer')

PROTOCOLS: dict[Name, Protocol] = {
  'cpu-small': Protocol('cpu'),
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
  ),
  'smoke': Protocol(
    'smoke',
    targets=('TNBC',),
    shots=(1, 2),
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
