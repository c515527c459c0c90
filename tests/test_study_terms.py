"""What a study keeps: results, the terms they depend on, what others published."""

import dataclasses
import functools
import itertools
import json

import pytest
from study_results import keep, result

from experiments.configs import PRESETS
from experiments.study import archive, cells, copies, networks, protocols, terms
from experiments.study.contestants import CONTESTANTS, OURS
from experiments.study.protocols import PROTOCOLS
from fscs.data.datasets import CODES
from fscs.errors import InputError


def test_a_result_is_read_as_it_was_written(tmp_path):
  written = result('forest', 'TNBC', [0.25, 0.5], average_precision=(0.1, 0.2))
  cells.write(tmp_path, written)
  assert cells.read_all(tmp_path) == [written]
  (tmp_path / written.cell.file).write_text('{"cell": 3}')
  with pytest.raises(InputError, match=r'-0steps.json is damaged .*: remove it'):
    cells.read_all(tmp_path)


def test_terms_of_a_study_that_failed_at_once_do_not_count(tmp_path):
  terms.keep(tmp_path, ['otsu'], 'smoke', simulated=True)
  terms.keep(tmp_path, ['otsu'], 'smoke', simulated=False)
  assert terms.of_results(tmp_path) == {}
  keep(tmp_path)
  assert set(terms.of_results(tmp_path)) == {'smoke-otsu'}
  with pytest.raises(InputError, match='simulated is False there and True now'):
    terms.keep(tmp_path, ['otsu'], 'smoke', simulated=True)


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
  packed = known.read_text()
  archive.pack(tmp_path / 'same', {'cpu-small': cells.read_all(tmp_path / 'same')}, known)
  assert known.read_text() == packed  # in whatever order copies were kept
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
