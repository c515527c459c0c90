"""The protocols of the study: which images are annotated, which are scored, and all sizes."""

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from experiments.common import data
from experiments.common.options import DataOptions
from experiments.common.support_set_files import choose_selections
from experiments.configs import Preset
from fscs.data.datasets import CODES, Code
from fscs.data.image_sets import GreySet
from fscs.data.preprocessing import prepare, select_images, shrink
from fscs.data.scaling import rescale_labels
from fscs.data.support_sets import Selections, support_indices, support_names
from fscs.errors import InputError
from fscs.segmentation.config import FineTuningConfig

Name = Literal['cpu-small', 'validation', 'paper', 'smoke']
REPORTED, VALIDATION = 'cpu-small', 'validation'

STACKS = ('EM', 'ssTEM')  # whose images are the sections of one block of tissue, in order

COLOUR_METHODS = (
  *('otsu-colours', 'forest-colours', 'scratch-colours', 'fscs-random-colours', 'fscs-colours'),
)
REPORTED_METHODS = (
  *('otsu', 'forest', 'forest-tuned', 'scratch', 'transfer'),
  *('bce', 'bce_entropy', 'bce_distillation', 'combined', 'combined-tuned'),
  *('random-normal', 'random-he', 'unet-normal', 'unet-he', 'fscs-random', 'fscs'),
  *COLOUR_METHODS,
)


class Protocol(NamedTuple):
  """Which methods run, on which images, and with which sizes."""

  preset: Preset  # of the images, the training commands and the paper's fine-tuning
  methods: tuple[str, ...] = REPORTED_METHODS
  targets: tuple[Code, ...] = CODES
  shots: tuple[int, ...] = (1, 5, 10)  # numbers of annotated images, K
  selections: tuple[int, ...] = (1, 2, 3)  # numbers of the support sets
  seeds: tuple[int, ...] = (0,)
  max_test_images: int = 20
  training_steps: int = 1440  # gradient steps on the sources
  training_crops: int = 5  # per step
  inner_steps: int = 30  # of an episode, at most
  steps: int = 250  # of the paper's fine-tuning
  batch_size: int = 8  # of the paper's fine-tuning
  fscs: FineTuningConfig = FineTuningConfig()
  followed: tuple[str, ...] = ('scratch', 'transfer', 'fscs-random', 'fscs')  # over the steps
  curve: tuple[int, ...] = (0, 5, 10, 25, 60, 150)  # further numbers of steps, of those followed
  curve_shots: tuple[int, ...] = (5,)
  curve_selections: tuple[int, ...] = (1,)
  validation: bool = False  # annotate and score images that `REPORTED` does not score


PROTOCOLS: dict[Name, Protocol] = {
  'cpu-small': Protocol('cpu'),
  'validation': Protocol(
    'cpu',
    methods=(
      *('otsu', 'forest', 'scratch', 'fscs-random', 'fscs-supervised', 'fscs-fcrn'),
      *('fscs-one-orientation', 'fscs', *COLOUR_METHODS),
    ),
    shots=(1, 5),
    selections=(0,),
    max_test_images=10,
    followed=('scratch', 'fscs-random', 'fscs-supervised', 'fscs'),
    curve=(25, 120),
    curve_shots=(1, 5),
    curve_selections=(0,),
    validation=True,
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
    fscs=FineTuningConfig(steps=3, batch_size=2, crop_size=32, orientations=1),
    curve=(0, 1),
    curve_shots=(1,),
  ),
}


def data_options(
  protocol: Protocol,
  *,
  simulated: bool = False,
  raw_dir: str | None = None,
  data_dir: str | None = None,
) -> DataOptions:
  """How images are read and prepared."""
  kind = 'simulated' if simulated else 'real'
  return DataOptions(preset=protocol.preset, data=kind, raw_dir=raw_dir, data_dir=data_dir)


class Target(NamedTuple):
  """Images of a data set as all methods see them."""

  grey_set: GreySet
  labels: np.ndarray | None  # (N, H, W) int32 objects, if the data set tells them apart
  colours: np.ndarray | None = None  # (N, H, W, 3) float, of RGB images


class Split(NamedTuple):
  """Indices into a target."""

  support: list[int]  # annotated images
  test: np.ndarray  # images to score, ascending


@functools.cache
def load_target(code: str, options: DataOptions) -> Target:
  """Read and prepare a data set."""
  image_set = data.load_set(code, options)
  grey_set = prepare(image_set, protocol=options.protocol, downscale=options.downscale)
  colours = None
  if all(image.ndim == 3 for image in image_set.images):
    colours = np.stack([shrink(image, options.downscale) for image in image_set.images])
  if image_set.labels is None:
    return Target(grey_set, None, colours)
  shape = grey_set.masks.shape[1:]
  height, width = (size * options.downscale for size in shape)
  labels = [rescale_labels(image[:height, :width], shape) for image in image_set.labels]
  return Target(grey_set, np.stack(labels), colours)


def select(target: Target, indices: Sequence[int] | np.ndarray) -> Target:
  """Some images of a target."""
  labels, colours = (
    None if arrays is None else arrays[indices] for arrays in (target.labels, target.colours)
  )
  return Target(select_images(target.grey_set, indices), labels, colours)


def read_selections(
  code: str,
  names: Sequence[str],
  protocol: Protocol,
  selections_file: str | None,
  data_dir: str | None = None,
) -> Selections:
  """The support sets of a protocol, of a file or else random ones."""
  drawn = PROTOCOLS[REPORTED] if protocol.validation else protocol
  return choose_selections(
    selections_file,
    names,
    code,
    shots=drawn.shots,
    selections=drawn.selections,
    seed=0,
    data_dir=data_dir,
  )


def split(
  code: str,
  names: Sequence[str],
  selections: Selections,
  protocol: Protocol,
  *,
  selection: int,
  shots: int,
) -> Split:
  """Annotated images, and those to score, which are the same for all shots of a selection.

  Args:
    code: of the target.
    names: of all its images.
    selections: support sets.
    protocol: its shots and its largest number of test images count.
    selection: number of the support set.
    shots: number of annotated images.

  Raises:
    InputError: the selection names images that are not there, or leaves none to score.
  """
  if protocol.validation:
    return _split_validation(code, names, selections, protocol, selection, shots)
  return _split_selection(code, names, selections, protocol, selection)[shots]


def _split_selection(
  code: str, names: Sequence[str], selections: Selections, protocol: Protocol, selection: int
) -> dict[int, Split]:
  """{shots: split}. Images to score are drawn from those that are annotated for no shots."""
  supports = {}
  for shots in protocol.shots:
    wanted = support_names(selections, selection=selection, shots=shots, code=code)
    supports[shots] = support_indices(names, wanted, code, shots=shots)
  annotated = sorted({index for support in supports.values() for index in support})
  order = np.random.default_rng([0, selection]).permutation(len(names))
  free = order[~np.isin(order, annotated)]
  test = np.sort(free[: protocol.max_test_images])
  return {shots: Split(support, test) for shots, support in supports.items()}


def _split_validation(
  code: str,
  names: Sequence[str],
  selections: Selections,
  protocol: Protocol,
  selection: int,
  shots: int,
) -> Split:
  """Drawn from the images that the reported protocol scores in none of its selections."""
  reported = PROTOCOLS[REPORTED]
  scored = []
  for number in reported.selections:
    splits = _split_selection(code, names, selections, reported, number)
    scored.append(next(iter(splits.values())).test)
  order = np.random.default_rng([1, selection]).permutation(len(names))
  free = order[~np.isin(order, np.concatenate(scored))]
  largest = min(max(protocol.shots), len(free) - 1)
  if shots > largest:
    raise InputError(
      f'{code}: {len(free)} images are left for validation, too few to annotate {shots} of them'
    )
  test = np.sort(free[largest:][: protocol.max_test_images])
  return Split(sorted(free[:shots].tolist()), test)


def sections_to_support(code: str, split: Split) -> tuple[int, ...] | None:
  """Distance of each test image to the nearest annotated one in a stack, in sections.

  Neighbouring sections are nearly copies of each other. None if the data set is no stack.
  """
  if code not in STACKS:
    return None
  distances = np.abs(split.test[:, None] - np.array(split.support)).min(axis=1)
  return tuple(int(distance) for distance in distances)
