"""The numbers of a study: means, paired differences, curves."""

import numpy as np
import pytest
from study_results import result

from experiments.study import paired, tables
from experiments.study.contestants import OURS
from fscs.errors import InputError


def test_means_are_over_images_and_then_over_selections():
  results = [
    result('forest', 'EM', [0.2, 0.4]),
    result('forest', 'EM', [0.5], selection=2),
    result('otsu', 'EM', [0.1]),
  ]
  table = tables.means(results)
  mean = table['forest', 'EM', 1]
  assert mean.mean == pytest.approx(0.4)
  assert mean.deviation == pytest.approx(np.std([0.3, 0.5], ddof=1))
  assert mean.count == 2
  assert table['otsu', 'EM', 1].deviation == 0


def test_differences_are_paired_and_their_interval_holds_them():
  random = np.random.default_rng(0)
  base = random.uniform(0, 1, 30)
  gain = random.uniform(0.05, 0.15, 30)
  results = [result('scratch', 'EM', base + gain), result('otsu', 'EM', base)]
  results += [result('scratch', 'B5', [0.9]), result('forest', 'TNBC', [0.3])]
  found = paired.difference(results, 'scratch', 'otsu')
  assert found.mean == pytest.approx(gain.mean())
  assert 0.05 < found.low < found.mean < found.high < 0.15
  assert found.cells == 1
  back = paired.difference(results, 'otsu', 'scratch')
  np.testing.assert_allclose(
    [back.mean, back.low, back.high], [-found.mean, -found.high, -found.low], atol=1e-3
  )
  assert paired.difference(results, 'scratch', 'forest') is None


def test_an_image_counts_once_however_often_it_is_scored():
  noise = np.random.default_rng(0).normal(0, 0.1, 20)
  zero, noisy = np.zeros(20), noise - noise.mean()

  def width(name, values, images):
    results = []
    for value, prefix in zip(values, images, strict=True):
      fields = {name: value, 'images': tuple(f'{prefix}{i}' for i in range(20))}
      results += [result('scratch', 'EM', noisy, **fields), result('otsu', 'EM', zero, **fields)]
    found = paired.difference(results, 'scratch', 'otsu')
    return found.high - found.low

  one = width('shots', (1,), 'a')
  assert one == pytest.approx(2 * 1.96 * noise.std() / 20**0.5, rel=0.1)
  assert width('shots', (1, 5, 10), 'aaa') == pytest.approx(one)  # the same images three times
  assert width('selection', (1, 2, 3), 'aaa') == pytest.approx(one)
  alike = width('selection', (1, 2, 3), 'abc')  # but for chance, a third of what they are of one
  assert one / 3**0.5 < alike < 1.3 * one / 3**0.5


def test_selections_of_a_target_count_as_drawn_at_random():
  def found(*gains, targets=('EM', 'EM')):
    results = []
    for number, (target, gain) in enumerate(zip(targets, gains, strict=True), 1):
      base = result('otsu', target, [0.5, 0.5], selection=number)
      results += [base, result('scratch', target, [0.5 + gain] * 2, selection=number)]
    return paired.difference(results, 'scratch', 'otsu')

  same, unlike = found(0.1, 0.1), found(0.0, 0.2)
  assert same[:3] == pytest.approx((0.1, 0.1, 0.1))
  assert unlike.mean == pytest.approx(0.1)
  # Of two, the weight of one among both is uniform, and so is the mean from 0 to 0.2.
  np.testing.assert_allclose([unlike.low, unlike.high], [0.005, 0.195], atol=0.004)
  apart = found(0.0, 0.2, targets=('EM', 'B5'))  # targets are not drawn
  assert apart[:3] == pytest.approx((0.1, 0.1, 0.1))


def test_results_after_several_numbers_of_steps_are_no_pair():
  results = [result(name, 'EM', [0.5]) for name in ('scratch', 'bce')]
  results.append(result('bce', 'EM', [0.4], steps=25))
  with pytest.raises(ValueError, match='two results of'):
    paired.difference(results, 'scratch', 'bce')


def test_results_of_different_images_are_not_paired():
  results = [result('scratch', 'EM', [0.5]), result('otsu', 'EM', [0.5], images=('other',))]
  with pytest.raises(InputError, match=r'EM/scratch/.* and .*EM/otsu/.* are of different images'):
    paired.difference(results, 'scratch', 'otsu')


def test_where_a_contestant_loses_comes_first():
  results = [
    result('scratch', 'EM', [0.5]),
    result('forest', 'EM', [0.4]),
    result('scratch', 'B5', [0.7]),
    result('forest', 'B5', [0.9]),
    result('otsu', 'B5', [0.8]),
  ]
  rivals = paired.losses_first(results, 'scratch')
  assert [(rival.target, rival.other) for rival in rivals] == [('B5', 'forest'), ('EM', 'forest')]
  np.testing.assert_allclose([rival.difference for rival in rivals], [-0.2, 0.1])


def test_the_best_other_is_compared_on_the_selections_that_ours_has_done_too():
  results = [
    result(OURS, 'EM', [0.7]),
    result('forest', 'EM', [0.5]),
    result('forest', 'EM', [0.9], selection=2),
    result('otsu', 'EM', [1.0], selection=2),
  ]
  (rival,) = paired.losses_first(results, OURS)
  assert rival[:3] == ('EM', 1, 'forest')
  assert (rival.ours, rival.its, rival.count) == (0.7, 0.5, 1)


def test_a_contestant_that_has_done_little_does_not_take_others_from_the_comparison_of_cost():
  ours, forest = ([result(n, 'EM', [0.5], shots=k) for k in (1, 5, 10)] for n in (OURS, 'forest'))
  little, elsewhere = result('scratch', 'EM', [0.5]), result('otsu', 'B5', [0.5])
  assert paired.most_in_common([*ours, *forest, little, elsewhere], OURS) == [*ours, *forest]
  assert paired.most_in_common([*ours, little], OURS) == [ours[0], little]
  assert paired.most_in_common([*forest, little], OURS) == forest
  assert paired.most_in_common([elsewhere, *ours], OURS) == ours  # nothing to compare it with
  three = ('forest', 'otsu', 'scratch')  # each has done all but another one of eight
  apart = [
    result(name, 'EM', [0.5], shots=k) for i, name in enumerate(three) for k in range(8) if k != i
  ]
  every = [result(OURS, 'EM', [0.5], shots=k) for k in range(8)]
  largest = paired.most_in_common([*every, *apart], OURS)
  assert largest == [r for r in (*every, *apart) if r.cell.shots >= 3]


def test_only_the_last_step_counts_in_tables_and_all_in_curves():
  results = [result('scratch', 'EM', [0.1 * i], steps=s) for i, s in enumerate((0, 25, 250))]
  results.append(result('otsu', 'EM', [0.3], steps=0))
  results.append(result('bce', 'EM', [0.3], steps=25))  # has not been done to the end
  ends = tables.at_end(results, 250)
  assert [(r.cell.contestant, r.cell.steps) for r in ends] == [('scratch', 250), ('otsu', 0)]
  assert tables.curve(results, 'scratch', 'EM', 1) == pytest.approx({0: 0.0, 25: 0.1, 250: 0.2})


def test_curves_are_of_the_selections_that_were_followed():
  results = [
    result('scratch', 'EM', [iou], selection=selection, steps=steps)
    for selection, iou, steps in ((1, 0.2, 25), (1, 0.4, 250), (2, 0.4, 25), (2, 0.6, 250))
  ]
  other = [result('scratch', 'EM', [0.9], selection=3)]
  curve = tables.curve(results + other, 'scratch', 'EM', 1)
  assert curve == pytest.approx({25: 0.3, 250: 0.5})
  assert tables.curve(results, 'otsu', 'EM', 1) == {}


def test_the_first_step_that_reaches_a_score():
  curve = {0: 0.1, 25: 0.5, 60: 0.4, 250: 0.6}
  assert [tables.first_to_reach(curve, score) for score in (0.1, 0.45, 0.55, 0.7)] == [
    0,
    25,
    250,
    None,
  ]


def test_neighbours_of_annotated_sections_can_be_left_out():
  found = result('otsu', 'EM', [0.9, 0.5, 0.1], sections=(1, 10, 12))
  assert tables.distant_iou(10)(found) == [0.5, 0.1]
  assert ('otsu', 'EM', 1) not in tables.means([found], tables.distant_iou(13))
  assert tables.distant_iou(3)(result('otsu', 'B5', [0.9])) == ()
