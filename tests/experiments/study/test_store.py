"""Results on disk: read as they were written, also after a kill."""

import numpy as np
import pytest

from experiments.study import store
from fscs.errors import InputError


@pytest.fixture
def results(made_up):
  return [
    made_up('forest', 'TNBC', [0.25, 0.5], average_precision=(0.1, 0.2)),
    made_up('scratch', 'EM', [0.75], sections=(3,), losses=()),
  ]


def test_a_line_that_was_cut_short_does_not_count_and_is_replaced(results, tmp_path):
  path = tmp_path / 'results.jsonl'
  store.append(path, results)
  assert store.read(path) == results
  whole = path.read_bytes()
  path.write_bytes(whole[:-20])
  assert store.read(path) == results[:1]
  store.append(path, results[1:])
  assert path.read_bytes() == whole


@pytest.mark.parametrize('line', ['{', '3', '{"protocol": "smoke"}'])
def test_a_damaged_line_is_named(results, tmp_path, line):
  path = tmp_path / 'results.jsonl'
  store.append(path, results)
  path.write_text(f'{path.read_text()}{line}\n')
  with pytest.raises(InputError, match=r'results\.jsonl, line 3, is no result'):
    store.read(path)


def test_the_prediction_that_is_published_can_be_taken_over(results, tmp_path):
  run, masks = results[0].run, np.random.default_rng(0).random((2, 7, 9)) > 0.5
  store.keep_predictions(tmp_path / 'here', run, ('a', 'b'), masks)
  drawn = store.read_prediction(tmp_path / 'here', run, 'b')
  store.publish_predictions(tmp_path / 'predictions.zip', {(run, 'b'): drawn})
  there = tmp_path / 'there'
  store.take_over_predictions(tmp_path / 'predictions.zip', there, [run, results[1].run])
  np.testing.assert_array_equal(store.read_prediction(there, run, 'b'), masks[1])
  assert store.read_prediction(there, run, 'a') is None
  assert store.read_prediction(there, results[1].run, 'b') is None
