"""The methods of the study: what each is, and how it learns from annotated images.

Every method that is trained on sources takes the protocol's number of gradient steps there, on as
many annotated crops per step. Regularisers look at further crops, whose masks they ignore.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments import meta_train, pretrain
from experiments.common import initialisations
from experiments.common.cluster import ClusterOptions
from experiments.common.data import finetune_stride
from experiments.common.finetuning import FineTuning, make_finetune, make_predict
from experiments.common.initialisations import Candidate
from experiments.common.options import (
  DataOptions,
  NetworkOptions,
  Schedule,
  learning_rate,
  make_network,
)
from experiments.configs import PRESETS
from experiments.study.protocols import PROTOCOLS, Name, Protocol, Target
from fscs.augmentation import AugmentationName, make_augment
from fscs.data.channels import choose_channel, weighted_sum
from fscs.data.datasets import CODES
from fscs.data.intensity import stretch
from fscs.errors import InputError
from fscs.io.workdirs import PLACES, read_config, require_config
from fscs.losses import PIXEL_LOSSES, PixelLossName
from fscs.models import Architecture, KernelInit, with_affine_norms
from fscs.optimizers import inner_optimizer
from fscs.segmentation.baselines import (
  BASELINES,
  WIDE_THRESHOLDS,
  best_threshold,
  with_threshold,
)
from fscs.segmentation.config import FineTuningConfig, Orientations
from fscs.segmentation.finetuning import finetune_and_validate
from fscs.segmentation.instances import Watershed, default_watershed

FSCS, PAPER = 'fscs', 'combined'  # this package's method, and that of the paper
COLOUR_SUFFIX = '-colours'  # of the names of methods that see colours


class Training(NamedTuple):
  """A training on the sources: all data sets but the target."""

  command: Literal['meta_train', 'pretrain']
  recommended: bool = False  # options of the preset `recommended`; else those of the protocol's
  options: Mapping[str, Any] = {}  # besides those of the preset


class Tuning(NamedTuple):
  """The paper's fine-tuning; None stands for the value of the protocol's preset."""

  learning_rate: float | None = None
  norm_scale: float | None = None
  schedule: Schedule = 'constant'
  weight_decay: float = 5e-4
  loss: PixelLossName = 'weighted_bce'
  augmentation: AugmentationName = 'none'
  threshold: Literal['half', 'annotated'] = 'half'  # 0.5, or the best on the annotated images


class Product(NamedTuple):
  """Fine-tuning as `fscs.finetune` does it; None stands for its default."""

  orientations: Orientations | None = None


class Method(NamedTuple):
  """A way from annotated images to a segmentation."""

  label: str  # in tables
  description: str
  adaptation: Tuning | Product | str  # a string is a name in `fscs.segmentation.baselines`
  training: str | None = None  # name in `TRAININGS`; None: random parameters
  arch: Architecture = 'fcrn'
  kernel_init: KernelInit = 'he'
  colours: bool = False  # sees the colours of RGB images, where others see their luma
  version: int = 1  # to be raised when code, and no option, changes the results


TRAININGS: dict[str, Training] = {
  'transfer': Training('pretrain'),
  'bce': Training('meta_train', options={'objective': 'bce'}),
  'bce_entropy': Training('meta_train', options={'objective': 'bce_entropy'}),
  'bce_distillation': Training('meta_train', options={'objective': 'bce_distillation'}),
  'combined': Training('meta_train', options={'objective': 'combined'}),
  'fscs': Training('meta_train', recommended=True),
  'fscs-supervised': Training('pretrain', recommended=True),
  'fscs-fcrn': Training('meta_train', recommended=True),
}

_FROM_SCRATCH = Tuning(1e-3, 1.0, 'cosine', loss='bce_dice', augmentation='mild')


def _of_paper(name: str, losses: str) -> Method:
  """The paper's network, meta-learned with the objective of this name."""
  description = f"FCRN, Reptile with {losses}; the paper's fine-tuning"
  return Method(f'meta-learned ({name})', description, Tuning(), name, kernel_init='normal')


def _of_product(
  label: str,
  description: str,
  training: str | None = 'fscs',
  arch: Architecture = 'deep_unet',
  orientations: Orientations | None = None,
) -> Method:
  return Method(label, description, Product(orientations), training, arch)


METHODS: dict[str, Method] = {
  'otsu': Method(
    "Otsu's threshold",
    "Otsu's threshold of every image; bright or dark, whichever fits the annotated images",
    'otsu',
  ),
  'forest': Method(
    'random forest',
    'random forest of pixels on multiscale intensity, edges and texture (scikit-image)',
    'forest',
  ),
  'forest-tuned': Method(
    'random forest (tuned threshold)',
    'random forest, cut at the threshold of highest IoU on annotated pixels held out',
    'forest-tuned',
  ),
  'scratch': Method(
    'from scratch (tuned)',
    "FCRN from He's random kernels: cross-entropy + Dice, Adam, augmentation, cosine schedule",
    _FROM_SCRATCH,
  ),
  'transfer': Method(
    'transfer',
    "FCRN after supervised training on the sources; the paper's fine-tuning",
    Tuning(),
    'transfer',
    kernel_init='normal',
  ),
  'bce': _of_paper('bce', 'weighted cross-entropy'),
  'bce_entropy': _of_paper('bce_entropy', 'cross-entropy and entropy regularisation'),
  'bce_distillation': _of_paper('bce_distillation', 'cross-entropy and distillation'),
  'combined': _of_paper('combined', "all three losses (the paper's method)"),
  'combined-tuned': Method(
    'meta-learned (combined, tuned threshold)',
    "the paper's method, cut at the threshold of highest IoU on the annotated images",
    Tuning(threshold='annotated'),
    'combined',
    kernel_init='normal',
  ),
  'random-normal': Method(
    'random, N(0, 1)',
    "FCRN from the paper's random kernels; the paper's fine-tuning",
    Tuning(),
    kernel_init='normal',
  ),
  'random-he': Method(
    'random, He', "FCRN from He's random kernels; the paper's fine-tuning", Tuning()
  ),
  'unet-normal': Method(
    'U-Net, random, N(0, 1)',
    "U-Net from the paper's random kernels; the paper's fine-tuning",
    Tuning(),
    arch='unet',
    kernel_init='normal',
  ),
  'unet-he': Method(
    'U-Net, random, He',
    "U-Net from He's random kernels; the paper's fine-tuning",
    Tuning(),
    arch='unet',
  ),
  'fscs-random': _of_product(
    'fscs, random initialisation', "`fscs.finetune` from He's random kernels", training=None
  ),
  'fscs-supervised': _of_product(
    'fscs, supervised training',
    '`fscs.finetune` after supervised training on the sources',
    'fscs-supervised',
  ),
  'fscs-fcrn': _of_product('fscs, FCRN', '`fscs.finetune` of an FCRN', 'fscs-fcrn', 'fcrn'),
  'fscs-one-orientation': _of_product(
    'fscs, one orientation', '`fscs.finetune(orientations=1)`', orientations=1
  ),
  'fscs': _of_product(
    'fscs', '`fscs.finetune` after `meta_train --preset=recommended` on the sources'
  ),
}
METHODS |= {
  f'{name}{COLOUR_SUFFIX}': METHODS[name]._replace(
    label=f'{METHODS[name].label}, colours', colours=True
  )
  for name in ('otsu', 'forest', 'scratch', 'fscs-random', 'fscs')
}
COLOUR_TARGETS = ('TNBC',)  # all others are grey


def depends_on(name: str, target: str) -> tuple[str, ...]:
  """The data sets that a result depends on."""
  return CODES if METHODS[name].training else (target,)


def final_steps(name: str, protocol: Protocol) -> int:
  """Steps of adaptation; 0 for methods that take none."""
  adaptation = METHODS[name].adaptation
  if isinstance(adaptation, Tuning):
    return protocol.steps
  return protocol.fscs.steps if isinstance(adaptation, Product) else 0


def followed_steps(name: str, protocol: Protocol) -> tuple[int, ...]:
  """Further numbers of steps at which a method is scored, to draw a curve.

  `fscs.finetune` takes one step at least.
  """
  if name not in protocol.followed:
    return ()
  least = 1 if isinstance(METHODS[name].adaptation, Product) else 0
  return tuple(steps for steps in protocol.curve if least <= steps < final_steps(name, protocol))


# Options that decide where and how fast something is computed, and not what.
_NOT_DECIDING = {
  *PLACES,
  *(field.name for field in dataclasses.fields(ClusterOptions)),
  *('preset', 'lowering', 'task_axis'),
}
_OF_RUN = {'target', 'seed'}  # they are told apart anyway


def configuration(name: str, protocol_name: Name, *, simulated: bool) -> dict[str, Any]:
  """Everything that decides the result of a method under a protocol, as JSON values.

  Options that are not set are left out, so that a new one does not change the others.
  """
  method, protocol = METHODS[name], PROTOCOLS[protocol_name]
  options = DataOptions(preset=protocol.preset, data='simulated' if simulated else 'real')
  content: dict[str, Any] = {
    'version': method.version,
    'colours': method.colours,
    'adaptation': _adaptation(name, protocol),
    'data': dataclasses.asdict(options),
    'protocol': {
      'shots': protocol.shots,
      'max_test_images': protocol.max_test_images,
      'validation': protocol.validation,
    },
  }
  if not isinstance(method.adaptation, str):
    content['network'] = {'arch': method.arch, 'kernel_init': method.kernel_init}
  if method.training:
    training = training_config(name, protocol, options, target=CODES[0], seed=0)
    command = TRAININGS[method.training].command
    content['training'] = {'command': command, **dataclasses.asdict(training)}
  return json.loads(json.dumps(_deciding(content)))


def _adaptation(name: str, protocol: Protocol) -> dict[str, Any]:
  adaptation = METHODS[name].adaptation
  if isinstance(adaptation, Tuning):
    return {**_with_preset(adaptation, protocol)._asdict(), 'batch_size': protocol.batch_size}
  if isinstance(adaptation, Product):
    config = dataclasses.asdict(_fine_tuning_config(name, protocol))
    return {**config, 'diameter_range': PRESETS['recommended']['diameter_range']}
  return {'baseline': adaptation}


def _deciding(content: Mapping[str, Any]) -> dict[str, Any]:
  kept = {}
  for key, value in content.items():
    if isinstance(value, Mapping):
      kept[key] = _deciding(value)
    elif value is not None and key not in _NOT_DECIDING | _OF_RUN:
      kept[key] = value
  return kept


def digest(content: Any) -> str:
  """12 hexadecimal digits of JSON values."""
  text = json.dumps(content, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_preset(tuning: Tuning, protocol: Protocol) -> Tuning:
  preset = PRESETS[protocol.preset]
  if tuning.learning_rate is None:
    tuning = tuning._replace(learning_rate=preset['finetune_lr'])
  if tuning.norm_scale is None:
    tuning = tuning._replace(norm_scale=preset['norm_scale'])
  return tuning


def _fine_tuning_config(name: str, protocol: Protocol, **changes: Any) -> FineTuningConfig:
  orientations = METHODS[name].adaptation.orientations or protocol.fscs.orientations
  return dataclasses.replace(protocol.fscs, orientations=orientations, **changes)


def training_config(
  name: str,
  protocol: Protocol,
  options: DataOptions,
  *,
  target: str,
  seed: int,
  workdir: str | None = None,
) -> meta_train.Config | pretrain.Config:
  """The options of the command that trains a method on the sources."""
  training = TRAININGS[METHODS[name].training]
  values = {
    **dataclasses.asdict(options),
    **dataclasses.asdict(_network_options(name, seed)),
    **training.options,
    'target': target,
    'workdir': workdir,
  }
  if training.recommended:
    values['preset'] = 'recommended'
  command = pretrain if training.command == 'pretrain' else meta_train
  config = command.Config(**values)
  return dataclasses.replace(config, **_length(config, protocol))


def _length(config: meta_train.Config | pretrain.Config, protocol: Protocol) -> dict[str, Any]:
  """Options that give the protocol's number of gradient steps, on as many crops each.

  Raises:
    InputError: whole meta-epochs do not make this number.
  """
  steps = protocol.training_steps
  if isinstance(config, pretrain.Config):
    return {
      'pretrain_steps': steps,
      'pretrain_epochs': steps,  # a pass over all crops takes one step at least
      'pretrain_batch_size': protocol.training_crops,
      'pretrain_block_steps': max(1, steps // 12),
    }
  tasks = (len(CODES) - 1) * config.task_batch
  inner_steps = protocol.inner_steps
  if config.preset == 'recommended':
    inner_steps = min(inner_steps, config.num_inner_steps)
  epochs, rest = divmod(steps, tasks * inner_steps)
  if rest:
    raise InputError(
      f'{steps} training steps are no multiple of the {tasks * inner_steps} of a meta-epoch'
    )
  return {
    'meta_epochs': epochs,
    'num_inner_steps': inner_steps,
    'num_crops': protocol.training_crops,
  }


def _network_options(name: str, seed: int) -> NetworkOptions:
  method = METHODS[name]
  return NetworkOptions(arch=method.arch, kernel_init=method.kernel_init, seed=seed)


def train(
  name: str, target: str, seed: int, options: DataOptions, protocol: Protocol, workdir: Path
) -> None:
  """Do, or go on with, the training of a method on the sources."""
  folder = _training_folder(workdir, name, target, seed)
  config = training_config(name, protocol, options, target=target, seed=seed, workdir=str(folder))
  if not (folder / 'init').is_dir():
    command = pretrain.pretrain if isinstance(config, pretrain.Config) else meta_train.meta_train
    command(config)


def _training_folder(workdir: Path, name: str, target: str, seed: int) -> Path:
  return workdir / 'training' / f'{target}-{METHODS[name].training}-s{seed}'


def load_start(
  name: str,
  target: str,
  seed: int,
  options: DataOptions,
  protocol: Protocol,
  workdir: Path,
  fingerprints: Mapping[str, str],
) -> Candidate | None:
  """Where adaptation starts: random parameters, or those of a finished training on the sources.

  Args:
    name: of the method.
    target: code of the data set to adapt to.
    seed: of random parameters and of the training.
    options: of the images.
    protocol: of the study.
    workdir: of the study.
    fingerprints: of the data sets, by code.

  Returns:
    None for methods without a network.

  Raises:
    InputError: the folder has a training of other options or data.
  """
  method = METHODS[name]
  if isinstance(method.adaptation, str):
    return None
  network = _network_options(name, seed)
  if method.training is None:
    return initialisations.load(initialisations.RANDOM, network, target=target)
  folder = _training_folder(workdir, name, target, seed)
  config = training_config(name, protocol, options, target=target, seed=seed, workdir=str(folder))
  require_config(folder, config)
  seen = read_config(folder)['data_fingerprints']
  if others := sorted(code for code in seen if seen[code] != fingerprints[code]):
    raise InputError(
      f'{folder} has learned from other images of {", ".join(others)} than are there now: remove'
      ' it, or give another workdir',
      arguments=('workdir',),
    )
  return initialisations.load(str(folder), network, target=target)


class Learned(NamedTuple):
  """What a method has learned from annotated images."""

  predict: Callable[[Target], np.ndarray]  # to (N, H, W) foreground probabilities
  watershed: Watershed  # how these become foreground and objects
  losses: np.ndarray  # (steps,)


def learn(
  name: str,
  start: Candidate | None,
  annotated: Target,
  options: DataOptions,
  protocol: Protocol,
  *,
  steps: int,
  seed: int,
) -> Learned:
  """Adapt a method to annotated images.

  Args:
    name: of the method.
    start: see `load_start`.
    annotated: images of the target with their masks.
    options: of the images.
    protocol: of the study.
    steps: of adaptation; 0 for methods that take none.
    seed: of crops and augmentation.
  """
  method = METHODS[name]
  if isinstance(method.adaptation, Product):
    return _learn_as_product(name, start, annotated, protocol, steps, seed)
  with_grey = _learn_grey(annotated) if method.colours else None
  if with_grey:
    annotated = with_grey(annotated)
  if isinstance(method.adaptation, Tuning):
    predict, losses = _learn_as_paper(name, start, annotated, options, protocol, steps, seed)
  else:
    predict, losses = _learn_baseline(method.adaptation, annotated), np.zeros(0)

  def predict_target(target: Target) -> np.ndarray:
    return predict((with_grey(target) if with_grey else target).grey_set.images)

  return Learned(predict_target, _usual_watershed(annotated), losses)


def _learn_grey(annotated: Target) -> Callable[[Target], Target] | None:
  """A function that replaces grey values by those that separate the annotated foreground best.

  See `fscs.data.choose_channel`; every image is stretched. None where the luma is as good.
  """
  if annotated.colours is None:
    return None
  weights = choose_channel(list(annotated.colours), list(annotated.grey_set.masks))
  if not isinstance(weights, tuple):
    return None

  def with_grey(target: Target) -> Target:
    images = np.stack([stretch(weighted_sum(image, weights)) for image in target.colours])
    return target._replace(grey_set=target.grey_set._replace(images=images))

  return with_grey


def _learn_baseline(name: str, annotated: Target) -> Callable[[np.ndarray], np.ndarray]:
  predict = BASELINES[name](annotated.grey_set.images, annotated.grey_set.masks)

  def predict_images(images: np.ndarray) -> np.ndarray:
    return np.stack([predict(image) for image in images])

  return predict_images


def _usual_watershed(annotated: Target) -> Watershed:
  """Cut at 0.5; touching objects are split by the size of the annotated ones."""
  return Watershed() if annotated.labels is None else default_watershed(annotated.labels)


def _learn_as_paper(
  name: str,
  start: Candidate,
  annotated: Target,
  options: DataOptions,
  protocol: Protocol,
  steps: int,
  seed: int,
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
  """A function from images to probabilities, and the losses."""
  grey_set = annotated.grey_set
  finetune = _make_paper_finetune(name, grey_set.code, options, protocol, steps, seed)
  tuning = _with_preset(METHODS[name].adaptation, protocol)
  model = make_network(_network_options(name, seed), affine=True, norm_scale=tuning.norm_scale)
  (adapted,) = finetune(with_affine_norms(model, start.params), [grey_set])
  predict = functools.partial(_make_paper_predict(name), adapted.params)
  if tuning.threshold == 'annotated':
    found = predict(grey_set.images)
    predict = with_threshold(predict, best_threshold(found, grey_set.masks, WIDE_THRESHOLDS))
  return predict, adapted.losses


@functools.cache
def _make_paper_finetune(
  name: str, target: str, options: DataOptions, protocol: Protocol, steps: int, seed: int
) -> Callable:
  """Cached, so that the support sets of a process share the compiled program."""
  tuning = _with_preset(METHODS[name].adaptation, protocol)
  rate = learning_rate(tuning.learning_rate, tuning.schedule, max(steps, 1))
  return make_finetune(
    make_network(_network_options(name, seed), affine=True, norm_scale=tuning.norm_scale),
    FineTuning(
      inner_optimizer(rate, tuning.weight_decay, 'adam'),
      options.crop_size,
      finetune_stride(target, options.downscale),
      options.min_foreground,
      batch_size=protocol.batch_size,
      num_epochs=max(steps, 1),  # a pass over all crops takes one step at least
      max_steps=steps,
      seed=seed,
      pixel_loss=PIXEL_LOSSES[tuning.loss],
      augment=make_augment(tuning.augmentation),
    ),
  )


@functools.cache
def _make_paper_predict(name: str) -> Callable:
  # Fine-tuned parameters have batch-norm scales of their own.
  return make_predict(make_network(_network_options(name, 0), affine=True, norm_scale=1.0))


def _learn_as_product(
  name: str, start: Candidate, annotated: Target, protocol: Protocol, steps: int, seed: int
) -> Learned:
  """`fscs.finetune`; after fewer steps than its own without cross-validation."""
  estimate = steps == protocol.fscs.steps and protocol.fscs.estimate
  config = _fine_tuning_config(name, protocol, steps=steps, estimate=estimate, seed=seed)
  initialisation = initialisations.as_initialisation(start, METHODS[name].arch)
  masks = annotated.grey_set.masks if annotated.labels is None else annotated.labels
  result = finetune_and_validate(_pixels(name, annotated), masks, initialisation, config)

  def predict(target: Target) -> np.ndarray:
    return np.stack([result.segmenter.predict_proba(image) for image in _pixels(name, target)])

  return Learned(predict, result.segmenter.watershed, result.losses)


def _pixels(name: str, target: Target) -> np.ndarray:
  """(N, H, W), or (N, H, W, 3) if the method sees colours."""
  if METHODS[name].colours and target.colours is not None:
    return target.colours
  return target.grey_set.images
