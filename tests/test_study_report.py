"""What the report of a study says and draws, from results made up."""

import numpy as np
import pytest
from study_results import keep, result

from experiments import report
from experiments.study import (
  ablations,
  archive,
  cells,
  claims,
  colours,
  document,
  effort,
  examples,
  legend,
  opening,
  paired,
  plots,
  predicted,
  provenance,
  sections,
  tables,
  targets,
)
from experiments.study.contestants import COMPARED, CONTESTANTS, FOLLOWED, OURS
from experiments.study.document import Table
from experiments.study.targets import Target
from fscs.data.image_sets import GreySet
from fscs.errors import InputError


def test_a_part_of_the_recipe_gains_where_the_variant_without_it_is_worse():
  results = [
    result(OURS, 'EM', [0.5, 0.7]),
    result('ours-plain', 'EM', [0.4, 0.6]),
    result(OURS, 'B5', [0.9]),
    result('ours-plain', 'B5', [0.95]),
    result('ours-unsized', 'B5', [0.8]),
    result('otsu', 'B5', [0.1]),
  ]
  *_, table = ablations.of_parts(results)
  assert table.header == ('instead', 'B5', 'EM', 'mean', '95 % interval', 'gains on')
  assert table.rows == [
    (CONTESTANTS['ours-unsized'].label, '+0.100', '', '+0.100', '+0.100 to +0.100', '1 of 1'),
    (CONTESTANTS['ours-plain'].label, '-0.050', '+0.100', '+0.025', '+0.025 to +0.025', '1 of 2'),
  ]
  assert list(ablations.of_parts(results[-1:])) == []


def test_a_gain_is_told_with_its_interval_and_its_targets():
  gain = ablations.Gain({'EM': 0.2, 'B5': -0.1}, paired.Difference(0.1, -0.05, 0.15, 3))
  assert (gain.interval, gain.gains_on) == ('-0.050 to +0.150', '1 of 2')


def test_what_a_part_gives_is_told_for_every_number_of_steps_and_images_of_the_recipe():
  results = [
    result(OURS, 'EM', [0.5], steps=25),
    result('ours-plain', 'EM', [0.3], steps=25),
    result(OURS, 'EM', [0.8]),
    result('ours-adam', 'EM', [0.2]),
    result('ours-plain', 'EM', [0.7]),
    result('ours-unsized', 'EM', [0.7], steps=60),
    result(OURS, 'EM', [0.8], shots=5),
    result('ours-plain', 'EM', [0.5], shots=5),
    result('ours-unsized', 'EM', [0.9], shots=5),
  ]
  overview, *tables_of = (p for p in ablations.of_parts(results) if isinstance(p, Table))
  gains = [[row[1] for row in table.rows] for table in tables_of]
  # Most steps come first, then fewest images.
  assert gains == [['+0.600', '+0.100'], ['-0.100', '+0.300'], ['+0.200']]

  label = {name: CONTESTANTS[name].label for name in ('ours-plain', 'ours-unsized', 'ours-adam')}
  assert overview.header[1:] == ('K = 1, 250 steps', 'K = 5, 250 steps', 'K = 1, 25 steps')
  assert overview.rows == [  # what gives most from most images comes first, what is not there last
    (
      label['ours-plain'],
      '+0.100 (+0.100 to +0.100), 1 of 1',
      '+0.300 (+0.300 to +0.300), 1 of 1',
      '+0.200 (+0.200 to +0.200), 1 of 1',
    ),
    (label['ours-unsized'], '', '-0.100 (-0.100 to -0.100), 0 of 1', ''),
    (label['ours-adam'], '+0.600 (+0.600 to +0.600), 1 of 1', '', ''),
  ]


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
  *_, text, table = claims.of_the_paper([*results, result('combined-tuned', 'EM', [0.7, 0.9])])
  assert table.rows[-1][0] == 'meta-learned, combined, threshold tuned'
  assert table.rows[-1][1:4] == ('meta-learned, combined', '', '+0.200')
  assert text.text.startswith("The last row is what the paper's method gains")
  assert list(claims.of_the_paper(results[1:])) == []


def test_no_two_contestants_look_alike_as_points_or_as_lines():
  styles = [plots._style(name) for name in CONTESTANTS]
  points = {(s['color'], s['marker']) for s in styles}
  lines = {(s['color'], s.get('linestyle')) for s in styles}
  assert len(points) == len(lines) == len(CONTESTANTS)
  assert len({plots._style(name)['color'] for name in FOLLOWED}) == len(FOLLOWED)


def test_costs_are_compared_on_what_all_contestants_have_done(tmp_path):
  easy, hard = ('B5', [0.9]), ('TNBC', [0.3])
  results = [result('forest', *easy), result('forest', *hard), result(OURS, 'TNBC', [0.5])]
  assert paired.in_common(results) == results[1:]
  table = next(p for p in effort.cost(results, tmp_path) if isinstance(p, document.Table))
  assert [row[:2] for row in table.rows] == [('random forest', '0.300'), ('ours', '0.500')]
  assert paired.in_common([]) == []
  assert paired.in_common([result('otsu', *easy), result('forest', *hard)]) == []


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


def test_every_row_of_the_tables_is_explained():
  assert set(legend.WORDS) == set(COMPARED)
  _, _, table = legend.legend([result(OURS, 'EM', [0.5]), result('otsu', 'EM', [0.5])])
  assert [label for label, _ in table.rows] == ["Otsu's threshold", 'ours']


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
  (told,) = provenance.trainings(one + other)
  assert told.text.endswith('the results, curves among them, of meta-learned, bce on EM.')
  assert list(provenance.trainings(one)) == []


def test_experiments_are_counted_machine_by_machine():
  results = [
    result(OURS, 'EM', [0.8])._replace(machine='a'),
    result(OURS, 'B5', [0.8])._replace(machine='b'),
    result(OURS, 'B5', [0.8], shots=5)._replace(machine='b'),
    result('ours-fcrn', 'B5', [0.8])._replace(machine='a'),
    result('otsu', 'B5', [0.8]),
  ]
  followed = [result(OURS, 'EM', [0.8], steps=25)._replace(machine='b')]
  *_, table = provenance.machines({'at the end': results, 'before': followed, 'none': []})
  assert table.header == ('', 'a', 'b', 'not written down')
  assert table.rows == [
    (CONTESTANTS['otsu'].label, '', '', '1 / 0'),
    (CONTESTANTS[OURS].label, '1 / 0', '2 / 1', ''),
    ('ours with: FCRN', '1 / 0', '', ''),
  ]


def test_every_result_is_counted_once():
  ends = [result(OURS, 'EM', [0.8]), result('otsu', 'EM', [0.1])]
  followed = [result(OURS, 'EM', [0.7], steps=25)]
  rehearsed = [result(OURS, 'EM', [0.6], selection=0)]
  assert report._uses({'cpu-small': ends + followed, 'rehearsal': rehearsed}, 'cpu-small') == {
    'in the tables': ends,
    'over steps': followed,
    'in rehearsal': rehearsed,
  }
  assert report._uses({'rehearsal': rehearsed}, 'rehearsal') == {
    'in the tables': rehearsed,
    'over steps': [],
  }


def test_selections_of_other_numbers_of_images_are_named():
  results = [
    result('otsu', 'EM', [0.5], shots=2, selection=7),
    result('forest', 'EM', [0.5], shots=2, selection=7),
    result('otsu', 'EM', [0.5]),
  ]
  _, note = opening.summary(results, 'cpu-small')
  assert note.text == 'EM, K = 2: selection 7 annotates 1 images.'


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


def report_of(folder, **options):
  options = {'raw_dir': 'anywhere', **options}
  return report.report(report.Config(workdir=str(folder), protocol='cpu-small', **options))


def test_folders_without_results_cannot_be_reported(tmp_path):
  for folder in (tmp_path, tmp_path / 'nowhere'):
    with pytest.raises(InputError, match=f'--workdir={folder} has no results of --protocol='):
      report_of(folder)


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
  (shown,) = examples.chosen(cells.read_all(tmp_path), tmp_path)
  assert {name: r.cell.selection for name, r in shown.items()} == {'otsu': 2, OURS: 2}
  assert list(shown) == ['otsu', OURS]


def test_predictions_that_are_drawn_are_published_and_taken_over(tmp_path):
  for name, selection in (('otsu', 1), ('otsu', 2), ('scratch', 2)):
    keep(tmp_path / 'first', name, selection=selection)
  known = report_of(tmp_path / 'first', predictions=False) / 'results.jsonl'
  packed = known.with_name(predicted.PUBLISHED).read_bytes()
  assert archive.unpack(known, tmp_path / 'second', {}) == 3
  kept = {path.parent.name: path for path in (tmp_path / 'second').rglob('*.npz')}
  assert kept.keys() == {'otsu', 'scratch'}
  assert kept['otsu'].name.startswith('K5-selection2')
  assert predicted.read(kept['scratch']).shape == (2, 8, 8)
  again = report_of(tmp_path / 'second', predictions=False) / predicted.PUBLISHED
  assert again.read_bytes() == packed
  again.write_bytes(packed[:100])
  with pytest.raises(InputError, match=r'predictions\.zip is damaged .*: remove it, or copy it'):
    archive.unpack(again.with_name('results.jsonl'), tmp_path / 'third', {})
  for path in kept.values():
    path.unlink()
  report_of(tmp_path / 'second', predictions=False)
  assert not again.exists()  # it would be of what is no longer there


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
