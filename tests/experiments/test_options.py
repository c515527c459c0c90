"""Options of the commands: presets fill in what is not given, bad input ends in one line."""

import dataclasses
import re
from pathlib import Path

import pytest
from experiment_helpers import run_experiment

from experiments import finetune_eval, meta_train, pretrain
from experiments.common.options import DataOptions
from experiments.configs import PRESETS
from fscs.errors import InputError

COMMANDS = (meta_train, pretrain, finetune_eval)


def test_every_value_of_a_preset_is_an_option_and_presets_decide_the_same_options():
  fields = {field.name for module in COMMANDS for field in dataclasses.fields(module.Config)}
  for values in PRESETS.values():
    assert PRESETS['paper'].keys() <= values.keys() <= fields


@pytest.mark.parametrize('preset', PRESETS)
@pytest.mark.parametrize('module', [meta_train, pretrain])  # finetune_eval asks its run first
def test_presets_fill_in_what_is_not_given_and_given_options_win(module, preset):
  filled = module.Config(preset=preset)
  for field in dataclasses.fields(filled):
    if field.default is None and field.name in PRESETS[preset]:
      assert getattr(filled, field.name) == PRESETS[preset][field.name], field.name
  given = module.Config(preset=preset, crop_size=96, loss='bce_dice', weight_decay=0.0)
  assert (given.crop_size, given.loss, given.weight_decay) == (96, 'bce_dice', 0.0)
  assert dataclasses.replace(filled, crop_size=96).crop_size == 96


def test_the_command_line_gives_options_and_the_preset_the_others():
  seen = []

  def command(config):
    seen.append(config)

  arguments = ('--target=EM', '--preset=cpu', '--meta-epochs=7', '--sources', 'B5', 'B39')
  assert run_experiment(command, meta_train.Config, *arguments).status == 0
  (config,) = seen
  assert (config.target, config.meta_epochs, config.crop_size) == ('EM', 7, 128)
  assert config.sources == ('B5', 'B39')


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'meta_epochs': 0}, 'meta_epochs is 0: expected at least 1'),
    ({'seed': -1}, 'seed is -1'),
    ({'seed': 2**32}, 'seed is 4294967296: expected at most'),
    ({'inner_lr': 0.0}, r'inner_lr is 0\.0: expected a number above 0'),
    ({'inner_lr': float('nan')}, 'inner_lr is nan'),
    ({'diameter_range': (20, 10)}, 'diameter_range is .*the smaller one first'),
    ({'crop_size': 36}, 'crop_size is 36: fcrn needs a multiple of 8'),
    ({'widths': (4, 4)}, 'fcrn needs 4'),
  ],
)
def test_numbers_that_cannot_be_meant_are_refused_where_they_are_given(changes, message):
  with pytest.raises(InputError, match=message) as caught:
    meta_train.Config(**changes)
  assert caught.value.arguments[0] in changes


@pytest.mark.parametrize('argument', ['--target=B6', '--targte=B5', '--crop-size=36'])
def test_options_that_cannot_be_parsed_end_with_status_2(argument):
  outcome = run_experiment(meta_train.meta_train, meta_train.Config, argument)
  assert outcome.status == 2
  assert argument.split('=')[0].strip('-').replace('-', '_') in outcome.err.replace('-', '_')


@pytest.mark.parametrize(
  ('module', 'arguments', 'named'),
  [
    (meta_train, ['--preset=smoke', '--crop-size=128', '--downscale=1'], '--crop-size'),
    (meta_train, ['--target=TNBC', '--sources', 'TNBC', 'EM'], '--sources'),
    (meta_train, ['--preset=smoke', '--start=nowhere'], '--start'),
    (pretrain, ['--preset=smoke', '--target=none', '--sources', 'B5', 'folder'], 'folder'),
    (finetune_eval, ['--init=damaged'], 'damaged/config.json'),
    (finetune_eval, ['--init=random', '--target=TNBC', '--selections-file=gone.json'], 'gone.json'),
  ],
)
def test_bad_input_ends_in_one_line_that_names_the_option_or_file(
  module, arguments, named, disk_sets
):
  Path('damaged').mkdir()
  Path('damaged', 'config.json').write_text('{')
  command = getattr(module, module.__name__.split('.')[-1])
  outcome = run_experiment(command, module.Config, *arguments)
  assert outcome.status == 2
  (line,) = (line for line in outcome.err.splitlines() if not line.startswith(('note: ', 'data: ')))
  assert line.startswith('error: ')
  assert named in line


def test_interruptions_and_errors_of_the_system_are_one_line(tmp_path):
  def interrupted(config):
    raise KeyboardInterrupt

  def unwritable(config):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'file' / 'folder').mkdir()

  for command, status, message in ((interrupted, 130, 'goes on'), (unwritable, 2, 'file/folder')):
    outcome = run_experiment(command, DataOptions)
    assert outcome.status == status
    (line,) = outcome.err.strip().splitlines()
    assert re.search(message, line)
