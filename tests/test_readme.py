"""The Python examples of README.md run as they are printed."""

import functools
import re

import numpy as np
import pytest
from helpers import REPOSITORY, assert_trees_equal, cells, small_initialisation

import fscs
from fscs.segmentation import finetuning

SEGMENTING, RESEARCH = re.findall(
  r'```python\n(.*?)```', (REPOSITORY / 'README.md').read_text(), re.DOTALL
)


def run(example: str, **names):
  """Run an example with these names defined; returns all its names."""
  exec(compile(example, 'README.md', 'exec'), names)
  return names


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_segmenting(monkeypatch):
  short = functools.partial(
    finetuning.finetune, init=small_initialisation(), steps=2, crop_size=32, orientations=1
  )
  monkeypatch.setattr(fscs, 'finetune', short, raising=False)  # the product's takes a minute
  images, masks = zip(*(cells(seed) for seed in range(3)), strict=True)
  names = run(SEGMENTING, images=images, masks=masks, image=images[0])
  assert names['labels'].shape == names['probability'].shape == images[0].shape
  np.testing.assert_array_equal(names['segmenter'].predict(images[0]), names['labels'])


@pytest.mark.slow
def test_research():
  names = run(RESEARCH)
  assert np.isfinite(names['losses']).all()
  params, _ = fscs.io.load_init('my-init')
  assert_trees_equal(params, names['params'])
