"""Who is compared, and on which terms: everything that the figures of a study depend on.

Every contestant that is trained on sources takes the same number of gradient steps there, on as
many annotated crops; see `Protocol`. Regularisers look at further crops, whose masks they ignore.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from experiments.options import Code, DataOptions, Schedule, from_preset
from experiments.presets import PRESETS
from fscs.augmentation import AugmentationName
from fscs.losses import PixelLossName
from fscs.models import Architecture, KernelInit
from fscs.optimizers import OptimizerName
from fscs.own_images import DiameterRange
from fscs.predict import Orientations

Threshold = Literal['half', 'annotated']
Name = Literal['cpu-small', 'rehearsal', 'paper', 'smoke']


class Tuning(NamedTuple):
  """How a network adapts to the annotated images; the number of steps is the protocol's."""

  learning_rate: float | None = None  # None: that of the protocol's preset
  schedule: Schedule = 'constant'
  optimizer: OptimizerName = 'adam'
  weight_decay: float = 5e-4
  loss: PixelLossName = 'weighted_bce'
  augmentation: AugmentationName = 'none'
  norm_scale: float | None = 1.0  # None: that of the protocol's preset
  diameter_range: DiameterRange | None = None  # see `fscs.own_images.choose_scale`
  stretch: bool = False  # grey values of every image
  keep_statistics: bool = False  # images are normalised by those of the annotated ones' crops
  orientations: Orientations = 1  # predictions are means over
  forest_share: float = 0.0  # of a pixel forest in predictions
  threshold: Threshold = 'half'  # of foreground: 0.5, or the best on the annotated images


class Training(NamedTuple):
  """A training on the sources, all data sets but the target."""

  command: Literal['pretrain', 'meta_train']
  options: Mapping[str, Any]  # beside those of the protocol's preset
  kernel_init: KernelInit = 'he'
  inner_steps: int | None = None  # of an episode, if the protocol has more


class Contestant(NamedTuple):
  """A way from annotated images to predictions."""

  label: str  # in tables
  tuning: Tuning | None = None  # None: no network
  baseline: str | None = None  # in `experiments.baselines`, where there is no network
  training: str | None = None  # name in `TRAININGS`; None: random parameters
  kernel_init: KernelInit = 'he'  # of random parameters
  arch: Architecture = 'fcrn'
  colours: bool = False  # sees grey values that are learned from colours, in place of the luma


OURS = 'recommended'
OBJECTIVES = ('bce', 'bce_entropy', 'bce_distillation', 'combined')
_RECIPE = PRESETS['recommended']


def _of_recipe(*names: str) -> dict[str, Any]:
  return {name: _RECIPE[name] for name in names}


_LEARNING = _of_recipe('optimizer', 'weight_decay', 'loss', 'augmentation', 'diameter_range')
_ADAM = {'optimizer': 'adam', 'weight_decay': 5e-4}


def _reptile(**changes) -> Training:
  options = _LEARNING | _of_recipe('objective', 'inner_lr', 'meta_schedule', 'kernel_norms')
  return Training('meta_train', options | changes, inner_steps=_RECIPE['num_inner_steps'])


def _supervised() -> Training:
  options = _LEARNING | _of_recipe('pretrain_lr', 'pretrain_schedule', 'batches', 'kernel_norms')
  return Training('pretrain', options)


TRAININGS: dict[str, Training] = {
  'transfer': Training('pretrain', {}, 'normal'),
  **{name: Training('meta_train', {'objective': name}, 'normal') for name in OBJECTIVES},
  OURS: _reptile(),
  'reptile-fcrn': _reptile(),
  'reptile-adam': _reptile(**_ADAM, inner_lr=3e-3, kernel_norms='free'),
  'reptile-free': _reptile(kernel_norms='free', weight_decay=5e-4),
  'reptile-unsized': _reptile(diameter_range=None),
  'reptile-strong': _reptile(augmentation='strong'),
  'supervised': _supervised(),
}

_PAPER = Tuning(norm_scale=None)
_STRONG = Tuning(1e-3, 'cosine', loss='bce_dice', augmentation='mild')
_TUNING = Tuning(
  *(_RECIPE[f'finetune_{name}'] for name in ('lr', 'schedule')),
  **_LEARNING,
  keep_statistics=_RECIPE['statistics'] == 'support',
  **_of_recipe('orientations', 'forest_share'),
)


def _ours(label: str, training: str | None = OURS, **changes) -> Contestant:
  """The recipe, or with another training or tuning."""
  tuning = _TUNING._replace(**changes)
  return Contestant(label, tuning, training=training, arch=_RECIPE['arch'])


CONTESTANTS: dict[str, Contestant] = {
  'otsu': Contestant("Otsu's threshold", baseline='otsu'),
  'forest': Contestant('random forest', baseline='forest'),
  'forest-tuned': Contestant('random forest, threshold tuned', baseline='forest-tuned'),
  'scratch': Contestant('strong scratch', _STRONG),
  'transfer': Contestant('transfer', _PAPER, training='transfer'),
  **{name: Contestant(f'meta-learned, {name}', _PAPER, training=name) for name in OBJECTIVES},
  'combined-tuned': Contestant(
    'meta-learned, combined, threshold tuned',
    _PAPER._replace(threshold='annotated'),
    training='combined',
  ),
  'random-normal': Contestant('random, N(0, 1)', _PAPER, kernel_init='normal'),
  'random-he': Contestant('random, He', _PAPER),
  'unet-normal': Contestant('U-Net, random, N(0, 1)', _PAPER, kernel_init='normal', arch='unet'),
  'unet-he': Contestant('U-Net, random, He', _PAPER, arch='unet'),
  'ours-random': _ours('ours, from random parameters', None),
  OURS: _ours('ours'),
}

# One change of the recipe each; ours-adam is a recipe before, and has several.
ABLATIONS: dict[str, Contestant] = {
  'ours-network': _ours('the network without the forest', forest_share=0.0),
  'ours-fcrn': Contestant('FCRN', _TUNING, training='reptile-fcrn'),
  'ours-free': _ours('kernels that shrink', 'reptile-free'),
  'ours-adam': _ours('Adam, and kernels that shrink', 'reptile-adam', **_ADAM, learning_rate=3e-3),
  'ours-slower': _ours('a third of the learning rate', learning_rate=1e-2),
  'ours-stretched': _ours('grey values of every image stretched', stretch=True),
  'ours-own-statistics': _ours("every image's own statistics", keep_statistics=False),
  'ours-one-orientation': _ours('one orientation', orientations=1),
  'ours-unsized': _ours('images as they are', 'reptile-unsized', diameter_range=None),
  'ours-supervised': _ours('supervised training', 'supervised'),
  'ours-strong': _ours('training with strong augmentation', 'reptile-strong'),
  'ours-plain': _ours('fine-tuning without augmentation', augmentation='none'),
}
COMPARED = (*CONTESTANTS, 'ours-adam')
COLOURED: dict[str, Contestant] = {
  f'{name}-colours': CONTESTANTS[name]._replace(
    label=f'{CONTESTANTS[name].label}, learned from colours', colours=True
  )
  for name in ('otsu', 'forest', 'scratch', 'ours-random', OURS)
}
COLOUR_TARGETS = ('TNBC',)  # the others are grey, and nothing is to be learned
CONTESTANTS |= ABLATIONS | COLOURED
VARIANTS = ('ours-random', *ABLATIONS)  # of the recipe, and so none of those it competes with

# Those whose score is followed over the steps of adaptation.
FOLLOWED = (
  'scratch',
  'transfer',
  'ours-random',
  'ours-network',
  'ours-free',
  'ours-adam',
  'ours-supervised',
  OURS,
)


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
