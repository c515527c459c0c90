"""The benchmark: its arithmetic, its tables, its contest, and that both sides compute the same."""

import importlib
import importlib.util
import math
from typing import get_args

import jax
import pytest

from experiments.benchmark import arithmetic, profile, rounds, table
from experiments.benchmark.cases import Case, Section, cases
from experiments.benchmark.rounds import Contestant, Timing
from fscs.errors import InputError
from fscs.models import init_params, make_model

needs_torch = pytest.mark.skipif(
  importlib.util.find_spec('torch') is None, reason='PyTorch is not installed'
)
ALL_CASES = list(cases(get_args(Section), ('fcrn', 'unet'), (128, 256)))
POOLED = {  # how often the pixels were halved where a kernel is applied
  'fcrn': {'conv1': 0, 'conv2': 1, 'conv3': 2, 'conv4': 3, 'conv5': 3, 'conv6': 2, 'conv7': 1},
  'unet': {'down2': 1, 'down3': 2, 'up2': 1},
}


@pytest.mark.parametrize('arch', ['fcrn', 'unet'])
def test_operations_are_two_per_kernel_weight_and_pixel_that_it_is_applied_at(arch):
  model = make_model(arch)
  params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
  expected = 0
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    if path[-1].key == 'kernel':
      expected += 2 * leaf.size * 64 * 64 / 4 ** POOLED[arch].get(path[0].key, 0)
  assert arithmetic.forward(arch, 64 * 64) == expected


def test_a_step_is_three_passes_less_the_gradient_of_the_first_input():
  one = 3 * arithmetic.forward('fcrn', 100) - 2 * 9 * 32 * 100
  encoder = 3 * arithmetic.forward('fcrn', 100, encoder_only=True) - 2 * 9 * 32 * 100
  assert arithmetic.inner_step('fcrn', 'bce', 100) == one
  assert arithmetic.inner_step('fcrn', 'combined', 100) == 2 * one + encoder


def timing(name, seconds, *, work='step', result=1.0, peak=5e6):
  return Timing(Contestant(name, 'fscs', work, {}), seconds, 1.0, result, 0.5, peak)


def test_rows_have_medians_ratios_round_by_round_and_the_share_of_the_best_product():
  case = Case('step', 'fcrn', 128, 'bce', 'inner step', 3e9, ())
  first, slow, one, two = table.rows_of(
    case,
    [
      timing('a', (0.1, 0.2, 0.4)),
      timing('b', (0.4, 0.2, 0.6), result=1.01),
      timing('matmul', (0.02, 0.02, 0.02), work='matmul'),
      timing('matmul', (0.01, 0.01, 0.01), work='matmul'),
    ],
  )
  assert (first.median, first.low, first.high, first.ratio) == (0.2, 0.1, 0.4, 1.0)
  assert (slow.median, slow.ratio, slow.ratio_low) == (0.4, pytest.approx(1.5), 1.0)
  assert slow.ratio_high == pytest.approx(4)
  assert slow.difference == pytest.approx(0.01)
  assert (first.gflops, first.share) == (pytest.approx(15), pytest.approx(0.15))
  assert (one.share, two.share) == (pytest.approx(0.5), pytest.approx(1))
  assert math.isnan(two.difference)
  text = table.markdown([first, slow, one, two], {'processor': 'a fine one'})
  assert '- processor: a fine one' in text
  assert '| b | 400.0 (200.0 to 600.0) | 1.50 (1.00 to 4.00) | 8 | 8% | 1e-02 | 0.5 | 5 |' in text


def test_what_has_nothing_to_compare_has_no_difference():
  case = Case('startup', 'fcrn', 128, 'first step', 'command', None, ())
  _, row = table.rows_of(case, [timing('a', (1.0,)), timing('b', (2.0,), result=math.nan)])
  assert '| b | 2000.0 (2000.0 to 2000.0) | 2.00 (2.00 to 2.00) |  |  |  |' in table.markdown(
    [row], {}
  )


def test_losses_of_crops_of_other_sizes_are_not_compared():
  case = Case('pixels', 'fcrn', 0, 'bce', 'megapixel', None, ())
  rows = table.rows_of(case, [timing('64 px', (1.0,)), timing('128 px', (1.0,), result=3.0)])
  assert all(math.isnan(row.difference) for row in rows)


def test_cases_are_told_apart_and_their_jobs_exist():
  assert len({case.key for case in ALL_CASES}) == len(ALL_CASES)
  assert {case.section for case in ALL_CASES} == set(get_args(Section))
  for case in ALL_CASES:
    assert len({c.name for c in case.contestants}) == len(case.contestants)
    for contestant in case.contestants:
      if contestant.side != 'torch' or importlib.util.find_spec('torch'):
        side = importlib.import_module(f'experiments.benchmark.{contestant.side}_side')
        assert contestant.work in side.WORK


def test_contestants_run_in_processes_of_their_own_and_are_timed_every_round():
  pair = [Contestant(name, 'fscs', 'matmul', {'size': size}) for name, size in (('a', 8), ('b', 9))]
  one, other = rounds.compete(pair, 3, {})
  assert (one.contestant.name, other.contestant.name) == ('a', 'b')
  assert len(one.seconds) == len(other.seconds) == 3
  assert one.units == pytest.approx(2 * 8**3 / 1e9)
  assert min(*one.seconds, one.first_seconds) > 0
  assert one.peak_bytes > 1e7


def test_a_contestant_that_fails_is_named_with_its_last_words():
  broken = Contestant('the broken one', 'fscs', 'matmul', {'size': -1})
  with pytest.raises(InputError, match=r'the broken one failed \(.*negative'):
    rounds.compete([broken], 1, {})


@needs_torch
@pytest.mark.parametrize('objective', ['bce', 'combined'])
def test_both_sides_compute_the_same_steps(objective):
  from experiments.benchmark import fscs_side, torch_side

  options = {'arch': 'fcrn', 'objective': objective, 'crop_size': 32, 'num_steps': 2}
  ours = fscs_side.step(**options).run()
  theirs = torch_side.step(**options, layout='last', compiled=False).run()
  assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'rounds': 0}, '--rounds is 0: it must be at least 1'),
    ({'crop_sizes': (128, 130)}, '--crop-sizes has 130: multiples of 8'),
  ],
)
def test_options_that_cannot_be_measured(tmp_path, options, message):
  main = importlib.import_module('experiments.benchmark.__main__')
  with pytest.raises(InputError, match=message):
    main.benchmark(main.Config(workdir=str(tmp_path / 'b'), **options))
  assert not (tmp_path / 'b').exists()


def test_without_pytorch_it_says_what_to_install(monkeypatch, tmp_path):
  main = importlib.import_module('experiments.benchmark.__main__')
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(InputError, match=r'pip install .*benchmark'):
    main.benchmark(main.Config(workdir=str(tmp_path / 'b')))


def test_contestants_leave_each_other_room_on_a_gpu(monkeypatch, tmp_path):
  main = importlib.import_module('experiments.benchmark.__main__')
  given = []

  def compete(contestants, num_rounds, environment):
    given.append(environment)
    return [timing('a', (1.0,))]

  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
  monkeypatch.setattr(main, 'compete', compete)
  monkeypatch.setattr(main, '_facts', dict)
  options = {'sections': ('predict',), 'arch': ('fcrn',), 'rounds': 1, 'workdir': str(tmp_path)}
  main.benchmark(main.Config(**options))
  assert [where['XLA_PYTHON_CLIENT_PREALLOCATE'] for where in given] == ['false']


def test_a_profile_tells_layers_products_and_gradients_apart():
  step = 'jit(loop)/while/body/closed_call'
  layers = profile.by_layer(
    [
      ('fusion.1', f'{step}/jvp(FCRN)/conv4/dot_general', 1.0),
      ('fusion.2', f'{step}/jvp(FCRN)/conv4/dot_general', 2.0),
      ('dot.3', f'{step}/transpose(jvp(FCRN))/conv4/transpose', 4.0),
      ('fusion.4', f'{step}/transpose(jvp(UNet))/down1/norm0/mul', 8.0),
      ('fusion.5', f'{step}/mul', 0.5),
    ]
  )
  none = dict.fromkeys(profile.COLUMNS, 0.0)
  assert layers == {
    'conv4': none | {'products, forward': 3.0, 'products, gradients': 4.0},
    'down1': none | {'rest, gradients': 8.0},
    profile.ELSEWHERE: none | {'rest, forward': 0.5},
  }
  lines = profile.table(layers, 20.0).splitlines()
  assert lines[-1] == '| all | 3000.0 | 500.0 | 4000.0 | 8000.0 | 78% |'
