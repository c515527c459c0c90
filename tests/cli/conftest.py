"""Folders of annotated images and models, made once."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tifffile
from helpers import Outcome, cells, run_fscs, save_small_initialisation, tiny_segmenter
from PIL import Image


@pytest.fixture(scope='session')
def init(tmp_path_factory) -> Path:
  """The folder of an initialisation of a small network."""
  folder = tmp_path_factory.mktemp('init') / 'init'
  save_small_initialisation(folder)
  return folder


class Project(NamedTuple):
  """What a user has after `fscs finetune`, and what it printed."""

  images: Path
  masks: Path  # of images 0 to 2
  truth: Path  # of images 3 and 4
  run: Path
  steps: int
  outcome: Outcome


@pytest.fixture(scope='session')
def project(tmp_path_factory, init) -> Project:
  root = tmp_path_factory.mktemp('project')
  images, masks, truth, run = (root / name for name in ('images', 'masks', 'truth', 'run'))
  for folder in (images, masks, truth):
    folder.mkdir()
  for index in range(5):
    image, labels = cells(index)
    tifffile.imwrite(images / f'zellen {index} µ.tif', image)
    folder, ending = (masks, '_mask.png') if index < 3 else (truth, '.png')
    Image.fromarray(labels.astype(np.uint8)).save(folder / f'zellen {index} µ{ending}')
  steps = 48
  options = ('--steps', steps, '--learning-rate', 0.06, '--crop-size', 32, '--orientations', 1)
  folders = ('--images', images, '--masks', masks, '--workdir', run, '--init', init)
  return Project(images, masks, truth, run, steps, run_fscs('finetune', *folders, *options))


@pytest.fixture(scope='session')
def tiny_model(tmp_path_factory) -> Path:
  """The workdir of a segmenter with random parameters."""
  workdir = tmp_path_factory.mktemp('tiny')
  tiny_segmenter().save(workdir / 'model')
  return workdir
