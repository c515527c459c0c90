"""Scores of files whose overlap is known."""

import functools

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from fscs.errors import InputError
from fscs.segmentation.evaluation import choose_objects, score_file, total_scores

NOTHING = np.zeros((16, 16), np.int32)
# Two objects of 16 pixels; the first is predicted a column too far to the right: 12 of 20 pixels.
TRUTH, PREDICTION, TOUCHING = NOTHING.copy(), NOTHING.copy(), NOTHING.copy()
TRUTH[:4, :4], TRUTH[8:12, 8:12] = 3, 9
PREDICTION[:4, 1:5], PREDICTION[8:12, 8:12] = 1, 2
TOUCHING[:4, :4], TOUCHING[:4, 4:8] = 1, 2

# By hand: 28 of 36 pixels are in both; the IoUs 0.6 and 1 reach 3 and 10 of the ten thresholds.
EXPECTED = {
  'iou': 28 / 36,
  'dice': 28 / 32,
  'precision': 28 / 32,
  'recall': 28 / 32,
  'ap_50': 1,
  'ap_75': 1 / 3,
  'ap_mean': (3 * 1 + 7 / 3) / 10,
  'f1_50': 1,
  'panoptic_quality_50': 0.8,
  'objects_predicted': 2,
  'objects_true': 2,
  'count_error': 0,
}

write = functools.partial(tifffile.imwrite, photometric='minisblack')


@pytest.fixture
def pages(tmp_path):
  """Scores {prediction: truth} as files; returns the pages."""

  def score(pairs):
    readings = []
    for index, (prediction, truth) in enumerate(pairs):
      write(tmp_path / f'{index}_labels.tif', prediction)
      write(tmp_path / f'{index}.tif', truth)
      readings += score_file(
        str(index), tmp_path / f'{index}_labels.tif', tmp_path / f'{index}.tif'
      )
    return choose_objects(readings)

  return score


def test_scores_solved_by_hand(pages):
  (page,) = pages([(PREDICTION, TRUTH)])
  assert page.scores._asdict() == pytest.approx(EXPECTED, abs=1e-5)
  assert total_scores([page]) == page.scores
  assert not page.components


def test_totals_are_means_of_pixel_scores_and_sums_of_objects(pages):
  one, four = np.zeros((2, 8, 8), np.uint16)
  one[2:6, 2:6] = 5
  four[0, :4], four[0, 4:], four[7, :4], four[7, 4:] = 1, 2, 3, 4  # all far from the predicted one
  found = pages([(PREDICTION, TRUTH), (one, four)])
  total = total_scores(found)
  np.testing.assert_allclose(total[:4], np.mean([page.scores[:4] for page in found], axis=0))
  # Of 2 + 1 predicted and 2 + 4 true objects 2 match at 0.5 and 1 at 0.75.
  assert total.ap_50 == pytest.approx(2 / (2 + 1 + 4))
  assert total.ap_75 == pytest.approx(1 / (1 + 2 + 5))
  assert total.f1_50 == pytest.approx(2 * 2 / (3 + 6))
  assert total.panoptic_quality_50 == pytest.approx(1.6 / 4.5)
  assert total.count_error == -3


def test_every_page_is_an_image_also_without_objects(pages):
  predicted = np.stack([PREDICTION, PREDICTION, NOTHING, NOTHING])
  found = pages([(predicted, np.stack([TRUTH, NOTHING, TRUTH, NOTHING]).astype(np.uint8))])
  assert [page.page for page in found] == [1, 2, 3, 4]
  assert [page.scores.count_error for page in found] == [0, 2, -2, 0]
  np.testing.assert_allclose([page.scores.ap_mean for page in found], [16 / 30, 0, 0, 1])
  for page, score in zip(found[1:], (0, 0, 1), strict=True):
    np.testing.assert_allclose(page.scores[:9], score, atol=1e-4)


def test_binary_truth_says_nothing_about_touching_objects(pages):
  binary = (TOUCHING > 0).astype(np.uint8)
  both = pages([(TOUCHING, binary)] * 2)
  assert [page.components for page in both] == [True, True]
  assert [page.scores.ap_mean for page in both] == [1, 1]
  # If some truths tell objects apart, a truth of one value has one object.
  one, other = pages([(TOUCHING, binary), (TOUCHING, TOUCHING)])
  assert [page.components for page in (one, other)] == [False, False]
  assert [page.scores.count_error for page in (one, other)] == [1, 0]


def test_objects_of_a_predicted_mask_are_its_components(tmp_path):
  imsave(tmp_path / 'a_mask.png', ((TOUCHING > 0) * 255).astype(np.uint8), check_contrast=False)
  write(tmp_path / 'a.tif', TOUCHING)
  (page,) = choose_objects(score_file('a', tmp_path / 'a_mask.png', tmp_path / 'a.tif'))
  assert page.components
  assert (page.scores.objects_predicted, page.scores.objects_true) == (1, 2)
  assert page.scores.iou == 1


@pytest.mark.parametrize(
  ('prediction', 'truth', 'message'),
  [
    (np.stack([PREDICTION] * 2), TRUTH, '0.tif: found 1 page, expected 2'),
    (PREDICTION, TRUTH[:8], '0.tif: .*8 x 16'),
    (PREDICTION / np.float32(3), TRUTH, '0_labels.tif: found negative or fractional'),
    (PREDICTION - 1, TRUTH, '0_labels.tif: found negative .*-1 to'),
  ],
)
def test_files_that_cannot_be_scored_are_named(pages, prediction, truth, message):
  with pytest.raises(InputError, match=message):
    pages([(prediction, truth)])
