"""Support sets: read safely, drawn reproducibly, found by name."""

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
def test_both_formats_read_alike(tmp_path, suffix):
  path = tmp_path / f'selections{suffix}'
  path.write_bytes(json.dumps(CONTENT).encode() if suffix == '.json' else pickle.dumps(CONTENT))
  assert read_selections(path) == CONTENT


def test_a_pickle_that_names_code_is_refused_and_not_run(tmp_path):
  class Attack:
    def __reduce__(self):
      return (pytest.fail, ('the pickle was run',))

  path = tmp_path / 'selections.pkl'
  path.write_bytes(pickle.dumps({'Selection_1': Attack()}))
  with pytest.raises(InputError, match='only plain values'):
    read_selections(path)


@pytest.mark.parametrize(
  'content',
  [None, b'', b'\x80\x04', b'not a pickle', *map(pickle.dumps, ([1, 2], {'a': 1}, {'a': {b'x'}}))],
)
def test_missing_and_damaged_files_are_named(tmp_path, content):
  path = tmp_path / 'selections.pkl'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(InputError, match=r'selections\.pkl') as caught:
    read_selections(path)
  assert caught.value.arguments == ('selections_file',)


def test_the_images_are_found_by_name():
  names = support_names(CONTENT, selection=1, shots=2, code='B5')
  assert names == ('1.png', '3.png')
  assert support_indices(NAMES, names, 'B5', shots=2) == [1, 3]


@pytest.mark.parametrize(('selection', 'shots', 'code'), [(2, 2, 'B5'), (1, 5, 'B5'), (1, 2, 'EM')])
def test_a_support_set_that_is_not_in_the_file_is_an_input_error(selection, shots, code):
  with pytest.raises(InputError) as caught:
    support_names(CONTENT, selection=selection, shots=shots, code=code)
  assert 'selections' in caught.value.arguments


def test_images_that_are_not_in_the_data_set_are_counted():
  with pytest.raises(InputError, match=r'2 image\(s\).*x\.png'):
    support_indices(NAMES, ['x.png', '1.png', 'y.png'], 'B5', shots=3)


@pytest.mark.parametrize(
  ('wanted', 'shots', 'taken'),
  [(['image1.png', '5.png', 'image2.png', '2.png'], 2, [2, 5]), (['1.png', '2.png'], 3, [1, 2])],
)
def test_published_support_sets_of_another_size_are_read_with_a_warning(wanted, shots, taken):
  with pytest.warns(UserWarning, match='^ssTEM: '):
    assert support_indices(NAMES, wanted, 'ssTEM', shots=shots) == taken


def test_random_support_sets_are_nested_and_do_not_depend_on_their_number():
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


def test_at_least_one_image_is_left_for_testing():
  with pytest.raises(InputError, match='at least 9 images, found 8'):
    random_selections(NAMES, 'EM', shots=(8,), num_selections=1, seed=0)
  with pytest.raises(InputError, match='leaves none for testing'):
    support_indices(NAMES, NAMES, 'EM', shots=8)
