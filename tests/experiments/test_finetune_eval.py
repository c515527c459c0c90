"""Evaluation as a command: its grid, its defaults, the paper's fine-tuning, the product's."""

import dataclasses
import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from experiment_helpers import last_params, small_evaluation
from helpers import TINY_WIDTHS, assert_trees_equal, disk_set, fails_after, read_table
from matplotlib.figure import Figure

import fscs
from experiments import finetune_eval as module
from experiments.common import data, initialisations
from experiments.common.finetuning import score_images
from experiments.finetune_eval import Config, finetune_eval
from fscs.errors import InputError
from fscs.io.initialisations import load_initialisation


def without_seconds(rows):
  return sorted(tuple(v for name, v in row.items() if name != 'seconds') for row in rows)


# The grid.


@pytest.fixture
def run(disk_sets, meta_trained) -> Path:
  """A copy of a finished meta-training, where the command looks for runs."""
  return Path(shutil.copytree(meta_trained, Path('runs') / meta_trained.name))


def test_the_grid_is_filled_and_only_what_is_missing_is_done_again(run, monkeypatch):
  config = small_evaluation(init=(str(run), 'random'), shots=(1,))
  workdir = finetune_eval(config)
  rows = read_table(workdir / 'results.csv')
  assert len(rows) == 4
  assert {row['initialisation'] for row in rows} == {run.name, 'random-normal-s0'}
  assert all(0 <= float(row['iou']) <= 1 and row['num_test_images'] == '3' for row in rows)
  table = workdir / 'results.csv'
  table.write_text(''.join(table.read_text().splitlines(keepends=True)[:-1]))

  calls = []
  original = module.make_finetune

  def counted(*arguments):
    finetune = original(*arguments)

    def counting(params, supports):
      calls.append(len(supports))
      return finetune(params, supports)

    return counting

  monkeypatch.setattr(module, 'make_finetune', counted)
  finetune_eval(dataclasses.replace(config, shots=(1, 2), at_once=2))
  assert calls == [1, 2, 2]  # the row that was lost, and the new shots of two initialisations
  again = read_table(table)
  assert again[:3] == rows[:3]
  assert len(again) == 8
  assert float(again[3]['iou']) == pytest.approx(float(rows[3]['iou']), abs=1e-5)
  assert '| K = 1 ' in (workdir / 'summary.md').read_text()
  assert (workdir / 'iou.png').exists()
  assert len(list(workdir.glob('overlays-*.png'))) == 4


@pytest.mark.parametrize(
  ('writer', 'room', 'named', 'num_rows'),
  [
    ((Path, 'write_bytes'), 2, 'results.csv', 0),
    ((Path, 'write_bytes'), 3, 'summary.csv', 1),
    ((Figure, 'savefig'), 0, 'overlays-', 0),
  ],
)
def test_a_full_disk_is_named_and_finished_rows_are_kept(
  disk_sets, monkeypatch, writer, room, named, num_rows
):
  config = small_evaluation(shots=(1, 2), selections=(1,), workdir='run')
  with monkeypatch.context() as patch, pytest.raises(OSError, match='No space') as raised:
    fails_after(patch, *writer, room)
    finetune_eval(config)
  assert raised.value.filename.startswith(f'run/{named}')
  table = Path('run', 'results.csv')
  rows = read_table(table) if table.exists() else []
  assert len(rows) == num_rows
  finetune_eval(config)
  again = read_table(table)
  assert len(again) == 2
  assert again[: len(rows)] == rows


def test_shards_fill_the_grid_together_without_doubles_or_losses(disk_sets):
  whole = finetune_eval(small_evaluation(workdir='whole'))
  for shard in ('2/2', '1/2'):
    finetune_eval(small_evaluation(workdir='parts', shard=shard))
  parts = Path('parts')
  assert not (parts / 'results.csv').exists()
  second = read_table(parts / 'results-2of2.csv')
  assert [(row['shots'], row['selection']) for row in second] == [('2', '1'), ('2', '2')]
  finetune_eval(small_evaluation(workdir='parts'))
  found, expected = (read_table(path / 'results.csv') for path in (parts, whole))
  assert without_seconds(found) == without_seconds(expected)


def test_support_sets_are_kept_by_later_grids_and_serve_as_a_file(disk_sets):
  for shots in (1, 2):
    first = finetune_eval(small_evaluation(shots=(shots,), workdir='a'))
  kept = json.loads((first / 'selections.json').read_text())
  assert kept['Selection_1']['FinetuneSamples'].keys() == {'1-shot', '2-shot'}
  config = small_evaluation(selections_file=str(first / 'selections.json'), workdir='b', seed=0)
  second = finetune_eval(config)
  found, expected = (read_table(path / 'results.csv') for path in (second, first))
  assert without_seconds(found) == without_seconds(expected)


def test_test_images_are_all_but_the_support_set():
  for seed in range(5):
    chosen = module.test_images(9, [1, 4, 7], small_evaluation(max_test_images=9, seed=seed))
    assert chosen.tolist() == [0, 2, 3, 5, 6, 8]


def test_a_support_set_without_a_crop_is_scored_with_a_warning(disk_sets, monkeypatch):
  def without_disks(code, _):
    image_set = disk_set(code)
    empty = np.zeros_like(image_set.masks[0])
    return image_set._replace(masks=(*[empty] * 11, image_set.masks[11]))

  monkeypatch.setattr(data, 'load_set', without_disks)
  with pytest.warns(UserWarning, match='no annotated image has a crop with enough foreground'):
    workdir = finetune_eval(small_evaluation(shots=(1,), selections=(1,)))
  assert read_table(workdir / 'results.csv')[0]['num_steps'] == '0'


# Initialisations and defaults.


def test_without_options_the_newest_run_is_evaluated_and_named(run, capsys):
  older = Path(shutil.copytree(run, Path('runs') / 'older'))
  for checkpoint in (older / 'checkpoints').iterdir():
    os.utime(checkpoint, (0, 0))
  config = module.with_run_defaults(Config())
  assert capsys.readouterr().err == f'evaluating {run}\n'
  assert config.init == (str(run),)
  assert (config.target, config.crop_size, config.widths) == ('TNBC', 32, TINY_WIDTHS['fcrn'])
  assert config.finetune_steps == 4  # of the run's preset
  assert (config.shots, len(config.selections)) == ((1, 3, 5, 7, 10), 10)


def test_without_a_run_it_says_what_to_do(disk_sets):
  with pytest.raises(InputError, match=r'python -m experiments\.meta_train'):
    finetune_eval(Config())


def test_a_run_that_left_nothing_out_needs_a_target(run):
  path = run / 'config.json'
  path.write_text(path.read_text().replace('"target": "TNBC"', '"target": "none"'))
  with pytest.raises(InputError, match='give a target'):
    module.with_run_defaults(Config(init=(str(run),)))
  assert module.with_run_defaults(Config(init=(str(run),), target='TNBC')).widths


def test_a_run_and_its_initialisation_alone_are_the_same_parameters(meta_trained):
  config = module.with_run_defaults(small_evaluation(init=(str(meta_trained),)))
  of_run = initialisations.load(str(meta_trained), config, target='TNBC')
  alone = initialisations.load(str(meta_trained / 'init'), config, target='TNBC')
  assert_trees_equal(of_run.params, last_params(meta_trained))
  assert (alone.digest, alone.objective) == (of_run.digest, 'unknown')
  assert of_run.objective == 'combined'


def test_reading_a_run_leaves_a_checkpoint_in_the_making_alone(run):
  unfinished = run / 'checkpoints' / '9.orbax-checkpoint-tmp'
  unfinished.mkdir()
  config = module.with_run_defaults(small_evaluation(init=(str(run),)))
  initialisations.load(str(run), config, target='TNBC')
  assert unfinished.is_dir()


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'target': 'EM'}, 'has learned from EM'),
    ({'arch': 'unet', 'widths': TINY_WIDTHS['unet']}, 'another network'),
    ({'widths': (4, 4, 4, 4)}, 'another network'),
    ({'shots': (12,)}, '12'),
    ({'shots': ()}, 'shots: expected at least one value'),
    ({'selections': (0,)}, 'selections count from 1'),
    ({'init': ('nowhere',)}, 'nowhere: no such folder'),
    ({'init': ('runs/evaluation',)}, 'is a run of finetune_eval'),
    ({'init': ('runs/TNBC-fcrn-combined-s0', 'copy/TNBC-fcrn-combined-s0')}, 'two initialisations'),
    ({'selections_file': 'absent.json', 'shots': (1,)}, r'gone\.png'),
    ({'finetune_schedule': 'cosine', 'finetune_steps': 0}, 'needs to know its end'),
  ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_is_written(run, changes, message):
  shutil.copytree(run, Path('copy') / run.name)
  evaluation = Path(shutil.copytree(run, 'runs/evaluation'))
  path = evaluation / 'config.json'
  path.write_text(path.read_text().replace('"command": "meta_train"', '"command": "finetune_eval"'))
  names = {'1-shot': {'TNBC': {'Image': ['gone.png']}}}
  Path('absent.json').write_text(json.dumps({'Selection_1': {'FinetuneSamples': names}}))
  with pytest.raises(InputError, match=message):
    finetune_eval(small_evaluation(**{'init': (str(run),), 'workdir': 'results', **changes}))
  assert not Path('results').exists()


def test_given_options_come_before_the_run_and_the_run_before_the_preset(run):
  path = run / 'config.json'
  content = json.loads(path.read_text())
  content['config'] |= {'data': 'simulated', 'protocol': 'paper', 'data_seed': 3, 'arch': 'fcrn'}
  path.write_text(json.dumps(content))
  of_run = module.with_run_defaults(Config(init=(str(run),)))
  assert (of_run.data, of_run.protocol, of_run.data_seed) == ('simulated', 'paper', 3)
  given = Config(init=(str(run),), data='real', protocol='corrected', data_seed=0)
  given = module.with_run_defaults(given)
  assert (given.data, given.protocol, given.data_seed) == ('real', 'corrected', 0)
  other = module.with_run_defaults(Config(init=(str(run),), preset='recommended'))
  assert (other.arch, other.adaptation) == ('fcrn', 'fscs')  # the network is that of the run


def test_options_of_the_other_adaptation_are_refused(run):
  with pytest.raises(InputError, match='finetune_lr') as error:
    module.with_run_defaults(Config(init=(str(run),), adaptation='fscs', finetune_lr=0.1))
  assert error.value.arguments == ('finetune_lr', 'adaptation')


# The product's fine-tuning.


@pytest.mark.slow
def test_the_fscs_adaptation_equals_fscs_finetune(meta_trained, tmp_path, monkeypatch):
  short = functools.partial(module.FineTuningConfig, steps=12)  # other settings are the defaults
  monkeypatch.setattr(module, 'FineTuningConfig', short)
  config = small_evaluation(
    init=(str(meta_trained),),
    adaptation='fscs',
    finetune_steps=None,
    data='simulated',
    simulated_images=4,
    downscale=4,
    shots=(2,),
    selections=(1,),
    max_test_images=2,
    workdir=str(tmp_path / 'evaluation'),
  )
  workdir = finetune_eval(config)
  (row,) = read_table(workdir / 'results.csv')
  selections = json.loads((workdir / 'selections.json').read_text())
  names = selections['Selection_1']['FinetuneSamples']['2-shot']['TNBC']['Image']
  ((grey_set, _, _),) = data.load_prepared(['TNBC'], module.with_run_defaults(config))
  support = [grey_set.names.index(name) for name in names]
  start = load_initialisation(meta_trained)
  images, masks = (list(arrays[sorted(support)]) for arrays in (grey_set.images, grey_set.masks))
  segmenter = fscs.finetune(images, masks, init=start, steps=12, estimate=False)

  def predict(images):
    return np.stack([segmenter.predict_proba(image) for image in images])

  scores, _ = score_images(predict, grey_set, [i for i in range(4) if i not in support])
  assert float(row['iou']) == pytest.approx(scores.iou.mean(), abs=1e-6)
  assert float(row['dice']) == pytest.approx(scores.dice.mean(), abs=1e-6)
