"""Selections of annotated images: read safely, drawn reproducibly."""

import json
import pickle

import pytest

from fscs.data.support_sets import (
  random_selections,
  read_selections,
  support_indices,
  support_names,
)
from fscs.errors import InputError

NAMES = [f'{i}.png' for i in range(8)]
CONTENT = {'Selection_1': {'FinetuneSamples': {'2-shot': {'B5': {'Image': ['3.png', '1.png']}}}}}


@pytest.mark.parametrize('suffix', ['.json', '.pkl'])
def test_both_forms_of_file_read_alike(tmp_path, suffix):
  path = tmp_path / f'selections{suffix}'
  path.write_bytes(json.dumps(CONTENT).encode() if suffix == '.json' else pickle.dumps(CONTENT))
  assert read_selections(path) == CONTENT


def test_a_pickle_that_names_code_is_refused_and_not_run(tmp_path):
  class Attack:
    def __reduce__(self):
      return (pytest.fail, ('the pickle was run',))

  path = tmp_path / 'selections.pkl'
  path.write_bytes(pickle.dumps({'Selection_1': Attack()}))
  with pytest.raises(InputError, match=r'cannot be read: it names .*only plain values'):
    read_selections(path)


@pytest.mark.parametrize(
  'content',
  [
    b'',
    b'\x80\x04',
    b'not a pickle',
    pickle.dumps([1, 2]),
    pickle.dumps({'a': 1}),
    pickle.dumps({'a': {b'x'}}),
  ],
)
def test_damaged_files_are_named(tmp_path, content):
  path = tmp_path / 'selections.pkl'
  path.write_bytes(content)
  with pytest.raises(InputError, match=r'selections\.pkl'):
    read_selections(path)


def test_missing_file_is_named(tmp_path):
  with pytest.raises(InputError, match=r'nowhere\.json: No such file'):
    read_selections(tmp_path / 'nowhere.json')


def test_support_is_found_by_name():
  wanted = support_names(CONTENT, selection=1, shots=2, code='B5')
  assert support_indices(NAMES, wanted, 'B5', shots=2) == [1, 3]


@pytest.mark.parametrize('where', [(2, 2, 'B5'), (1, 5, 'B5'), (1, 2, 'EM')])
def test_entries_that_are_not_there_say_which_option_to_change(where):
  selection, shots, code = where
  with pytest.raises(InputError, match='--selections'):
    support_names(CONTENT, selection=selection, shots=shots, code=code)


def test_absent_images_are_counted_and_named():
  with pytest.raises(InputError, match=r'names 2 image\(s\) .* the first is x\.png'):
    support_indices(NAMES, ['x.png', '1.png', 'y.png'], 'B5', shots=3)


def test_random_selections_nest_and_do_not_depend_on_their_number():
  options = {'shots': (1, 3, 5), 'seed': 4}
  few = random_selections(NAMES, 'EM', num_selections=2, **options)
  many = random_selections(list(reversed(NAMES)), 'EM', num_selections=3, **options)
  assert few.items() <= many.items()
  for number in (1, 2, 3):
    sets = [
      set(support_names(many, selection=number, shots=k, code='EM')) for k in options['shots']
    ]
    assert [len(s) for s in sets] == [1, 3, 5]
    assert sets[0] < sets[1] < sets[2]


def test_one_image_must_be_left_to_test():
  with pytest.raises(InputError, match='8 --shots are asked for and 8 images are there'):
    random_selections(NAMES, 'EM', shots=(8,), num_selections=1, seed=0)


@pytest.mark.parametrize(
  ('wanted', 'shots', 'taken'),
  [(['image1.png', '5.png', 'image2.png', '2.png'], 2, [2, 5]), (['1.png', '2.png'], 3, [1, 2])],
)
def test_selections_of_another_length_than_they_say_are_read_with_a_warning(wanted, shots, taken):
  with pytest.warns(UserWarning, match=f'{shots} shots names {len(wanted)} images, 2 of which'):
    assert support_indices(NAMES, wanted, 'ssTEM', shots=shots) == taken


def test_a_selection_of_every_image_is_refused():
  with pytest.raises(InputError, match='takes all 8 images'):
    support_indices(NAMES, NAMES, 'EM', shots=8)
