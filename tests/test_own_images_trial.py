"""The trial of own images: every method learns, scores are those of the others, tables add up."""

import dataclasses
import math

import numpy as np
import pytest
from command_line import refusal_of
from test_finetuning import cells

from experiments import own_images_trial
from experiments.common.baselines import held_out
from experiments.common.results import read_rows
from experiments.own_images_table import RATE, Key, Row, table
from experiments.own_images_trial import Config, trial
from fscs.errors import InputError
from fscs.segmentation.finetuning import Settings
from fscs.segmentation.instances import Splitting
from fscs.data.image_sets import ImageSet


@pytest.fixture
def images(monkeypatch):
  """Five images of bright disks in place of a data set; fine-tuning is left to its own tests."""
  grey, labels = zip(*(cells(seed) for seed in range(5)), strict=True)
  masks = tuple(image > 0 for image in labels)
  found = ImageSet('TNBC', grey, masks, tuple('abcde'), labels)
  monkeypatch.setattr(own_images_trial.data, 'load_set', lambda *_: found)
  return found


def test_baselines_are_tried_once_and_kept(images, tmp_path, monkeypatch, capsys):
  config = Config(
    data_sets=('TNBC',), shots=(1, 2, 1), methods=('otsu', 'forest'), workdir=str(tmp_path)
  )
  trial(config)
  rows = read_rows(tmp_path / 'results.csv', Row)
  assert [(row.method, row.shots, row.num_test_images) for row in rows] == [
    ('otsu', 1, 4),
    ('forest', 1, 4),
    ('otsu', 2, 3),
    ('forest', 2, 3),
  ]
  assert min(row.iou for row in rows) > 0.8
  assert all(math.isnan(row.expected) for row in rows)
  limited = trial(dataclasses.replace(config, shots=(1,), methods=('otsu',), max_test_images=2))
  assert read_rows(limited / 'results.csv', Row)[-1].num_test_images == 2
  monkeypatch.setattr(own_images_trial, '_try', None)
  trial(config)
  assert "| TNBC (a source) | 1 | Otsu's threshold |" in capsys.readouterr().out


def test_fine_tuning_is_scored_at_its_own_threshold_and_announces_an_iou(images, monkeypatch):
  class Segmenter:
    splitting = Splitting(0.3, distance=8.0)
    estimate = 0.75

    def predict(self, image):
      return np.where(image > 850, 0.4, 0.1)

  result = type('Result', (), {'segmenter': Segmenter()})
  taken = []
  monkeypatch.setattr(
    own_images_trial,
    'finetune_with_trials',
    lambda *_, settings: (taken.append(settings[:3]), result)[1],
  )
  row = own_images_trial._try(Key('TNBC', 'random', 2, 0, 60, 1e-3, 0), images)
  assert taken == [(60, Settings().batch_size, 1e-3)]
  assert row.expected == 0.75
  assert row.iou > 0.7


@pytest.mark.parametrize('shots', [1, 2, 3, 5])
def test_splitting_is_learned_from_pixels_that_a_baseline_has_not_seen(shots):
  pixels = np.arange(shots * 48).reshape(shots, 6, 8)

  def learn(greys, masks):
    seen = np.concatenate([grey.ravel() for grey in greys])
    assert np.array_equal(seen > 7, np.concatenate([mask.ravel() for mask in masks]))

    def predict(grey):
      assert not np.isin(grey, seen).any()
      return grey / 1000

    return predict

  found, truth = held_out(learn, list(pixels), list(pixels * (pixels > 7)))
  values = np.concatenate([probability.ravel() for probability in found]) * 1000
  np.testing.assert_allclose(np.sort(values), pixels.ravel())  # each is held out once
  objects = np.concatenate([labels.ravel() for labels in truth])
  np.testing.assert_allclose(objects, values * (values > 7.5))


def test_baselines_take_the_threshold_and_the_distance_that_are_best_on_held_out_pieces(
  images, monkeypatch
):
  def unsure(greys, masks):
    return lambda grey: np.where(grey > 128, 0.4, 0.1).astype(np.float32)

  monkeypatch.setitem(own_images_trial.BASELINES, 'forest', unsure)
  row = own_images_trial._try(Key('TNBC', 'forest', 3, 0, 0, 0.0, 0), images)
  assert row.iou > 0.8  # nothing is above a threshold of 0.5


def test_an_image_without_objects_is_scored_and_never_annotated(images, monkeypatch):
  empty = np.zeros_like(images.labels[0])
  labels = (*images.labels[:4], empty)
  found = images._replace(labels=labels, masks=tuple(image > 0 for image in labels))
  for seed in range(4):
    row = own_images_trial._try(Key('TNBC', 'otsu', 4, seed, 0, 0.0, 0), found)
    assert row.num_test_images == 1
    assert row.iou < 0.01  # Otsu's threshold always finds something


def test_more_shots_than_images_with_objects_are_refused(images):
  with pytest.raises(InputError, match='--shots 5: TNBC has 5 images, 5 of them with objects'):
    own_images_trial._try(Key('TNBC', 'otsu', 5, 0, 0, 0.0, 0), images)
  empty = np.zeros_like(images.masks[0])
  found = images._replace(masks=(*images.masks[:2], empty, empty, empty))
  with pytest.raises(InputError, match='--shots 3: TNBC has 5 images, 2 of them with objects'):
    own_images_trial._try(Key('TNBC', 'otsu', 3, 0, 0, 0.0, 0), found)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'shots': (5, 0)}, '--shots has 0: at least 1 is expected'),
    ({'shots': ()}, '--shots needs at least one value'),
    ({'steps': (0,)}, '--steps has 0: at least 1 is expected'),
    ({'rates': (1e-2, 0.0)}, '--rates has 0.0: numbers above 0 are expected'),
    ({'seeds': (-1,)}, '--seeds has -1: at least 0 is expected'),
    ({'data_sets': ()}, '--data-sets needs at least one value'),
    ({'methods': ()}, '--methods needs at least one value'),
    ({'methods': ('otsu', 'nobody')}, '--methods has nobody: one of pretrained random otsu forest'),
    ({'max_test_images': 0}, '--max-test-images is 0: at least 1 is expected'),
  ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_written(
  images, tmp_path, options, message
):
  with pytest.raises(InputError, match=message):
    trial(Config(**options, workdir=str(tmp_path / 'run')))
  assert not (tmp_path / 'run').exists()


def test_results_of_an_earlier_version_are_not_gone_on_with(images, tmp_path):
  (tmp_path / 'results.csv').write_text('data_set,method,shots,seed,steps\nTNBC,otsu,1,0,0\n')
  with pytest.raises(InputError, match=r"results.csv has no column 'rate', .* another --workdir"):
    trial(Config(data_sets=('TNBC',), methods=('otsu',), workdir=str(tmp_path)))


def test_the_command_ends_with_one_line():
  assert refusal_of('own_images_trial', '--shots', '0').startswith('--shots has 0')


def test_the_table_has_means_over_seeds():
  key = Key('ssTEM', 'random', 5, 0, Settings().num_steps, RATE, 0)
  rows = [
    Row(*key._replace(seed=seed), iou, 0.1, 0.5, 60.0, 1.0, 15)
    for seed, iou in enumerate((0.2, 0.4))
  ]
  rows.append(rows[0]._replace(most=2, iou=0.9))
  rows += [rows[0]._replace(steps=30), rows[0]._replace(rate=0.5)]
  *_, last, fewer, shorter, faster = table(rows).splitlines()
  assert fewer.startswith('| ssTEM | 5 | fscs, random initialisation | 0.900 |')
  assert shorter.startswith('| ssTEM | 5 | fscs, random initialisation, 30 steps | 0.200 |')
  assert faster.startswith('| ssTEM | 5 | fscs, random initialisation, rate 0.5 | 0.200 |')
  assert (
    last == '| ssTEM | 5 | fscs, random initialisation | 0.300 | 0.500 | 0.100 | 60 | 1.00 | 15 |'
  )
