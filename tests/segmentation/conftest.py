"""A segmenter that learned `helpers.cells`, made once."""

from typing import NamedTuple

import numpy as np
import pytest
from helpers import RecordedProgress, cells, small_initialisation

from fscs.io.initialisations import Initialisation
from fscs.segmentation.config import FineTuningConfig
from fscs.segmentation.finetuning import FineTuningResult, finetune_and_validate


class Trained(NamedTuple):
  """A fine-tuning with what went into it."""

  result: FineTuningResult
  config: FineTuningConfig
  images: tuple[np.ndarray, ...]
  masks: tuple[np.ndarray, ...]
  progress: RecordedProgress


@pytest.fixture(scope='session')
def initialisation() -> Initialisation:
  return small_initialisation()


@pytest.fixture(scope='session')
def trained(initialisation) -> Trained:
  images, masks = zip(*(cells(seed) for seed in range(3)), strict=True)
  config = FineTuningConfig(steps=48, learning_rate=6e-2, crop_size=32, orientations=1)
  progress = RecordedProgress()
  result = finetune_and_validate(images, masks, initialisation, config, progress=progress)
  return Trained(result, config, images, masks, progress)
