"""Fine-tuning from arrays: it learns, cross-validates honestly, and names what it cannot use."""

import functools

import numpy as np
import pytest
from helpers import RecordedProgress, assert_trees_equal, cells, compilations, noise

import fscs
from fscs.errors import InputError
from fscs.metrics import iou
from fscs.segmentation import finetuning
from fscs.segmentation.config import FineTuningConfig
from fscs.segmentation.finetuning import finetune_and_validate
from fscs.segmentation.instances import Watershed

# Batches and crops as of the fixture `trained`, so that programs are compiled once.
CONFIG = FineTuningConfig(steps=2, crop_size=32, orientations=1)
finetune = functools.partial(fscs.finetune, steps=2, crop_size=32, orientations=1)


def test_expected_iou_is_that_of_new_images(trained):
  losses, segmenter = trained.result.losses, trained.result.segmenter
  assert losses[-5:].mean() < losses[:5].mean() / 2
  new = [cells(seed) for seed in range(100, 106)]
  ious = [iou(segmenter.predict_proba(image) > 0.5, labels > 0) for image, labels in new]
  assert np.mean(ious) > 0.75
  assert segmenter.expected_iou == pytest.approx(np.mean(ious), abs=0.1)


def test_every_stage_is_announced_and_reported_to_its_end(trained):
  assert len(trained.result.losses) == trained.config.steps
  stages = trained.progress.stages
  assert stages['training'] == (trained.config.steps,) * 2
  assert stages['cross-validating'] == (3 * trained.config.steps,) * 2
  assert [title.split()[0] for title in stages] == [
    *('compiling', 'training', 'cross-validating', 'learning')
  ]
  assert all(total == done for total, done in list(stages.values())[1:])


def test_the_first_segmenter_has_the_final_network_and_another_folder_compiles_nothing(
  initialisation,
):
  def run(seeds, side):
    images, masks = zip(*(cells(seed, (side, side + 8)) for seed in seeds), strict=True)
    first = []
    result = finetune_and_validate(images, masks, initialisation, CONFIG, ready=first.append)
    assert first[0].expected_iou is None
    assert_trees_equal(first[0].network.params, result.segmenter.network.params)

  run(range(2), 64)
  with compilations() as counted:
    run(range(3, 6), 90)
  assert counted.total() == 0


def test_progress_is_shown_unless_it_is_not_wanted(initialisation, capsys):
  image, labels = cells(0)
  options = {'init': initialisation, 'estimate': False}
  finetune([image], [labels], **options, progress=False)
  assert not capsys.readouterr().err
  finetune([image], [labels], **options)
  assert 'training: 2/2' in capsys.readouterr().err


def test_scores_of_folds_are_at_the_threshold_of_the_segmenter(trained):
  folds, segmenter = trained.result.folds, trained.result.segmenter
  threshold = segmenter.watershed.threshold
  ious = [iou(fold.probability > threshold, fold.labels > 0) for fold in folds]
  np.testing.assert_allclose([fold.iou for fold in folds], ious)
  assert segmenter.expected_iou == pytest.approx(np.mean(ious))
  assert [fold.name for fold in folds] == ['image 0', 'image 1', 'image 2']


def test_networks_of_folds_never_saw_what_is_held_out(trained, initialisation, monkeypatch):
  """Replacing image 0 changes all networks but the one that is scored on image 0."""
  networks = []

  def predict_fold(network, *arguments):
    networks.append(network)
    return original(network, *arguments)

  original = finetuning.predict_fold
  monkeypatch.setattr(finetuning, 'predict_fold', predict_fold)
  images, masks = list(trained.images), list(trained.masks)
  finetune_and_validate(images, masks, initialisation, CONFIG, scale=1.0)
  images[0], masks[0] = images[0][::-1], masks[0][:, ::-1]
  finetune_and_validate(images, masks, initialisation, CONFIG, scale=1.0)
  before, after = networks[:3], networks[3:]
  assert_trees_equal(before[0].params, after[0].params)
  assert_trees_equal(before[0].batch_statistics, after[0].batch_statistics)
  for one, other in zip(before[1:], after[1:], strict=True):
    with pytest.raises(AssertionError):
      assert_trees_equal(one.params, other.params)
    with pytest.raises(AssertionError):
      assert_trees_equal(one.batch_statistics, other.batch_statistics)


def test_one_image_is_validated_by_halves_and_its_channel_is_learned(initialisation):
  image, labels = cells(0)
  colours = np.stack([noise(image.shape, 0) * 4.0, image, noise(image.shape, 1) * 4.0], axis=-1)
  progress = RecordedProgress()
  result = finetune_and_validate([colours], [labels], initialisation, CONFIG, progress=progress)
  assert [fold.grey.shape for fold in result.folds] == [(72, 48)] * 2
  assert result.segmenter.expected_iou is not None
  assert progress.stages['cross-validating'] == (2 * CONFIG.steps,) * 2
  assert np.argmax(result.segmenter.channel) == 1


def test_without_estimate_objects_are_split_by_their_size(initialisation):
  image, labels = cells(0, shape=(36, 48), radius=4)
  progress = RecordedProgress()
  segmenter = finetune([image], [labels], init=initialisation, estimate=False, progress=progress)
  assert segmenter.expected_iou is None
  assert progress.stages['training'] == (2, 2)
  assert segmenter.watershed.min_distance == pytest.approx(4, abs=0.5)  # half a diameter
  assert segmenter.scale == pytest.approx(2, rel=0.15)  # to the 16 pixels that the network knows


def test_an_object_that_cannot_be_held_out_gives_no_estimate(initialisation):
  image, _ = cells(0, shape=(84, 96))
  line = np.zeros(image.shape, bool)
  line[:, 48] = True  # half of the image would hold none of it
  segmenter = finetune([image], [line], init=initialisation, scale=1.0)
  assert segmenter.expected_iou is None
  assert segmenter.watershed == Watershed(min_area=segmenter.watershed.min_area)  # not split


def with_speck(seed):
  """An image whose only object has one pixel."""
  image, labels = cells(seed)
  labels = np.zeros_like(labels)
  labels[5, 7] = 1
  return image, labels


@pytest.mark.parametrize(
  ('pairs', 'options', 'arguments', 'message'),
  [
    ([], {}, ('images', 'masks'), '0 images and 0 masks'),
    ([cells(0)], {'names': ['a', 'b']}, ('names',), '2 names and 1 images'),
    ([with_speck(0)], {'scale': 0.1}, ('scale',), 'image 0: no object is left'),
    ([cells(0)], {'scale': -1.0}, ('scale',), 'scale is -1.0'),
    ([cells(0)], {'orientations': 2}, ('orientations',), 'orientations is 2'),
    ([cells(0)], {'crop_size': 30}, ('crop_size',), 'crop_size is 30'),
    ([cells(0)], {'steps': 0}, ('steps',), 'steps is 0'),
    ([cells(0)], {'seed': 2**32}, ('seed',), 'seed is 4294967296'),
    ([cells(0)], {'channel': 'red'}, ('channel',), 'channel'),
    ([cells(0)], {'init': 'nowhere'}, ('init',), 'nowhere'),
  ],
)
def test_arguments_that_cannot_be_used(initialisation, pairs, options, arguments, message):
  images, masks = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
  with pytest.raises(InputError, match=message) as caught:
    finetune(images, masks, **{'init': initialisation, **options})
  assert caught.value.arguments == arguments
