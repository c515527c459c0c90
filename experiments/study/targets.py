"""The images that a study adapts to and scores on."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.common import data
from experiments.common.options import DataOptions
from experiments.study.protocols import PROTOCOLS, REPORTED, Protocol
from fscs.data.channels import choose, weighted
from fscs.data.image_sets import GreySet
from fscs.data.intensity import stretch
from fscs.data.preprocessing import prepare, shrink
from fscs.data.scaling import rescale_labels
from fscs.data.support_sets import Selections, support_indices, support_names
from fscs.errors import InputError

STACKS = ('EM', 'ssTEM')  # whose images are the sections of one block of tissue, in order


class Target(NamedTuple):
  """A data set as all contestants see it."""

  grey_set: GreySet
  labels: np.ndarray | None  # (N, H, W) int32 objects, where the data set tells them apart
  colours: np.ndarray | None = None  # (N, H, W, 3) float, in place of grey values, of RGB images


class Split(NamedTuple):
  """Indices into a target."""

  support: list[int]  # annotated
  test: np.ndarray  # to score, ascending


@functools.cache
def load(code: str, options: DataOptions) -> Target:
  """Read and prepare a target."""
  image_set = data.load_set(code, options)
  grey_set = prepare(image_set, protocol=options.protocol, downscale=options.downscale)
  colours = None
  if all(image.ndim == 3 for image in image_set.images):
    colours = np.stack([shrink(image, options.downscale) for image in image_set.images])
  if image_set.labels is None:
    return Target(grey_set, None, colours)
  shape = grey_set.masks.shape[1:]
  cut = [size * options.downscale for size in shape]
  labels = [rescale_labels(image[: cut[0], : cut[1]], shape) for image in image_set.labels]
  return Target(grey_set, np.stack(labels), colours)


def with_learned_grey(target: Target, support: Sequence[int]) -> Target:
  """Grey values that tell the annotated foreground best, see `fscs.data.channels.choose`.

  The values of every image are stretched, as those of own images are. Grey images stay as they are.
  """
  if target.colours is None:
    return target
  weights = choose(list(target.colours[support]), list(target.grey_set.masks[support]))
  if not isinstance(weights, tuple):
    return target
  images = np.stack([stretch(weighted(image, weights)) for image in target.colours])
  return target._replace(grey_set=target.grey_set._replace(images=images))


def split(
  target: Target, selections: Selections, protocol: Protocol, *, selection: int, shots: int
) -> Split:
  """Annotated images of a selection, and those to score, the same for all shots of a selection.

  Test images are drawn, with a seed that is fixed, from those that the selection names for none of
  the protocol's shots.

  Raises:
    InputError: the selection names images that are not there, or leaves none to score.
  """
  if protocol.rehearsal:
    return _rehearsal(target, selections, protocol, selection, shots)
  return _reported(target, selections, protocol, selection)[shots]


def _reported(
  target: Target, selections: Selections, protocol: Protocol, selection: int
) -> dict[int, Split]:
  """{shots: split} of a published selection."""
  names, code = target.grey_set.names, target.grey_set.code
  supports = {
    k: support_indices(
      names, support_names(selections, selection=selection, shots=k, code=code), code, shots=k
    )
    for k in protocol.shots
  }
  test = test_images(len(names), supports.values(), protocol, selection)
  return {k: Split(support, test) for k, support in supports.items()}


def _rehearsal(
  target: Target, selections: Selections, protocol: Protocol, selection: int, shots: int
) -> Split:
  """Drawn from the images that the reported protocol scores in none of its selections."""
  reported = PROTOCOLS[REPORTED]
  scored = [
    next(iter(_reported(target, selections, reported, number).values())).test
    for number in reported.selections
  ]
  order = np.random.default_rng([1, selection]).permutation(len(target.grey_set.names))
  free = order[~np.isin(order, np.concatenate(scored))]
  most = min(max(protocol.shots), len(free) - 1)
  if shots > most:
    raise InputError(f'{target.grey_set.code}: {len(free)} images are left to rehearse on')
  return Split(sorted(free[:shots].tolist()), np.sort(free[most:][: protocol.max_test_images]))


def test_images(
  num_images: int, supports: Sequence[Sequence[int]], protocol: Protocol, selection: int
) -> np.ndarray:
  """Indices of the images to score: none of the supports', and at most so many."""
  named = {index for support in supports for index in support}
  order = np.random.default_rng([0, selection]).permutation(num_images)
  free = order[~np.isin(order, sorted(named))]
  return np.sort(free[: protocol.max_test_images])


def sections(target: Target, split: Split) -> tuple[int, ...] | None:
  """How many sections each test image is from the nearest annotated one; None: no stack.

  Neighbours in a stack are nearly copies of each other.
  """
  if target.grey_set.code not in STACKS:
    return None
  return tuple(int(d) for d in np.abs(split.test[:, None] - np.array(split.support)).min(1))
