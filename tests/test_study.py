"""The study: its numbers by hand, its cells on disk, and the commands on tiny simulated images."""

import dataclasses
import functools
import itertools
import json
import os
import signal
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from command_line import refusal_of
from skimage.draw import disk

from experiments import baselines, meta_train, report
from experiments.options import from_preset
from experiments.presets import PRESETS
from experiments.study import (
  archive,
  cells,
  claims,
  colours,
  command,
  copies,
  document,
  effort,
  examples,
  legend,
  networks,
  opening,
  paired,
  plots,
  protocols,
  rounds,
  sections,
  tables,
  targets,
  terms,
)
from experiments.study.cells import Cell, Result
from experiments.study.document import Table
from experiments.study.protocols import (
  COLOURED,
  CONTESTANTS,
  FOLLOWED,
  OURS,
  PROTOCOLS,
  TRAININGS,
  tuning_of,
)
from experiments.study.targets import Split, Target
from fscs.datasets import CODES
from fscs.errors import InputError
from fscs.evaluate import Adapted
from fscs.objects import Splitting, usual_splitting
from fscs.preprocessing import GreySet
from fscs.selections import random_selections


def result(contestant, target, iou, *, shots=1, selection=1, steps=None, **fields):
  if steps is None:  # all that it takes
    known = CONTESTANTS.get(contestant)
    steps = 250 if known and known.tuning else 0
  cell = Cell(target, contestant, shots, selection, 0, steps)
  names = tuple(f'image {i}' for i in range(len(iou)))
  standard = {
    'support': ('support',),
    'images': names,
    'sections': None,
    'average_precision': None,
    'seconds': 2.0,
    'seconds_per_image': 0.5,
    'peak_mb': 100.0,
    'losses': (1.0, 0.5),
  }
  return Result(cell, iou=tuple(iou), **{**standard, **fields})


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


def test_a_part_of_the_recipe_gains_where_the_variant_without_it_is_worse():
  results = [
    result(OURS, 'EM', [0.5, 0.7]),
    result('ours-plain', 'EM', [0.4, 0.6]),
    result(OURS, 'B5', [0.9]),
    result('ours-plain', 'B5', [0.95]),
    result('ours-unsized', 'B5', [0.8]),
    result('otsu', 'B5', [0.1]),
  ]
  *_, table = sections.ablations(results)
  assert table.header == ('instead', 'B5', 'EM', 'mean', '95 % interval', 'gains on')
  assert table.rows == [
    (CONTESTANTS['ours-unsized'].label, '+0.100', '', '+0.100', '+0.100 to +0.100', '1 of 1'),
    (CONTESTANTS['ours-plain'].label, '-0.050', '+0.100', '+0.025', '+0.025 to +0.025', '1 of 2'),
  ]
  assert list(sections.ablations(results[-1:])) == []


def test_what_a_part_gives_is_told_for_every_number_of_steps_and_images_of_the_recipe():
  results = [
    result(OURS, 'EM', [0.5], steps=25),
    result('ours-plain', 'EM', [0.3], steps=25),
    result(OURS, 'EM', [0.8]),
    result('ours-plain', 'EM', [0.7]),
    result('ours-unsized', 'EM', [0.7], steps=60),
    result(OURS, 'EM', [0.8], shots=5),
    result('ours-plain', 'EM', [0.5], shots=5),
  ]
  tables_of = [part for part in sections.ablations(results) if isinstance(part, Table)]
  gains = [table.rows[0][1] for table in tables_of]
  assert gains == ['+0.100', '+0.300', '+0.200']  # most steps come first, then fewest images
  assert [len(table.rows) for table in tables_of] == [1, 1, 1]


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


def test_variants_of_the_recipe_are_no_competitors_but_say_what_its_parts_give():
  results = [
    result(OURS, 'EM', [0.7]),
    result('forest', 'EM', [0.5]),
    result('ours-random', 'EM', [0.8]),
  ]
  parts = [*opening.summary(results, 'cpu-small', missing=3), *sections.of_ours(results)]
  texts = [part.text for part in parts if isinstance(part, document.Text)]
  assert texts[1] == 'Not finished: 3 of the experiments are still to be done.'
  assert texts[2].endswith(
    '0 of the 1 pairs of target and K that are done, on average over them +0.200.'
  )
  losses, others, variants = (part for part in parts if isinstance(part, document.Table))
  assert losses.rows == [('EM', '1', '1', '0.700', 'random forest', '0.500', '+0.200')]
  assert [row[:2] for row in others.rows] == [('random forest', '+0.200')]
  assert [row[:2] for row in variants.rows] == [('ours, from random parameters', '-0.100')]


def test_one_image_of_ours_is_held_against_the_most_of_the_papers_method():
  results = [
    result(OURS, 'EM', [0.7]),
    result(OURS, 'EM', [0.1], selection=2),  # the paper's method has not done it
    result('combined', 'EM', [0.6], shots=10),
    result(OURS, 'B5', [0.7]),
    result('combined', 'B5', [0.8], shots=10),
    result('combined', 'B5', [0.2]),
    result('forest', 'B5', [0.9]),
  ]
  _, text, table = claims.one_against_many(results)
  assert 'reaches meta-learned, combined from 10 on 1 of 2 targets' in text.text
  assert table.header[2:] == ('meta-learned, combined, K = 10', 'ours', 'random forest')
  assert table.rows == [
    ('B5', '1', '0.800', '0.700', '0.900'),
    ('EM', '1', '0.600', '0.700', ''),
  ]
  assert list(claims.one_against_many(results[:2])) == []


def test_the_papers_initialisations_are_held_against_random_ones_and_transfer():
  results = [
    result('combined', 'EM', [0.6, 0.6]),
    result('transfer', 'EM', [0.5, 0.5]),
    result('transfer', 'B5', [0.5]),
    result('random-normal', 'EM', [0.7, 0.7]),
  ]
  *_, table = claims.of_the_paper(results)
  assert [row[:2] for row in table.rows] == [
    ('meta-learned, combined', 'random, N(0, 1)'),
    ('meta-learned, combined', 'transfer'),
  ]
  assert table.rows[1][2:] == ('', '+0.100', '+0.100', '+0.100 to +0.100', '1')
  assert list(claims.of_the_paper(results[1:])) == []


def test_no_two_contestants_look_alike_as_points_or_as_lines():
  styles = [plots._style(name) for name in CONTESTANTS]
  points = {(s['color'], s['marker']) for s in styles}
  lines = {(s['color'], s.get('linestyle')) for s in styles}
  assert len(points) == len(lines) == len(CONTESTANTS)


def test_costs_are_compared_on_what_all_contestants_have_done(tmp_path):
  easy, hard = ('B5', [0.9]), ('TNBC', [0.3])
  results = [result('forest', *easy), result('forest', *hard), result(OURS, 'TNBC', [0.5])]
  assert paired.in_common(results) == results[1:]
  table = next(p for p in effort.cost(results, tmp_path) if isinstance(p, document.Table))
  assert [row[:2] for row in table.rows] == [('random forest', '0.300'), ('ours', '0.500')]
  assert paired.in_common([]) == []
  assert paired.in_common([result('otsu', *easy), result('forest', *hard)]) == []


def test_a_contestant_that_has_done_little_does_not_take_others_from_the_comparison_of_cost():
  ours, forest = ([result(n, 'EM', [0.5], shots=k) for k in (1, 5, 10)] for n in (OURS, 'forest'))
  little, elsewhere = result('scratch', 'EM', [0.5]), result('otsu', 'B5', [0.5])
  assert paired.most_in_common([*ours, *forest, little, elsewhere], OURS) == [*ours, *forest]
  assert paired.most_in_common([*ours, little], OURS) == [ours[0], little]
  assert paired.most_in_common([*forest, little], OURS) == forest
  assert paired.most_in_common([elsewhere, *ours], OURS) == ours  # nothing to compare it with


def test_costs_are_of_one_machine_on_which_ours_was_measured(tmp_path):
  results = [
    result('otsu', 'B5', [0.5]),
    result('forest', 'B5', [0.6]),
    result('scratch', 'B5', [0.6]),
    result(OURS, 'B5', [0.9], machine='2 x fast'),
    result('forest', 'B5', [0.7], machine='2 x fast'),
    result(OURS, 'B5', [0.8], machine='1 x slow'),
  ]
  parts = list(effort.cost(results, tmp_path))
  table = next(part for part in parts if isinstance(part, document.Table))
  assert [row[:2] for row in table.rows] == [('random forest', '0.700'), ('ours', '0.900')]
  assert 'done on 2 x fast: B5.' in next(p for p in parts if isinstance(p, document.Text)).text
  assert len(list(effort.cost(results[:3], tmp_path))) == 4  # nothing is known of any machine


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


def test_every_row_of_the_tables_is_explained():
  assert set(legend.WORDS) == set(protocols.COMPARED)
  _, _, table = legend.legend([result(protocols.OURS, 'EM', [0.5]), result('otsu', 'EM', [0.5])])
  assert [label for label, _ in table.rows] == ["Otsu's threshold", 'ours']


def test_where_no_object_is_annotated_regions_are_objects():
  assert usual_splitting(np.zeros((2, 9, 9), np.int32)) == Splitting()


def test_results_of_several_trainings_in_place_of_one_are_told():
  one = [result('bce', 'EM', [0.5], start='aa'), result('bce', 'B5', [0.5], start='bb')]
  unknown = [result('bce', 'EM', [0.5], selection=2)]
  assert tables.starts(one) == {}
  assert tables.starts(one + unknown) == {('bce', 'EM'): 2}
  assert tables.starts([r._replace(machine='2 x fast') for r in unknown * 2]) == {}
  assert tables.starts([r._replace(machine=m) for r in unknown for m in ('fast', 'slow')]) == {
    ('bce', 'EM'): 2
  }
  untrained = [result('scratch', 'EM', [0.5], start=digest) for digest in ('aa', 'bb')]
  assert tables.starts(untrained) == {}
  other = [result('bce', 'EM', [0.6], selection=3, start='cc')]
  assert tables.starts(one + other) == {('bce', 'EM'): 2}
  (told,) = opening.trainings(one + other)
  assert told.text.endswith('the results, curves among them, of meta-learned, bce on EM.')
  assert list(opening.trainings(one)) == []


def test_selections_of_other_numbers_of_images_are_named():
  results = [
    result('otsu', 'EM', [0.5], shots=2, selection=7),
    result('forest', 'EM', [0.5], shots=2, selection=7),
    result('otsu', 'EM', [0.5]),
  ]
  _, note = opening.summary(results, 'cpu-small')
  assert note.text == 'EM, K = 2: selection 7 annotates 1 images.'


def test_the_first_step_that_reaches_a_score():
  curve = {0: 0.1, 25: 0.5, 60: 0.4, 250: 0.6}
  assert [tables.first_to_reach(curve, score) for score in (0.1, 0.45, 0.55, 0.7)] == [
    0,
    25,
    250,
    None,
  ]


def test_in_short_every_contestant_but_variants_has_a_row_and_gaps_are_told():
  results = [
    result(OURS, 'EM', [0.5, 0.7]),
    result(OURS, 'EM', [0.8], selection=2),
    result(OURS, 'EM', [0.9], shots=5),
    result('otsu', 'B5', [0.1]),
    result('ours-plain', 'B5', [0.95]),
  ]
  *_, table = sections.in_short(results)
  assert table.header == ('', 'B5', 'EM', 'selections')
  assert table.rows == [
    (CONTESTANTS['otsu'].label, '0.100 / -', '- / -', '1'),
    (CONTESTANTS[OURS].label, '- / -', '0.700 / 0.900', '1 to 2'),
  ]


def test_neighbours_of_annotated_sections_can_be_left_out():
  found = result('otsu', 'EM', [0.9, 0.5, 0.1], sections=(1, 10, 12))
  assert tables.distant_iou(10)(found) == [0.5, 0.1]
  assert ('otsu', 'EM', 1) not in tables.means([found], tables.distant_iou(13))
  assert tables.distant_iou(3)(result('otsu', 'B5', [0.9])) == ()


def test_images_far_from_annotated_ones_count_alike_however_few_a_selection_has():
  results = [
    result(OURS, 'EM', [0.9, 0.1, 0.1], sections=(12, 1, 2)),
    result(OURS, 'EM', [0.5, 0.6, 0.7], sections=(10, 11, 20), selection=2),
    result(OURS, 'EM', [0.3], sections=(9,), shots=5),
  ]
  assert tables.pooled(results, tables.distant_iou(10)) == {
    (OURS, 'EM', 1): (pytest.approx((0.9 + 0.5 + 0.6 + 0.7) / 4), None, 4)
  }
  *_, text, table = sections._far(results, sections.labels_of(results), 'EM', 10)
  assert text.text.endswith('There are, in one selection after the other, K = 1: 1, 3; K = 5: 0.')
  assert table.rows == [[CONTESTANTS[OURS].label, '0.675 (4)']]
  assert not list(sections._far(results, {}, 'ssTEM', 3))


def grey_set(code='EM', count=9):
  names = tuple(f'{i}.png' for i in range(count))
  images = np.zeros((count, 8, 8), np.uint8)
  return GreySet(code, images, images, names)


def test_sections_count_to_the_nearest_annotated_one():
  split = Split([2, 7], np.array([0, 3, 5, 8]))
  assert targets.sections(Target(grey_set(), None), split) == (2, 1, 2, 1)
  assert targets.sections(Target(grey_set('B5'), None), split) is None


def test_grey_values_are_learned_from_the_colours_of_annotated_images_alone():
  random = np.random.default_rng(0)
  masks = (random.random((5, 16, 16)) < 0.3).astype(np.uint8)
  colours = random.normal(100, 5, (5, 16, 16, 3))
  colours[:2, ..., 0] += 60 * masks[:2]  # of the others, what the masks hold is not to be seen
  blank = GreySet('TNBC', np.zeros_like(masks), masks, tuple('abcde'))
  target = Target(blank, None, colours)
  learned = targets.with_learned_grey(target, [0, 1])
  assert learned.grey_set.images.dtype == np.uint8
  for image, mask in zip(learned.grey_set.images[:2], masks[:2], strict=True):
    assert image[mask > 0].min() > 150 > 100 > image[mask == 0].max()
  others = target._replace(grey_set=blank._replace(masks=masks[[0, 1, 4, 3, 2]]))
  same = targets.with_learned_grey(others, [0, 1]).grey_set.images
  np.testing.assert_array_equal(same, learned.grey_set.images)
  grey = target._replace(colours=None)
  assert targets.with_learned_grey(grey, [0, 1]) is grey
  assert targets.with_learned_grey(target, [2, 3]) is target  # colours say nothing there


def test_learned_colours_are_a_matter_of_targets_that_have_them_and_of_the_terms():
  protocol = PROTOCOLS['cpu-small']
  found = set(command.all_cells(command.Config(), protocol))
  coloured = {cell for cell in found if cell.contestant in COLOURED}
  assert {cell.target for cell in coloured} == {'TNBC'}
  assert {cell.contestant for cell in coloured} == set(COLOURED)
  plain = terms.of('forest', 'cpu-small', simulated=False)
  assert terms.of('forest-colours', 'cpu-small', simulated=False) != plain
  assert 'colours' not in plain['network']


def test_what_colours_give_is_told_on_what_both_have_done():
  precision = {'average_precision': (0.5, 0.5)}
  done = [
    result('forest', 'TNBC', [0.2, 0.4], **precision),
    result('forest', 'TNBC', [0.9, 0.9], selection=2, **precision),
    result('forest-colours', 'TNBC', [0.4, 0.8], **precision),
    result(f'{OURS}-colours', 'TNBC', [0.7, 0.9], **precision),
    result('otsu', 'EM', [0.1, 0.1]),
  ]
  heading, _, table = colours.of_colours(done, ' (here)')
  assert heading.text.endswith('(here)')
  (row,) = table.rows
  assert row[:7] == ('TNBC', '1', 'random forest', '1', '0.300', '0.600', '+0.300')
  assert row[-1] == '+0.200'
  assert list(colours.of_colours(done[:2])) == []


def test_test_images_are_annotated_for_no_number_of_shots_and_the_same_for_all():
  protocol = PROTOCOLS['cpu-small']._replace(shots=(1, 3), max_test_images=4)
  target = Target(grey_set(count=12), None)
  drawn = random_selections(target.grey_set.names, 'EM', shots=(1, 3), num_selections=2, seed=0)
  splits = [
    targets.split(target, drawn, protocol, selection=2, shots=shots) for shots in protocol.shots
  ]
  assert [len(split.support) for split in splits] == [1, 3]
  np.testing.assert_array_equal(splits[0].test, splits[1].test)
  assert len(splits[0].test) == 4
  assert not set(splits[0].test) & {i for split in splits for i in split.support}


def test_rehearsals_share_no_image_with_those_that_are_scored():
  reported, rehearsal = PROTOCOLS['cpu-small'], PROTOCOLS['rehearsal']
  target = Target(grey_set(count=90), None)
  drawn = random_selections(
    target.grey_set.names, 'EM', shots=reported.shots, num_selections=3, seed=0
  )
  scored = {
    index
    for number in reported.selections
    for index in targets.split(target, drawn, reported, selection=number, shots=1).test
  }
  splits = [
    targets.split(target, drawn, rehearsal, selection=0, shots=shots) for shots in rehearsal.shots
  ]
  for split in splits:
    assert not scored & {*split.support, *split.test}
    assert not set(split.support) & set(split.test)
    assert len(split.test) == rehearsal.max_test_images
  assert set(splits[0].support) < set(splits[1].support)
  np.testing.assert_array_equal(splits[0].test, splits[1].test)


@pytest.mark.parametrize('name', PROTOCOLS)
def test_all_trainings_take_as_many_steps_on_as_many_crops(name):
  protocol = PROTOCOLS[name]
  for training in TRAININGS.values():
    config_class = networks._COMMANDS[training.command][1]
    config = dataclasses.replace(from_preset(config_class, protocol.preset), **training.options)
    length = networks._length(config, protocol, training.inner_steps)
    config = dataclasses.replace(config, **length)
    if training.command == 'pretrain':
      steps, crops = config.pretrain_steps, config.pretrain_batch_size
    else:
      steps = config.meta_epochs * 4 * config.task_batch * config.num_inner_steps
      crops = config.num_crops
    assert (steps, crops) == (protocol.training_steps, protocol.training_crops)


def test_steps_that_whole_meta_epochs_do_not_make_are_refused():
  protocol = PROTOCOLS['cpu-small']
  with pytest.raises(InputError, match='1441 training steps are no multiple of the 120'):
    networks._length(from_preset(meta_train.Config, 'cpu'), protocol._replace(training_steps=1441))


def test_a_result_is_read_as_it_was_written(tmp_path):
  written = result('forest', 'TNBC', [0.25, 0.5], average_precision=(0.1, 0.2))
  cells.write(tmp_path, written)
  assert cells.read_all(tmp_path) == [written]
  (tmp_path / written.cell.file).write_text('{"cell": 3}')
  with pytest.raises(InputError, match=r'-0steps.json is damaged .*: remove it'):
    cells.read_all(tmp_path)


def disks(dark):
  truth = np.zeros((2, 60, 60), bool)
  for mask, centre in zip(truth, ((20, 20), (35, 40)), strict=True):
    mask[disk(centre, 12)] = True
  noise = np.random.default_rng(0).normal(0, 8, truth.shape)
  images = np.clip(120 + (-60 if dark else 60) * truth + noise, 0, 255).astype(np.uint8)
  return images, truth


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('baseline', [baselines.otsu, baselines.forest])
def test_baselines_learn_from_one_image_what_is_foreground(baseline, dark):
  images, truth = disks(dark)
  probability = baseline(images[:1], truth[:1])(images[1])
  assert probability.dtype == np.float32
  agreed = (probability > 0.5) == truth[1]
  assert agreed.mean() > 0.97


def test_a_document_says_the_same_in_both_forms(tmp_path):
  from PIL import Image

  Image.new('L', (3, 3)).save(tmp_path / 'a.png')
  parts = [
    document.Heading('One < two'),
    document.Table(('x', 'y'), [('1', '2'), ('3', '4')], frozenset({(1, 0)})),
    document.Code('run me'),
    document.Picture(tmp_path / 'a.png', 'dots'),
  ]
  document.write_markdown(tmp_path / 'a.md', 'T', parts)
  document.write_html(tmp_path / 'a.html', 'T', parts)
  markdown, page = ((tmp_path / name).read_text() for name in ('a.md', 'a.html'))
  assert '| **3** | 4 |' in markdown and '![dots](a.png)' in markdown
  assert '<h2>One &lt; two</h2>' in page and '<td><b>3</b></td>' in page
  assert 'src="data:image/png;base64,' in page and 'http' not in page


@pytest.fixture(scope='module')
def studied(tmp_path_factory):
  """A study of a few contestants on simulated images, in this process."""
  root = tmp_path_factory.mktemp('study')
  protocol = PROTOCOLS['smoke']
  from fscs.datasets.simulated import simulate

  options = protocols.data_options(protocol, simulated=True)
  names = simulate('TNBC', num_images=options.simulated_images, seed=0).names
  drawn = random_selections(names, 'TNBC', shots=protocol.shots, num_selections=1, seed=0)
  selections = root / 'selections.json'
  selections.write_text(json.dumps(drawn))
  return root, options, selections


def config(studied, **chosen):
  root, _, selections = studied
  standard = {'protocol': 'smoke', 'workdir': str(root / 'run'), 'simulated': True}
  return command.Config(**{**standard, 'selections_file': str(selections), **chosen})


@pytest.fixture(scope='module')
def in_process():
  """The command without processes of its own, which take seconds to start."""
  patch = pytest.MonkeyPatch()
  done = []

  class Pool:
    def __init__(self, *_):
      pass

    def __enter__(self):
      return self

    def __exit__(self, *_):
      pass

    def submit(self, function, cell, *arguments):
      done.append(cell)
      value = function(cell, *arguments)
      return type('Done', (), {'result': lambda _: value})()

  patch.setattr(command, 'ProcessPoolExecutor', Pool)
  yield done
  patch.undo()


def test_a_study_goes_on_and_its_report_has_every_contestant(studied, in_process, capsys):
  chosen = ('otsu', 'scratch', 'bce')
  workdir = command.study(config(studied, contestants=chosen, shots=(1,)))
  followed = len(PROTOCOLS['smoke'].curve) * sum(name in FOLLOWED for name in chosen)
  assert len(in_process) == len(cells.read_all(workdir)) == len(chosen) + followed
  in_process.clear()
  command.study(config(studied, contestants=chosen, shots=(1,)))
  assert in_process == []
  trained = {path.name for path in (workdir / 'training').iterdir()}
  assert trained == {'TNBC-bce-s0'}

  out = report.report(report.Config(workdir=str(workdir), protocol='smoke', predictions=False))
  text = (out / 'results.md').read_text()
  for name in chosen:
    assert CONTESTANTS[name].label in text
  assert (out / 'iou.png').exists() and (out / 'steps-K1.png').exists()
  assert 'otsu' in (out / 'differences.csv').read_text()
  assert 'report: ' in capsys.readouterr().out


def test_steps_are_followed_on_the_selections_of_the_protocol_alone():
  protocol = PROTOCOLS['cpu-small']
  chosen = {'contestants': ('otsu', OURS), 'targets': ('EM',)}
  found = list(command.all_cells(command.Config(**chosen), protocol))
  steps = {
    (selection, shots): [c.steps for c in found if c[1:4] == (OURS, shots, selection)]
    for selection in protocol.selections
    for shots in protocol.shots
  }
  followed = [protocol.steps, *protocol.curve]
  assert steps.pop((1, 5)) == followed
  assert set(map(tuple, steps.values())) == {(protocol.steps,)}
  assert {c.steps for c in found if c.contestant == 'otsu'} == {0}
  ends = list(command.all_cells(command.Config(**chosen, curve=False), protocol))
  assert len(found) - len(ends) == len(protocol.curve)


def test_scores_of_a_cell_are_those_of_its_kept_predictions(studied, in_process):
  workdir = command.study(config(studied, contestants=('otsu',)))
  found = next(r for r in cells.read_all(workdir) if r.cell.contestant == 'otsu')
  kept = command.read_predictions(workdir / found.cell.file)
  grey_set = targets.load('TNBC', studied[1]).grey_set
  truth = grey_set.masks[[grey_set.names.index(name) for name in found.images]] > 0
  overlap, union = (kept & truth).sum((1, 2)), (kept | truth).sum((1, 2))
  np.testing.assert_allclose(found.iou, overlap / union, atol=1e-4)
  assert not set(found.support) & set(found.images)


def test_a_network_can_take_the_threshold_that_is_best_on_the_annotated_images(monkeypatch):
  monkeypatch.setattr(networks, 'make_adapt', lambda *_: lambda *_: Adapted({}))
  monkeypatch.setattr(networks, 'make_probability', lambda *_: lambda _, images: images / 100)
  images = np.zeros((2, 8, 8), np.uint8)
  images[0, :4], images[0, 4:] = 86, 93  # what is annotated
  images[1, :4], images[1, 4:] = 89, 91
  target = Target(GreySet('toy', images, np.uint8(images > 91), ('a', 'b')), labels=None)
  split = Split([0], np.array([1]))
  for name, found in (('combined', images[1:] > 50), ('combined-tuned', images[1:] > 90)):
    cell = Cell('TNBC', name, 1, 1, 0, 250)
    predict, _ = rounds._adapt(cell, {}, target, split, None, PROTOCOLS['cpu-small'])
    np.testing.assert_array_equal(predict(images[1:]) > 0.5, found)


def test_other_images_than_those_of_known_results_are_refused_before_any_work(
  studied, tmp_path, in_process
):
  options = {'shots': (1,), 'curve': False, 'workdir': str(tmp_path)}
  command.study(config(studied, contestants=('otsu',), **options))
  (known,) = cells.read_all(tmp_path)
  cells.write(tmp_path, known._replace(images=tuple(f'{name}~' for name in known.images)))
  with pytest.raises(InputError, match=r'otsu/K1-.*json is of other images of TNBC than are there'):
    command.study(config(studied, contestants=('scratch',), **options))


def test_one_shard_does_all_that_adapts_the_same_trained_parameters():
  protocol = PROTOCOLS['rehearsal']
  wanted = list(command.all_cells(command.Config(), protocol))
  shards = [command._groups(wanted, i, 4) for i in (1, 2, 3, 4)]
  trained = [
    {CONTESTANTS[cell.contestant].training for group in groups for cell in group} - {None}
    for groups in shards
  ]
  assert sum(map(len, trained)) == len(set.union(*trained)) > 4
  done = [cell for groups in shards for group in groups for cell in group]
  assert sorted(done) == sorted(wanted)


def test_the_papers_contestants_adapt_as_the_preset_says():
  paper, small = (tuning_of('combined', PROTOCOLS[name]) for name in ('paper', 'cpu-small'))
  assert (paper.learning_rate, paper.norm_scale) == (1e-4, 0.1)
  assert (small.learning_rate, small.norm_scale) == (1e-2, 1.0)
  assert tuning_of(OURS, PROTOCOLS['paper']) == CONTESTANTS[OURS].tuning


def test_every_protocol_has_a_folder_for_its_sizes():
  folders = {name: str(command.workdir_of(None, name)) for name in PROTOCOLS}
  assert folders == {
    'cpu-small': 'runs/study',
    'rehearsal': 'runs/study',
    'paper': 'runs/study-paper',
    'smoke': 'runs/study-smoke',
  }


def test_shards_share_out_everything(studied, in_process):
  chosen = {'contestants': ('otsu', 'scratch', 'otsu'), 'curve': False}
  in_process.clear()
  for shard in ('1/2', '2/2'):
    command.study(config(studied, workdir=str(studied[0] / 'shards'), shard=shard, **chosen))
  assert len(in_process) == len(set(in_process)) == 4


def test_terms_of_a_study_that_failed_at_once_do_not_count(tmp_path):
  terms.keep(tmp_path, ['otsu'], 'smoke', simulated=True)
  terms.keep(tmp_path, ['otsu'], 'smoke', simulated=False)
  assert terms.of_results(tmp_path) == {}
  keep(tmp_path)
  assert set(terms.of_results(tmp_path)) == {'smoke-otsu'}
  with pytest.raises(InputError, match='simulated is False there and True now'):
    terms.keep(tmp_path, ['otsu'], 'smoke', simulated=True)


def test_simulated_images_need_no_file_of_selections(studied, tmp_path, in_process):
  chosen = {'contestants': ('otsu',), 'selections_file': None, 'workdir': str(tmp_path)}
  command.study(config(studied, **chosen))
  assert {r.cell.shots for r in cells.read_all(tmp_path)} == set(PROTOCOLS['smoke'].shots)


def test_a_folder_does_not_mix_results_of_two_recipes(tmp_path, monkeypatch):
  keep = functools.partial(terms.keep, tmp_path / 'new', simulated=True)
  keep(['otsu', OURS], 'smoke')
  for folder, name in itertools.product(('new', 'other'), ('otsu', OURS)):
    cells.write(tmp_path / folder, result(name, 'TNBC', [0.5]))
  keep(['otsu', OURS], 'smoke')
  with pytest.raises(InputError, match=r'on other terms, smoke-.*preset is .smoke. there'):
    keep([OURS], 'rehearsal')
  contestant = CONTESTANTS[OURS]
  changed = contestant._replace(tuning=contestant.tuning._replace(learning_rate=1.0))
  monkeypatch.setitem(CONTESTANTS, OURS, changed)
  keep(['otsu'], 'smoke')
  other = f'has results of smoke-{OURS} on other .*rate is 0.03 there and'
  with pytest.raises(InputError, match=other):
    keep([OURS], 'smoke')
  with pytest.raises(InputError, match='data simulated is True there and False now'):
    terms.keep(tmp_path / 'new', ['otsu'], 'smoke', simulated=False)
  for name in ('cpu-small', 'rehearsal'):  # trainings serve both, and cells tell them apart
    terms.keep(tmp_path / 'other', ['otsu'], name, simulated=False)
  (tmp_path / 'new/terms/smoke-otsu.json').write_text('[')
  with pytest.raises(InputError, match=r'smoke-otsu\.json is damaged'):
    keep(['otsu'], 'smoke')


@pytest.mark.parametrize(
  ('chosen', 'message'),
  [
    ({'contestants': ('nobody',)}, '--contestants has nobody: one of otsu forest'),
    ({'targets': ('TNBC', 'EM')}, '--targets has EM: one of TNBC is expected'),
    ({'shots': (7,)}, '--shots has 7: one of 1 3 is expected with --protocol=smoke'),
    ({'shots': (0,)}, '--shots has 0: one of 1 3'),
    ({'selections': (99,)}, '--selections has 99: one of 1 is expected with --protocol=smoke'),
    ({'shard': '3/2'}, '--shard is 3/2'),
  ],
)
def test_options_that_name_what_there_is_not(studied, tmp_path, chosen, message):
  with pytest.raises(InputError, match=message):
    command.study(config(studied, workdir=str(tmp_path / 'run'), **chosen))
  assert not list(tmp_path.rglob('*.json'))


def test_the_commands_end_with_one_line(tmp_path):
  folder = f'--workdir={tmp_path}'
  assert refusal_of('study', '--shots', '7', folder).startswith('--shots has 7: one of 1 5 10 is')
  assert refusal_of('report', folder) == (
    f'{folder} has no results of --protocol=cpu-small: run python -m experiments.study first'
  )


def test_published_results_are_gone_on_from(studied, tmp_path, in_process):
  options = {'contestants': ('otsu',), 'curve': False}
  first = command.study(config(studied, workdir=str(tmp_path / 'first'), **options))
  smoke = report.Config(workdir=str(first), protocol='smoke', predictions=False)
  known = str(report.report(smoke) / 'results.jsonl')
  in_process.clear()
  options = {'contestants': ('otsu', 'forest'), 'curve': False, 'known': known}
  second = command.study(config(studied, workdir=str(tmp_path / 'second'), **options))
  assert {cell.contestant for cell in in_process} == {'forest'}
  done = cells.read_all(second)
  assert [r for r in done if r.cell.contestant == 'otsu'] == cells.read_all(first)
  assert terms.read_all(first).items() <= terms.read_all(second).items()
  assert copies.read(first) == copies.read(second)


def test_results_of_other_copies_of_the_data_are_left_out(tmp_path, capsys):
  for contestant, target in (('otsu', 'TNBC'), ('otsu', 'EM'), ('bce', 'EM')):
    cells.write(tmp_path / 'there', result(contestant, target, [0.5]))
  terms.keep(tmp_path / 'there', ['otsu', 'bce'], 'cpu-small', simulated=False)
  there = {code: 'aa' for code in CODES}
  copies.keep(tmp_path / 'there', there)
  known = tmp_path / 'results.jsonl'
  archive.pack(tmp_path / 'there', {'cpu-small': cells.read_all(tmp_path / 'there')}, known)

  def taken(name, here):
    archive.unpack(known, tmp_path / name, here)
    return {(r.cell.contestant, r.cell.target) for r in cells.read_all(tmp_path / name)}

  every = {('otsu', 'TNBC'), ('otsu', 'EM'), ('bce', 'EM')}
  assert taken('same', there) == taken('unread', {'EM': 'aa'}) == every
  assert copies.read(tmp_path / 'same') == there
  assert capsys.readouterr().err == ''
  assert taken('target', there | {'EM': 'bb'}) == {('otsu', 'TNBC')}
  assert copies.read(tmp_path / 'target') == {'TNBC': 'aa'}
  assert taken('source', there | {'B5': 'bb'}) == every - {('bce', 'EM')}
  assert 'note: 1 results in --known=' in capsys.readouterr().err
  copies.keep(tmp_path / 'target', there | {'EM': 'bb'})  # no result there depends on EM
  with pytest.raises(InputError, match='same has results of other copies of B5, TNBC, with more'):
    copies.keep(tmp_path / 'same', {'TNBC': 'bb', 'B5': 'cc', 'EM': 'aa'})
  (tmp_path / 'same' / copies.FILE).write_text('[')
  with pytest.raises(InputError, match=r'copies\.json is damaged'):
    copies.keep(tmp_path / 'same', there)


def test_other_images_than_a_study_began_with_are_refused(studied, tmp_path, in_process):
  options = {'contestants': ('otsu',), 'curve': False, 'workdir': str(tmp_path)}
  command.study(config(studied, **options))
  assert copies.read(tmp_path).keys() == {'TNBC'}
  copies.write_text(tmp_path / copies.FILE, json.dumps({'TNBC': 'other'}))
  with pytest.raises(InputError, match='has results of other copies of TNBC'):
    command.study(config(studied, **options))


def test_terms_of_before_an_option_was_there_have_its_default(tmp_path):
  keep(tmp_path, 'scratch')
  table = terms.of('scratch', 'smoke', simulated=True)
  older = {n: value for n, value in table['tuning'].items() if n not in ('stretch', 'optimizer')}
  terms.keep_all(tmp_path, {'smoke-scratch': {**table, 'tuning': older}})
  terms.keep(tmp_path, ['scratch'], 'smoke', simulated=True)
  changed = {**table, 'tuning': {**older, 'optimizer': 'muon'}}
  with pytest.raises(InputError, match="tuning optimizer is 'adam' there and 'muon' now"):
    terms.keep_all(tmp_path, {'smoke-scratch': changed})


def test_options_of_a_training_are_part_of_the_terms(tmp_path, monkeypatch):
  cells.write(tmp_path, result('bce', 'TNBC', [0.5]))
  keep = functools.partial(terms.keep, tmp_path, ['bce'], 'smoke', simulated=True)
  keep()
  path = tmp_path / 'terms' / 'smoke-bce.json'
  table = json.loads(path.read_text())
  assert table['training']['config']['inner_lr'] == PRESETS['smoke']['inner_lr']
  old = {**table, 'training': {**table['training'], 'config': {}}, 'data': {'simulated': True}}
  differences = terms.different(old, table)  # what was not kept may have been anything
  assert f'data crop_size is 256 there and {table["data"]["crop_size"]} now' in differences
  assert any('training config inner_lr is None there and' in words for words in differences)
  assert terms.different({**table, 'version': None}, table) == ['version is None there and 1 now']
  for name, value, where in (('inner_lr', 5.0, 'training config'), ('crop_size', 48, 'data')):
    with monkeypatch.context() as patch:
      patch.setitem(PRESETS['smoke'], name, value)
      told = f'{where} {name} is .* there and {value} now'
      with pytest.raises(InputError, match=f'on other terms.* {told}'):
        keep()


def test_a_finished_training_of_other_options_is_not_adapted(tmp_path):
  protocol = PROTOCOLS['smoke']
  options = protocols.data_options(protocol, simulated=True)
  folder = tmp_path / 'training' / 'TNBC-bce-s0'
  (folder / 'init').mkdir(parents=True)
  made = networks.training_config('bce', protocol, options, target='TNBC', workdir='elsewhere')
  content = {'command': 'meta_train', 'config': {**dataclasses.asdict(made), 'inner_lr': 5.0}}
  (folder / 'config.json').write_text(json.dumps(content))
  with pytest.raises(InputError, match=f'{folder} belongs to another run: --inner-lr is 5.0 there'):
    networks.start('bce', 'TNBC', 0, options, protocol, tmp_path)
  content = {**content, 'config': dataclasses.asdict(made), 'data_fingerprints': {'B5': 'aa'}}
  (folder / 'config.json').write_text(json.dumps(content))
  copies.keep(tmp_path, {'B5': 'bb', 'TNBC': 'cc'})
  with pytest.raises(InputError, match=f'{folder} has learned from other copies of B5 than are'):
    networks.start('bce', 'TNBC', 0, options, protocol, tmp_path)


def test_published_results_on_terms_of_another_version_are_left_out(tmp_path, capsys, monkeypatch):
  for contestant in ('otsu', 'scratch'):
    keep(tmp_path / 'there', contestant)
  terms.keep(tmp_path / 'there', ['otsu', 'scratch'], 'cpu-small', simulated=False)
  known = tmp_path / 'results.jsonl'
  archive.pack(tmp_path / 'there', {'cpu-small': cells.read_all(tmp_path / 'there')}, known)
  changed = CONTESTANTS['scratch'].tuning._replace(learning_rate=1.0)
  monkeypatch.setitem(CONTESTANTS, 'scratch', CONTESTANTS['scratch']._replace(tuning=changed))
  assert archive.unpack(known, tmp_path / 'here', {}) == 1
  assert [r.cell.contestant for r in cells.read_all(tmp_path / 'here')] == ['otsu']
  told = capsys.readouterr().err
  assert 'results of cpu-small-scratch in --known=' in told
  assert 'tuning learning_rate is 0.001 there and 1.0 now' in told
  terms.keep(tmp_path / 'here', ['scratch'], 'cpu-small', simulated=False)


def test_published_results_on_other_terms_are_refused(tmp_path):
  for name, simulated in (('here', True), ('there', False)):
    keep(tmp_path / name)
    terms.keep(tmp_path / name, ['otsu'], 'cpu-small', simulated=simulated)
  known = tmp_path / 'results.jsonl'
  archive.pack(tmp_path / 'there', {'cpu-small': cells.read_all(tmp_path / 'there')}, known)
  with pytest.raises(InputError, match='on other terms, cpu-small-otsu for one: data simulated'):
    archive.unpack(known, tmp_path / 'here', {})


@pytest.mark.parametrize(
  'content',
  [
    '{',
    '[1]',
    '{"cell": 3}',
    '{"terms": {}}',
    '{"copies": [1]}',
    '{"name": "a/b", "terms": {}}',
    '{"name": "cpu-small-otsu", "terms": 3}',
    None,
  ],
)
def test_a_file_that_holds_no_results_is_named(tmp_path, content):
  known = tmp_path / 'results.jsonl'
  if content is not None:
    known.write_text(content)
  with pytest.raises(
    InputError,
    match=r'^--known=.*results\.jsonl (cannot be read .No such|holds no results of a stu)',
  ):
    archive.unpack(known, tmp_path / 'new', {})


@pytest.mark.parametrize('change', [{'target': '../../x'}, {'contestant': 'a/b'}, {'shots': '5'}])
def test_results_that_would_be_written_elsewhere_are_refused(tmp_path, change):
  content = cells.to_json(result('otsu', 'EM', [0.5]))
  content['cell'].update(change)
  (tmp_path / 'results.jsonl').write_text(json.dumps(content))
  with pytest.raises(InputError, match=r'holds no results of a study .* are no '):
    archive.unpack(tmp_path / 'results.jsonl', tmp_path / 'new', {})
  assert not list(tmp_path.rglob('*.json'))


def die(*_):
  """In place of an experiment: ends its process as the system does where memory runs out."""
  os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_named_and_the_same_command_goes_on(
  studied, tmp_path, monkeypatch, in_process
):
  wanted = config(studied, contestants=('otsu',), workdir=str(tmp_path), curve=False)
  with monkeypatch.context() as patched, pytest.raises(InputError) as caught:
    patched.setattr(command, 'ProcessPoolExecutor', ProcessPoolExecutor)
    patched.setattr(command, '_do', die)
    command.study(wanted)
  line = str(caught.value)
  assert line.startswith('the process of cells/TNBC/otsu/K1-selection1-s0-0steps was killed, prob')
  assert 'memory' in line and 'the same command goes on' in line and '\n' not in line
  assert len(cells.read_all(command.study(wanted))) == 2


def report_of(folder, **options):
  options = {'raw_dir': 'anywhere', **options}
  return report.report(report.Config(workdir=str(folder), protocol='cpu-small', **options))


def test_folders_without_results_cannot_be_reported(tmp_path):
  for folder in (tmp_path, tmp_path / 'nowhere'):
    with pytest.raises(InputError, match=f'--workdir={folder} has no results of --protocol='):
      report_of(folder)


def keep(folder, contestant='otsu', *, shots=5, prediction=(2, 8, 8), **fields):
  """A cell with its predictions; its file."""
  written = result(contestant, 'TNBC', fields.pop('iou', (0.2, 0.3)), shots=shots, **fields)
  cells.write(folder, written)
  command.keep_predictions(folder / written.cell.file, np.zeros(prediction, bool))
  return folder / written.cell.file


@pytest.mark.parametrize('content', ['', '{"cell": {"target": "TN', '[3]', '{"cell": 3}', None])
def test_a_damaged_cell_is_named(tmp_path, content):
  path = keep(tmp_path)
  path.write_text(path.read_text().replace('0.2', '"x"') if content is None else content)
  with pytest.raises(InputError, match=r'otsu/.*steps\.json is damaged .*: remove it to do'):
    report_of(tmp_path, predictions=False)


def test_a_cell_without_scores_is_damaged(tmp_path):
  keep(tmp_path, iou=())
  with pytest.raises(InputError, match=r'damaged .0 scores of 0 images.: remove it'):
    report_of(tmp_path, predictions=False)


def test_contestants_of_other_versions_are_left_out_and_named(tmp_path, capsys):
  keep(tmp_path)
  keep(tmp_path, 'gone', iou=(0.9, 0.9), shots=10)
  out = report_of(tmp_path, predictions=False)
  assert 'does not know them: TNBC/gone' in capsys.readouterr().err
  assert 'K = 10' not in (out / 'results.md').read_text()


@pytest.fixture
def blank_images(monkeypatch):
  """Images of the names that `result` gives its own, in place of a data set."""
  names = tuple(f'image {i}' for i in range(2))
  blank = np.zeros((2, 8, 8), np.uint8)
  target = Target(GreySet('TNBC', blank, blank, names), None)
  monkeypatch.setattr(targets, 'load', lambda *_: target)


def test_predictions_are_drawn(tmp_path, blank_images):
  keep(tmp_path)
  keep(tmp_path, 'scratch')
  out = report_of(tmp_path)
  assert 'Predictions of TNBC' in (out / 'results.html').read_text()


def test_predictions_side_by_side_are_of_the_selection_of_the_leading_one(tmp_path):
  for name, selection in (('otsu', 1), ('forest', 1), ('otsu', 2), (OURS, 2), (OURS, 3)):
    keep(tmp_path, name, selection=selection)
  shown = examples._shown(cells.read_all(tmp_path), 'TNBC', tmp_path)
  assert {name: r.cell.selection for name, r in shown.items()} == {'otsu': 2, OURS: 2}
  assert list(shown) == ['otsu', OURS]
  assert not examples._shown(cells.read_all(tmp_path), 'EM', tmp_path)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'images': ('a', 'b')}, 'TNBC has no image [ab], which the study scored: .*--no-predictions'),
    ({'prediction': (2, 9, 9)}, 'TNBC: found predictions of .9, 9. pixels, expected .8, 8.'),
  ],
)
def test_predictions_of_other_images_are_refused(tmp_path, blank_images, fields, message):
  keep(tmp_path, **fields)
  with pytest.raises(InputError, match=message):
    report_of(tmp_path)


def test_damaged_predictions_are_named(tmp_path, blank_images):
  keep(tmp_path).with_suffix('.npz').write_text('nothing')
  with pytest.raises(InputError, match=r'steps\.npz is damaged .*: remove it and the \.json'):
    report_of(tmp_path)


def test_images_that_cannot_be_read_can_be_left_out(tmp_path, monkeypatch):
  def load(*_):
    raise InputError('there is no such folder')

  monkeypatch.setattr(targets, 'load', load)
  keep(tmp_path)
  with pytest.raises(InputError, match=r'no such folder; or leave .* out with --no-predictions'):
    report_of(tmp_path)
  assert (report_of(tmp_path, predictions=False) / 'results.html').exists()
