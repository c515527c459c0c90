"""The trial of a user's images: methods learn from the annotated images, others are scored."""

import math

import numpy as np
import pytest
from helpers import cells, tiny_segmenter

from experiments import own_images as module
from experiments.common.results import read_rows
from experiments.own_images import Config, Key, Row, draw_images, own_images, table
from fscs.data.image_sets import ImageSet
from fscs.errors import InputError
from fscs.segmentation.config import FineTuningConfig
from fscs.segmentation.finetuning import FineTuningResult


@pytest.fixture
def images(monkeypatch):
  """Five images of bright disks in place of a data set; the last one has no objects."""
  grey, labels = zip(*(cells(seed) for seed in range(5)), strict=True)
  labels = (*labels[:4], np.zeros_like(labels[4]))
  found = ImageSet('TNBC', grey, tuple(image > 0 for image in labels), tuple('abcde'), labels)
  monkeypatch.setattr(module.data, 'load_set', lambda *_: found)
  return found


def key(method='otsu', shots=3, seed=0, steps=0, rate=0.0, most=0):
  return Key('TNBC', method, shots, seed, steps, rate, most)


def test_every_trial_is_done_once_and_kept(images, tmp_path, monkeypatch):
  options = {'data_sets': ('TNBC',), 'methods': ('otsu', 'forest'), 'workdir': str(tmp_path)}
  own_images(Config(**options, shots=(1, 2, 1)))
  rows = read_rows(tmp_path / 'results.csv', Row)
  assert [(row.method, row.shots, row.num_test_images) for row in rows] == [
    *(('otsu', 1, 4), ('forest', 1, 4), ('otsu', 2, 3), ('forest', 2, 3)),
  ]
  assert min(row.iou for row in rows) > 0.6  # the image without objects counts 0
  assert all(math.isnan(row.expected) for row in rows)
  monkeypatch.setattr(module, '_try', None)
  own_images(Config(**options, shots=(2,)))
  assert "| Otsu's threshold |" in (tmp_path / 'table.md').read_text()


def test_annotated_images_have_objects_and_are_not_segmented(images):
  for seed in range(4):
    support, test = draw_images(images, key(seed=seed))
    assert sorted([*support, *test]) == list(range(5))
    assert 4 not in support
  with pytest.raises(InputError, match='shots 5: TNBC has 5 images, 4 of them with objects'):
    draw_images(images, key(shots=5))


def test_fine_tuning_is_scored_at_its_own_threshold_and_says_what_to_expect(images, monkeypatch):
  segmenter = tiny_segmenter(expected_iou=0.75)
  threshold = float(np.quantile(segmenter.predict_proba(images.images[0]), 0.9))
  watershed = segmenter.watershed._replace(threshold=threshold)
  segmenter = tiny_segmenter(expected_iou=0.75, watershed=watershed)
  configs = []

  def finetune(_images, _masks, _init, config):
    configs.append(config)
    return FineTuningResult(segmenter, np.zeros(1), [], {})

  monkeypatch.setattr(module, 'finetune_and_validate', finetune)
  row = module._try(key('fscs-random', steps=60, rate=1e-3, most=1), images)
  assert configs == [FineTuningConfig(steps=60, learning_rate=1e-3)]
  assert row.expected == 0.75
  _, (test,) = draw_images(images, key(most=1))
  found = segmenter.predict_proba(images.images[test]) > threshold
  assert row.iou == pytest.approx(float(module.metrics.iou(found, images.masks[test])))


def test_the_table_has_means_over_seeds():
  config = FineTuningConfig()
  standard = key('fscs-random', 5, steps=config.steps, rate=config.learning_rate)
  rows = [
    Row(*standard._replace(seed=seed), iou, 0.1, 0.5, 60.0, 1.0, 15)
    for seed, iou in enumerate((0.2, 0.4))
  ]
  rows.append(rows[0]._replace(steps=30, expected=float('nan')))
  found = [[cell.strip() for cell in row.split('|')[3:7]] for row in table(rows).splitlines()[2:]]
  assert found == [
    ['fscs, random initialisation', '0.300', '0.500', '0.100'],
    ['fscs, random initialisation, 30 steps', '0.200', '', '0.100'],
  ]


def test_options_that_mean_nothing_are_refused():
  for name, value in (('shots', (5, 0)), ('rates', (0.0,)), ('methods', ('nobody',))):
    with pytest.raises(InputError, match=f'{name} has'):
      Config(**{name: value})
