"""The benchmark: counted operations, rows of its table, its processes, and equal work."""

import importlib
import importlib.util
import math
from typing import get_args

import jax
import pytest

from experiments.benchmark import __main__ as command
from experiments.benchmark import arithmetic, profile, rounds, table
from experiments.benchmark.cases import Case, Section, cases
from experiments.benchmark.rounds import Program, Timing
from experiments.common.results import read_rows
from fscs.errors import InputError
from fscs.models import init_params, make_model

HAS_TORCH = importlib.util.find_spec('torch') is not None
POOLINGS = {  # before each layer
  'fcrn': {'conv1': 0, 'conv2': 1, 'conv3': 2, 'conv4': 3, 'conv5': 3, 'conv6': 2, 'conv7': 1},
  'unet': {'down2': 1, 'down3': 2, 'up2': 1},
}


@pytest.mark.parametrize('architecture', ['fcrn', 'unet'])
def test_operations_are_two_per_weight_and_pixel(architecture):
  model = make_model(architecture)
  params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
  expected = 0
  for path, leaf in jax.tree.leaves_with_path(params):
    if path[-1].key == 'kernel':
      poolings = POOLINGS[architecture].get(path[0].key, 0)
      expected += 2 * leaf.size * 64 * 64 / 4**poolings
  assert arithmetic.forward(architecture, 64 * 64) == expected


def test_a_step_is_three_passes_without_the_gradient_of_the_images():
  gradient = 2 * 9 * 32 * 100
  whole = 3 * arithmetic.forward('fcrn', 100) - gradient
  encoder = 3 * arithmetic.forward('fcrn', 100, encoder_only=True) - gradient
  assert arithmetic.inner_step('fcrn', 'bce', 100) == whole
  assert arithmetic.inner_step('fcrn', 'combined', 100) == 2 * whole + encoder


def timing(name, seconds, *, work='step', result=1.0) -> Timing:
  return Timing(Program(name, 'fscs', work, {}), seconds, result, 0.5, 5e6)


def test_rows_have_medians_ratios_by_round_and_the_share_of_the_peak():
  case = Case('step', 'fcrn', 128, 'bce', 'inner step', 3e9, ())
  first, slow, product = table.rows_of(
    case,
    [
      timing('a', (0.1, 0.2, 0.4)),
      timing('b', (0.4, 0.2, 0.6), result=1.01),
      timing('matmul', (0.01, 0.01, 0.01), work='matmul'),
    ],
  )
  assert (first.median, first.low, first.high, first.ratio) == (0.2, 0.1, 0.4, 1.0)
  assert (first.gflops, first.share) == (pytest.approx(15), pytest.approx(0.15))
  assert (slow.ratio, slow.ratio_low, slow.ratio_high) == (
    pytest.approx(1.5),
    1.0,
    pytest.approx(4),
  )
  assert slow.difference == pytest.approx(0.01)
  assert product.share == pytest.approx(1)
  assert math.isnan(product.difference)


def test_cases_differ_and_their_jobs_exist():
  found = list(cases(get_args(Section), ('fcrn', 'unet'), (128, 256)))
  assert len({case.key for case in found}) == len(found)
  assert {case.section for case in found} == set(get_args(Section))
  for case in found:
    for program in case.programs:
      if program.side != 'torch' or HAS_TORCH:
        side = importlib.import_module(f'experiments.benchmark.{program.side}_side')
        assert program.work in side.WORK


@pytest.mark.slow
def test_programs_run_in_processes_and_a_failing_one_is_named():
  pair = [Program(name, 'fscs', 'matmul', {'size': size}) for name, size in (('a', 8), ('b', 9))]
  one, other = rounds.compare(pair, 3, {})
  assert (one.program.name, other.program.name) == ('a', 'b')
  assert len(one.seconds) == len(other.seconds) == 3

  assert min(*one.seconds, one.first_seconds) > 0
  assert one.peak_bytes > 1e7
  broken = Program('the broken one', 'fscs', 'matmul', {'size': -1})
  with pytest.raises(InputError, match=r'the broken one failed \(.*negative'):
    rounds.compare([broken], 1, {})


@pytest.mark.skipif(not HAS_TORCH, reason='PyTorch is not installed')
@pytest.mark.parametrize('objective', ['bce', 'combined'])
def test_fscs_and_pytorch_compute_the_same_steps(objective):
  from experiments.benchmark import fscs_side, torch_side

  options = {'arch': 'fcrn', 'objective': objective, 'crop_size': 32, 'num_steps': 2}
  found = fscs_side.step(**options).run()
  expected = torch_side.step(**options, layout='last', compiled=False).run()
  assert found == pytest.approx(expected, rel=1e-4)


def test_the_command_measures_each_case_once_and_keeps_the_table(monkeypatch, tmp_path):
  calls = []

  def compare(programs, num_rounds, environment):
    calls.append(environment)
    return [timing('a', (1.0,))]

  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: name)
  monkeypatch.setattr(command, 'compare', compare)
  monkeypatch.setattr(command, '_facts', dict)
  config = command.Config(('predict',), ('fcrn',), rounds=1, workdir=str(tmp_path))
  command.benchmark(config)
  command.benchmark(config)
  (environment,) = calls
  assert environment['XLA_PYTHON_CLIENT_PREALLOCATE'] == 'false'  # one GPU for all processes
  (row,) = read_rows(tmp_path / 'measurements.csv', table.Row)
  assert (row.program, row.median, row.section) == ('a', 1.0, 'predict')
  assert (tmp_path / 'benchmark.md').exists()


def test_options_that_cannot_be_measured_are_refused(monkeypatch, tmp_path):
  workdir = str(tmp_path / 'b')
  for options, message in (
    ({'rounds': 0}, 'rounds is 0: expected at least 1'),
    ({'crop_sizes': (128, 130)}, 'crop_sizes has 130: expected multiples of 8'),
  ):
    with pytest.raises(InputError, match=message):
      command.benchmark(command.Config(workdir=workdir, **options))
  monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(InputError, match=r'pip install .*benchmark'):
    command.benchmark(command.Config(workdir=workdir))
  assert not (tmp_path / 'b').exists()


def test_a_profile_separates_layers_products_and_gradients():
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
  zero = dict.fromkeys(profile.COLUMNS, 0.0)
  assert layers == {
    'conv4': zero | {'products, forward': 3.0, 'products, gradients': 4.0},
    'down1': zero | {'rest, gradients': 8.0},
    profile.ELSEWHERE: zero | {'rest, forward': 0.5},
  }
