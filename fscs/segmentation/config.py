"""Configuration of fine-tuning and prediction. Imports nothing heavy, so that `--help` is quick."""

import dataclasses
from typing import Literal, get_args

from fscs.errors import InputError

Orientations = Literal[1, 4, 8]

CROP_MULTIPLE = 16  # of the crop size; the stride of the deepest network


def require_orientations(orientations: int) -> None:
  """Raises InputError unless the number is 1, 4 or 8."""
  if orientations not in get_args(Orientations):
    raise InputError(
      f'orientations is {orientations}: expected 1, 4 or 8', arguments=('orientations',)
    )


@dataclasses.dataclass(frozen=True)
class FineTuningConfig:
  """How a network adapts to annotated images.

  Attributes:
    steps: optimizer steps of every network.
    batch_size: crops per step.
    learning_rate: at the first step; it falls to 0 along half a cosine.
    crop_size: side of the crops in pixels at the working scale, a multiple of 16.
    orientations: predictions are means over 1, 4 or 8 flips and rotations.
    estimate: whether to cross-validate, which learns the watershed and the IoU to expect.
    seed: of crops and augmentation.
  """

  steps: int = 250
  batch_size: int = 4
  learning_rate: float = 1e-2
  crop_size: int = 128
  orientations: Orientations = 8
  estimate: bool = True
  seed: int = 0

  def __post_init__(self) -> None:
    for name, least in (('steps', 1), ('batch_size', 1), ('seed', 0)):
      if getattr(self, name) < least:
        raise InputError(
          f'{name} is {getattr(self, name)}: expected at least {least}', arguments=(name,)
        )
    if self.seed >= 2**32:
      raise InputError(f'seed is {self.seed}: expected at most {2**32 - 1}', arguments=('seed',))
    if not 0 < self.learning_rate < 100:
      raise InputError(
        f'learning_rate is {self.learning_rate}: expected a number above 0 and below 100, such as'
        ' 0.01',
        arguments=('learning_rate',),
      )
    if self.crop_size < CROP_MULTIPLE or self.crop_size % CROP_MULTIPLE:
      raise InputError(
        f'crop_size is {self.crop_size}: expected a multiple of {CROP_MULTIPLE}',
        arguments=('crop_size',),
      )
    require_orientations(self.orientations)
