"""Who is compared, and how each learns from sources and adapts.

Every contestant that is trained on sources takes the same number of gradient steps there, on as
many annotated crops; see `experiments.study.protocols.Protocol`. Regularisers look at further
crops, whose masks they ignore.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from experiments.common.options import Schedule
from experiments.configs import PRESETS
from fscs.augmentation import AugmentationName
from fscs.data.scaling import DiameterRange
from fscs.losses import PixelLossName
from fscs.models import Architecture, KernelInit
from fscs.optimizers import OptimizerName
from fscs.segmentation.config import Orientations

Threshold = Literal['half', 'annotated']


class Tuning(NamedTuple):
  """How a network adapts to the annotated images; the number of steps is the protocol's."""

  learning_rate: float | None = None  # None: that of the protocol's preset
  schedule: Schedule = 'constant'
  optimizer: OptimizerName = 'adam'
  weight_decay: float = 5e-4
  loss: PixelLossName = 'weighted_bce'
  augmentation: AugmentationName = 'none'
  norm_scale: float | None = 1.0  # None: that of the protocol's preset
  diameter_range: DiameterRange | None = None  # see `fscs.data.scaling.choose_scale`
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
  baseline: str | None = None  # in `experiments.common.baselines`, where there is no network
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
  'reptile-weighted': _reptile(loss='weighted_bce'),
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

# One part of the recipe changed in each; ours-adam is a recipe before, and has several, -free has
# weight decay in training too, and -weighted-tuned is -weighted at another threshold.
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
  'ours-weighted': _ours('weighted cross-entropy', 'reptile-weighted', loss='weighted_bce'),
  'ours-weighted-tuned': _ours(
    'weighted cross-entropy, threshold tuned',
    'reptile-weighted',
    loss='weighted_bce',
    threshold='annotated',
  ),
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
