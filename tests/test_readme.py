"""The README's Python examples run as they stand there."""

import functools
import json
import re
from pathlib import Path

import jax
import numpy as np
from test_finetuning import cells
from toys import WIDTHS

import fscs
from fscs.io.initialisations import Initialisation, random_initialisation, read_initialisation
from fscs.segmentation.finetuning import Settings

README = Path(__file__).resolve().parents[1] / 'README.md'
OWN_IMAGES, PURE_FUNCTIONS = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)


def run(example, **names):
  exec(compile(example, 'README.md', 'exec'), names)
  return names


def test_the_example_of_pure_functions(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  names = run(PURE_FUNCTIONS)
  history = names['history']
  kept = read_initialisation('my-init')
  assert kept[:2] == names['start'][:2] and kept.diameter_range == names['known']
  jax.tree.map(np.testing.assert_array_equal, kept.params, names['params'])
  assert np.isfinite(history.loss).all()
  assert history.loss.shape == (5,)


def test_the_example_of_own_images(tmp_path, monkeypatch):
  """With a few steps, as it would take a minute."""
  monkeypatch.chdir(tmp_path)
  short = functools.partial(fscs.finetune, settings=Settings(2, crop_size=32, orientations=1))
  monkeypatch.setattr(fscs, 'finetune', short)
  small = Initialisation('fcrn', WIDTHS['fcrn'], {}, (32.0, 32.0))
  monkeypatch.setattr(fscs, 'pretrained', lambda: random_initialisation(small))
  images, masks = zip(*(cells(seed) for seed in range(3)), strict=True)
  names = run(OWN_IMAGES, images=images, masks=masks, image=images[0])
  assert names['labels'].shape == images[0].shape
  again = fscs.Segmenter.load('model').labels(images[0])
  np.testing.assert_array_equal(again, names['labels'])


def table_of_report(heading, number):
  """A paragraph of a section of the published report that is a table."""
  report = (README.parent / 'docs' / 'results' / 'results.md').read_text()
  table = report.split(f'## {heading}')[1].split('\n\n')[number]
  assert table.startswith('|')
  return table


def test_the_table_of_results_is_that_of_the_report():
  assert table_of_report('In short', 2) in README.read_text()


def test_the_table_of_parts_is_that_of_the_report():
  recipe = (README.parent / 'docs' / 'recipe.md').read_text()
  assert table_of_report('What the parts of the recipe give', 3) in recipe


def test_figures_of_the_recipe_are_those_of_the_published_results(monkeypatch, capsys):
  monkeypatch.chdir(README.parent)
  text = (README.parent / 'docs' / 'recipe.md').read_text()
  run(*re.findall(r'```python\n(.*?)```', text, re.DOTALL))
  printed = [json.loads(f'[{line[1:-1]}]')[1] for line in capsys.readouterr().out.splitlines()]
  *told, ours = printed
  assert all(f'{value:.3f}' in text for value in told)
  assert f'ours is ahead by {100 * (ours - told[-1]):.1f} points' in text
