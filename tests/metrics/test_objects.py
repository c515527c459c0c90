"""Scores of objects: solved by hand, on disks of known overlap, by brute force, and by StarDist."""

import itertools
import json

import numpy as np
import pytest
from golden import make_instances
from helpers import disk_labels

from fscs.errors import InputError
from fscs.metrics.objects import (
  THRESHOLDS,
  average_precision,
  count_error,
  f1,
  match,
  match_each,
  object_accuracy,
  overlaps,
  panoptic_quality,
  pool,
  precision,
  recall,
)

SCORES = {
  'accuracy': object_accuracy,
  'precision': precision,
  'recall': recall,
  'f1': f1,
  'panoptic_quality': panoptic_quality,
}
EMPTY = np.zeros((16, 16), np.int32)


def rectangles(*boxes):
  """Labels (16, 16) of boxes (number, (first row, first column, rows, columns))."""
  labels = np.zeros((16, 16), np.int32)
  for number, (row, column, rows, columns) in boxes:
    labels[row : row + rows, column : column + columns] = number
  return labels


def scores(matching):
  return {name: score(matching) for name, score in SCORES.items()}


def test_two_squares_of_which_one_is_shifted():
  truth = rectangles((1, (0, 0, 4, 4)), (2, (8, 8, 4, 4)))
  prediction = rectangles((1, (0, 1, 4, 4)), (2, (8, 8, 4, 4)))  # 12 of 20 pixels, and all
  np.testing.assert_array_equal(overlaps(prediction, truth), [[12 / 20, 0], [0, 1]])
  assert match(prediction, truth, 0.5)[:3] == (2, 0, 0)
  assert match(prediction, truth, 0.7)[:3] == (1, 1, 1)
  assert panoptic_quality(match(prediction, truth, 0.5)) == pytest.approx(0.8)  # (0.6 + 1) / 2
  assert panoptic_quality(match(prediction, truth, 0.7)) == pytest.approx(0.5)  # 1 / (1 + 1)
  np.testing.assert_allclose(average_precision(prediction, truth), [1] * 3 + [1 / 3] * 7)


def test_a_split_object_is_one_match_and_one_false_positive():
  truth = rectangles((5, (0, 0, 4, 8)))
  prediction = rectangles((1, (0, 0, 4, 6)), (2, (0, 6, 4, 2)))
  matching = match(prediction, truth, 0.5)
  assert matching[:3] == (1, 1, 0)
  np.testing.assert_array_equal(matching.iou_of_matches, [0.75])
  np.testing.assert_array_equal(matching.pairs, [[1, 5]])
  by_hand = {'accuracy': 1 / 2, 'precision': 1 / 2, 'recall': 1, 'f1': 2 / 3}
  assert scores(matching) == pytest.approx(by_hand | {'panoptic_quality': 0.75 / 1.5})
  assert count_error(prediction, truth) == 1


def test_more_matches_come_before_a_larger_overlap():
  truth = rectangles((1, (0, 0, 1, 6)), (2, (0, 6, 1, 4)))
  prediction = rectangles((1, (0, 0, 1, 1)), (2, (0, 1, 1, 9)))
  # Greedily, 2 would take the truth 1 (IoU 5 / 10) and leave 1 (IoU 1 / 6 with it) without a match.
  matching = match(prediction, truth, 0.15)
  np.testing.assert_array_equal(matching.pairs, [[1, 1], [2, 2]])
  np.testing.assert_allclose(matching.iou_of_matches, [1 / 6, 4 / 9])


def test_numbers_of_labels_do_not_matter():
  truth = make_instances.label_images(0)[1]
  numbers = np.append(0, 1 + np.random.RandomState(0).permutation(60_000)).astype(np.uint16)
  renumbered = numbers[truth]
  np.testing.assert_array_equal(average_precision(renumbered, truth), 1)
  matching = match(renumbered, truth, 1)
  np.testing.assert_array_equal(matching.pairs[:, 0], numbers[matching.pairs[:, 1]])
  assert count_error(renumbered, truth) == 0


def test_images_without_objects_or_without_background():
  truth = rectangles((3, (0, 0, 4, 4)), (7, (8, 8, 4, 4)))
  assert set(scores(match(EMPTY, EMPTY)).values()) == {1}
  np.testing.assert_array_equal(average_precision(EMPTY, EMPTY), 1)
  for prediction, reference, counts in ((EMPTY, truth, (0, 0, 2)), (truth, EMPTY, (0, 2, 0))):
    matching = match(prediction, reference)
    assert matching[:3] == counts
    assert set(scores(matching).values()) == {0}
    np.testing.assert_array_equal(average_precision(prediction, reference), 0)
    assert count_error(prediction, reference) == counts[1] - counts[2]
  left, right = np.full((4, 8), 2), np.full((4, 8), 6)
  right[:, 6:] = 9
  np.testing.assert_array_equal(overlaps(left, right), [[0.75, 0.25]])


@pytest.mark.parametrize('distance', [10, 30, 60])
def test_disks_of_known_overlap(distance):
  radius = 60
  labels = [disk_labels((100, 100 + x, radius), shape=(200, 260)) for x in (0, distance)]
  lens = 2 * radius**2 * np.arccos(distance / (2 * radius))
  lens -= distance / 2 * np.sqrt(4 * radius**2 - distance**2)
  iou = lens / (2 * np.pi * radius**2 - lens)
  assert overlaps(*labels).item() == pytest.approx(iou, abs=3e-3)
  assert match(*labels, iou - 0.01)[:3] == (1, 0, 0)
  assert match(*labels, iou + 0.01)[:3] == (0, 1, 1)


@pytest.mark.parametrize('threshold', THRESHOLDS)
def test_an_iou_that_equals_the_threshold_is_a_match(threshold):
  truth = np.ones((1, 100), np.int32)
  prediction = np.zeros((1, 100), np.int32)
  prediction[:, : round(100 * threshold)] = 1
  assert match(prediction, truth, threshold)[:3] == (1, 0, 0)
  prediction[:, round(100 * threshold) - 1] = 0
  assert match(prediction, truth, threshold)[:3] == (0, 1, 1)


def best_by_brute_force(iou, threshold):
  """(matches, sum of their IoUs) of the best of all one-to-one assignments."""
  if iou.shape[0] > iou.shape[1]:
    iou = iou.T
  totals = []
  for columns in itertools.permutations(range(iou.shape[1]), iou.shape[0]):
    chosen = iou[np.arange(len(iou)), columns]
    matched = chosen[chosen >= threshold]
    totals.append((len(matched), matched.sum()))
  return max(totals)


@pytest.mark.parametrize('threshold', [0.05, 0.1, 0.2, 0.5])
def test_no_assignment_is_better(threshold):
  random = np.random.RandomState(3)
  for _ in range(30):
    prediction = random.randint(0, 5, (5, 5))
    # Much of the truth agrees, so that there are matches at every threshold.
    truth = np.where(random.uniform(size=(5, 5)) < 0.5, prediction, random.randint(0, 6, (5, 5)))
    matching = match(prediction, truth, threshold)
    count, total = best_by_brute_force(overlaps(prediction, truth), threshold)
    assert matching.true_positives == len(matching.pairs) == count
    assert matching.iou_of_matches.sum() == pytest.approx(total)
    for side in matching.pairs.T:
      assert len(np.unique(side)) == count  # one to one
    for (predicted, true), value in zip(matching.pairs, matching.iou_of_matches, strict=True):
      found = (prediction == predicted) & (truth == true)
      either = (prediction == predicted) | (truth == true)
      assert value == found.sum() / either.sum() >= threshold


def test_a_pool_is_the_sum_by_hand():
  matchings = [match(*make_instances.label_images(index)) for index in range(3)]
  together = pool(matchings)
  assert together[:3] == tuple(np.sum([m[:3] for m in matchings], axis=0))
  assert len(together.pairs) == together.true_positives
  found, false, missed = together[:3]
  total_iou = sum(m.iou_of_matches.sum() for m in matchings)
  by_hand = {
    'accuracy': found / (found + false + missed),
    'precision': found / (found + false),
    'recall': found / (found + missed),
    'f1': 2 * found / (2 * found + false + missed),
    'panoptic_quality': 2 * total_iou / (2 * found + false + missed),
  }
  assert scores(together) == pytest.approx(by_hand)
  assert set(scores(pool([])).values()) == {1}


@pytest.mark.parametrize(
  ('prediction', 'complaint'),
  [
    (EMPTY[:8], r'prediction is \(8, 16\) and truth \(16, 16\)'),
    (EMPTY - 1, 'prediction has the label -1'),
    (EMPTY > 0, 'prediction has bool values'),
    (EMPTY / 1, 'prediction has float64 values'),
  ],
)
def test_what_is_no_label_image_is_refused(prediction, complaint):
  for score in (overlaps, match, average_precision, count_error):
    with pytest.raises(InputError, match=complaint):
      score(prediction, EMPTY)


@pytest.mark.parametrize('threshold', [0, 1.1, float('nan')])
def test_thresholds_outside_0_to_1_are_refused(threshold):
  with pytest.raises(InputError, match='threshold is'):
    match(EMPTY, EMPTY, threshold)


def check_against(reference):
  matchings = [
    match_each(*make_instances.label_images(index), make_instances.THRESHOLDS)
    for index in range(make_instances.NUM_IMAGES)
  ]
  # Below 0.5 StarDist's choice between equally many matches counts IoUs of unmatched pairs too.
  first = {'panoptic_quality': make_instances.THRESHOLDS.index(0.5)}
  for name, score in SCORES.items():
    found = np.array([[score(matching) for matching in of_image] for of_image in matchings])
    kept = slice(first.get(name, 0), None)
    expected = np.array(reference[name])
    np.testing.assert_allclose(found[:, kept], expected[:, kept], atol=2e-7, err_msg=name)


def test_agreement_with_recorded_scores_of_stardist():
  check_against(json.loads(make_instances.PATH.read_text()))


def test_agreement_with_stardist():
  pytest.importorskip('stardist.matching')
  check_against(make_instances.reference_scores())
