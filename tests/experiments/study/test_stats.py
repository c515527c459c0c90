"""Paired differences with their intervals, losses and curves, on numbers made by hand."""

import numpy as np
import pytest

from experiments.study import stats
from fscs.errors import InputError


@pytest.fixture
def frame(made_up):
  """A function from tuples (method, target, iou[, fields]) to a frame."""

  def make(*rows):
    made = [made_up(*row[:3], **(row[3] if len(row) > 3 else {})) for row in rows]
    return stats.to_frame(made)

  return make


def test_differences_are_paired_and_their_interval_holds_them(frame):
  random = np.random.default_rng(0)
  base, gain = random.uniform(0, 1, 30), random.uniform(0.05, 0.15, 30)
  results = frame(
    ('scratch', 'EM', base + gain),
    ('otsu', 'EM', base),
    ('scratch', 'B5', [0.9]),
    ('forest', 'TNBC', [0.3]),
  )
  found = stats.difference(results, 'scratch', 'otsu')
  assert found.mean == pytest.approx(gain.mean())
  assert 0.05 < found.low < found.mean < found.high < 0.15
  assert found.count == 1
  back = stats.difference(results, 'otsu', 'scratch')
  np.testing.assert_allclose(back[:3], [-found.mean, -found.high, -found.low], atol=1e-3)
  assert stats.difference(results, 'scratch', 'forest') is None


def test_an_image_counts_once_however_often_it_is_scored(frame):
  noise = np.random.default_rng(0).normal(0, 0.1, 20)
  zero, noisy = np.zeros(20), noise - noise.mean()

  def width(name, values):
    rows = []
    for value in values:
      rows += [('scratch', 'EM', noisy, {name: value}), ('otsu', 'EM', zero, {name: value})]
    found = stats.difference(frame(*rows), 'scratch', 'otsu')
    return found.high - found.low

  one = width('shots', (1,))
  assert one == pytest.approx(2 * 1.96 * noise.std() / 20**0.5, rel=0.1)
  assert width('shots', (1, 5, 10)) == pytest.approx(one)
  assert width('selection', (1, 2, 3)) == pytest.approx(one)


def test_support_sets_of_a_target_are_resampled_and_targets_are_not(frame):
  def found(*gains, targets=('EM', 'EM')):
    rows = []
    for number, (target, gain) in enumerate(zip(targets, gains, strict=True), 1):
      rows.append(('otsu', target, [0.5, 0.5], {'selection': number}))
      rows.append(('scratch', target, [0.5 + gain] * 2, {'selection': number}))
    return stats.difference(frame(*rows), 'scratch', 'otsu')

  assert found(0.1, 0.1)[:3] == pytest.approx((0.1, 0.1, 0.1))
  # The weight of one of two is uniform, and so is the mean between 0 and 0.2.
  np.testing.assert_allclose(found(0.0, 0.2)[:3], [0.1, 0.005, 0.195], atol=0.004)
  assert found(0.0, 0.2, targets=('EM', 'B5'))[:3] == pytest.approx((0.1, 0.1, 0.1))


def test_results_of_different_images_are_not_paired(frame):
  results = frame(('scratch', 'EM', [0.5]), ('otsu', 'EM', [0.5], {'images': ('other',)}))
  with pytest.raises(InputError, match='are of different images'):
    stats.difference(results, 'scratch', 'otsu')


def test_the_best_other_method_is_the_best_on_common_support_sets(frame):
  found = stats.losses_first(
    frame(
      ('fscs', 'EM', [0.7]),
      ('forest', 'EM', [0.5]),
      ('forest', 'EM', [0.9], {'selection': 2}),
      ('otsu', 'EM', [1.0], {'selection': 2}),
    ),
    'fscs',
  )
  (row,) = found.itertuples(index=False)
  assert tuple(row[:6]) == ('EM', 1, 1, 0.7, 'forest', 0.5)


def test_a_method_that_has_done_little_does_not_shrink_the_comparison_of_cost(frame):
  rows = [(name, 'EM', [0.5], {'shots': k}) for name in ('fscs', 'forest') for k in (1, 5, 10)]
  results = frame(*rows, ('scratch', 'EM', [0.5]), ('otsu', 'B5', [0.5]))
  found = stats.most_in_common(results, 'fscs')
  assert list(found['method']) == ['fscs'] * 3 + ['forest'] * 3
  few = stats.most_in_common(results[results['shots'] == 1], 'fscs')
  assert list(few['method']) == ['fscs', 'forest', 'scratch']


def test_a_curve_is_of_the_support_sets_that_were_followed(frame):
  followed = ((1, 0.2, 25), (1, 0.4, 250), (2, 0.4, 25), (2, 0.6, 250), (3, 0.9, 250))
  rows = [
    ('scratch', 'EM', [iou], {'selection': selection, 'steps': steps})
    for selection, iou, steps in followed
  ]
  curve = stats.curve(frame(*rows), 'scratch', 'EM', 1)
  assert curve == pytest.approx({25: 0.3, 250: 0.5})
  assert [stats.first_to_reach(curve, score) for score in (0.2, 0.4, 0.6)] == [25, 250, None]
