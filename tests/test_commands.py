"""Every command runs real steps, goes on where it stopped, and refuses what it cannot use."""

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import REPOSITORY
from toys import WIDTHS, disk_set, use_toy_data

import fscs
from experiments import finetune_eval, meta_train, pretrain
from experiments.common import data, evaluation_options, initialisations, options
from experiments.configs import PRESETS
from fscs.errors import InputError
from fscs.io.checkpoints import Checkpoints
from fscs.meta.reptile import init_state, meta_step

TINY = {
  'preset': 'smoke',
  'downscale': 1,
  'crop_size': 32,
  'min_foreground': 20,
  'widths': WIDTHS['fcrn'],
  'lowering': 'xla',  # compiles fastest
  'target': 'TNBC',
}


@pytest.fixture(autouse=True)
def toy_data(monkeypatch, tmp_path):
  use_toy_data(monkeypatch)
  monkeypatch.chdir(tmp_path)


def meta_config(**changes):
  sizes = {'num_crops': 2, 'num_inner_steps': 2, 'meta_epochs': 4, 'block_epochs': 2}
  return meta_train.Config(**{**TINY, **sizes, 'objective': 'bce', **changes})


def pretrain_config(**changes):
  sizes = {
    'pretrain_steps': 6,
    'pretrain_batch_size': 4,
    'pretrain_block_steps': 3,
    'validation_crops': 4,
  }
  return pretrain.Config(**{**TINY, **sizes, **changes})


def eval_config(**changes):
  sizes = {'finetune_steps': 3, 'finetune_batch_size': 4, 'max_test_images': 3}
  grid = {'init': ('random',), 'shots': (1, 2), 'selections': (1, 2)}
  return finetune_eval.Config(**{**TINY, **sizes, **grid, **changes})


def final_state(workdir):
  with Checkpoints(workdir / 'checkpoints') as checkpoints:
    return checkpoints.restore_params(checkpoints.latest_step)


def rows_of(path):
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


@pytest.fixture
def trained():
  """The workdir of a finished meta-training."""
  return meta_train.meta_train(meta_config())


@pytest.mark.parametrize(
  ('train', 'short', 'long'),
  [
    (meta_train.meta_train, meta_config(meta_epochs=2), meta_config()),
    (pretrain.pretrain, pretrain_config(pretrain_steps=3), pretrain_config()),
  ],
  ids=['meta_train', 'pretrain'],
)
def test_continued_equals_uninterrupted_bit_for_bit(train, short, long):
  whole = train(dataclasses.replace(long, workdir='whole'))
  train(dataclasses.replace(short, workdir='parts'))
  parts = train(dataclasses.replace(long, workdir='parts'))
  jax.tree.map(np.testing.assert_array_equal, final_state(whole), final_state(parts))
  assert (whole / 'figures.csv').read_text() == (parts / 'figures.csv').read_text()


MUON = {'optimizer': 'muon', 'kernel_norms': 'kept'}


@pytest.mark.parametrize(
  ('train', 'config'),
  [
    (meta_train.meta_train, meta_config(meta_schedule='linear', **MUON)),
    (pretrain.pretrain, pretrain_config(pretrain_schedule='cosine', **MUON)),
  ],
  ids=['meta_train', 'pretrain'],
)
def test_a_rate_that_falls_goes_on_where_it_was_interrupted_bit_for_bit(train, config, monkeypatch):
  whole = train(dataclasses.replace(config, workdir='whole'))
  save = Checkpoints.save

  def save_and_interrupt(*arguments, **figures):
    save(*arguments, **figures)
    raise KeyboardInterrupt

  config = dataclasses.replace(config, workdir='parts')
  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(Checkpoints, 'save', save_and_interrupt)
    train(config)
  parts = train(config)
  jax.tree.map(np.testing.assert_array_equal, final_state(whole), final_state(parts))
  assert (whole / 'figures.csv').read_text() == (parts / 'figures.csv').read_text()
  longer = {name: 8 for name in ('meta_epochs', 'pretrain_steps') if hasattr(config, name)}
  with pytest.raises(InputError, match=r'is [46] there and 8 now'):
    train(dataclasses.replace(config, **longer))


def test_a_longer_pre_training_validates_where_it_would_have_without_a_stop():
  whole = pretrain.pretrain(pretrain_config(pretrain_steps=8, workdir='whole'))
  pretrain.pretrain(pretrain_config(pretrain_steps=4, workdir='parts'))
  parts = pretrain.pretrain(pretrain_config(pretrain_steps=8, workdir='parts'))
  jax.tree.map(np.testing.assert_array_equal, final_state(whole), final_state(parts))
  steps = [[int(row['step']) for row in rows_of(run / 'figures.csv')] for run in (whole, parts)]
  assert steps == [[3, 6, 8], [3, 4, 6, 8]]


def test_a_linear_outer_rate_falls_to_0_over_the_meta_epochs():
  config = meta_config(meta_schedule='linear', meta_lr=0.8, meta_epochs=4)
  outer = meta_train._outer(config)
  state = init_state({'w': jnp.zeros(())}, outer)
  places = []
  for _ in range(5):
    state = meta_step(state, {'w': jnp.array(-1.0)}, outer=outer)
    places.append(float(state.params['w']))
  np.testing.assert_allclose(places, np.cumsum([0.8, 0.6, 0.4, 0.2, 0.0]), rtol=1e-6)


def test_a_start_gives_the_parameters_before_the_first_meta_epoch(trained):
  at_rest = {'meta_lr': 1e-30, 'meta_epochs': 2, 'workdir': 'next'}  # no parameter is so small
  begun = meta_train.meta_train(meta_config(start=str(trained), **at_rest))
  jax.tree.map(np.testing.assert_array_equal, final_state(begun), final_state(trained))


def test_what_a_start_has_learned_from_is_not_forgotten(trained):
  others = {'target': 'none', 'sources': ('TNBC',), 'meta_epochs': 2, 'workdir': 'next'}
  begun = meta_train.meta_train(meta_config(start=str(trained), **others))
  for init in ('next', 'next/init'):
    for target in ('EM', 'TNBC'):
      with pytest.raises(InputError, match=f'{init} has learned from {target}'):
        initialisations.load(init, eval_config(), target=target)
  trained.rename('moved')
  assert meta_train.meta_train(meta_config(start=str(trained), **others)) == begun
  last = initialisations.learned_before('next', Path('last'))
  assert last == {'learned_before': ['TNBC', 'B5', 'B39', 'ssTEM', 'EM']}
  assert initialisations.learned_before('random', Path('last')) == {}


def test_a_run_that_left_nothing_out_does_not_say_what_to_adapt_to(trained):
  path = trained / 'config.json'
  path.write_text(path.read_text().replace('"target": "TNBC"', '"target": "none"'))
  with pytest.raises(InputError, match=r'--target is missing: the run of --init=.*TNBC.* has left'):
    evaluation_options.defaults([f'--init={trained}'])
  assert evaluation_options.defaults([f'--init={trained}', '--target=TNBC']).widths


def test_a_run_that_has_begun_does_without_its_start(trained):
  whole = meta_train.meta_train(meta_config(start=str(trained), workdir='whole'))
  meta_train.meta_train(meta_config(start=str(trained), workdir='parts', meta_epochs=2))
  trained.rename('moved')
  parts = meta_train.meta_train(meta_config(start=str(trained), workdir='parts'))
  jax.tree.map(np.testing.assert_array_equal, final_state(whole), final_state(parts))


def test_a_start_that_cannot_be_used_is_refused_in_one_line_before_anything_is_written(trained):
  for changes, message in (
    ({'widths': (4, 4, 4, 4)}, 'holds another network: .*--widths'),
    ({'target': 'EM'}, 'has learned from EM'),
    ({'start': 'nowhere'}, r'nowhere/config\.json: No such file'),
  ):
    with pytest.raises(InputError, match=message) as caught:
      meta_train.meta_train(meta_config(**{'start': str(trained), 'workdir': 'next', **changes}))
    assert '\n' not in str(caught.value)
    assert not Path('next').exists()


def test_meta_training_leaves_everything_it_promises(trained):
  assert trained.as_posix() == 'runs/TNBC-fcrn-bce-s0'
  rows = rows_of(trained / 'figures.csv')
  assert [int(row['step']) for row in rows] == [1, 2, 3, 4]
  assert {'loss/B5', 'segmentation/EM', 'entropy/B39', 'validation/ssTEM'} <= set(rows[0])
  assert not any('TNBC' in name for name in rows[0])
  assert rows[0]['validation_loss'] == ''
  assert float(rows[1]['validation_loss']) > 0
  config = json.loads((trained / 'config.json').read_text())
  assert config['config']['target'] == 'TNBC'
  assert config['versions']['jax'] == jax.__version__
  assert set(config['data_fingerprints']) == {'B5', 'B39', 'ssTEM', 'EM'}
  for name in ('crops.png', 'losses.png'):
    assert (trained / name).read_bytes().startswith(b'\x89PNG')
  assert list((trained / 'tensorboard').iterdir())


def test_a_workdir_of_another_configuration_is_refused(trained):
  before = (trained / 'config.json').read_text()
  with pytest.raises(InputError, match=r'--inner-lr is 0\.001 there and 0\.01 now.*--workdir'):
    meta_train.meta_train(meta_config(inner_lr=0.01))
  assert (trained / 'config.json').read_text() == before


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'sources': ('B5', 'TNBC')}, '--sources has TNBC, which is the --target'),
    ({'sources': ('B5', 'B5')}, '--sources has B5 twice'),
    ({'sources': ('B5',), 'objective': 'combined'}, 'needs two --sources'),
    ({'crop_size': 128}, 'crops of 128 x 128 pixels are larger than the images of 64 x 64'),
    ({'min_foreground': 5000}, 'B5: no crop .* lower --min-foreground'),
    ({'meta_epochs': 0}, '--meta-epochs is 0: it must be at least 1'),
    ({'seed': -1}, '--seed is -1'),
    ({'seed': 2**32}, '--seed is 4294967296: it must be at most'),
    ({'downscale': 0}, '--downscale is 0'),
    ({'inner_lr': 0.0}, r'--inner-lr is 0\.0: it must be above 0'),
    ({'widths': (4, 4)}, 'fcrn needs 4'),
  ],
)
def test_meta_training_refuses_before_it_writes(changes, message, tmp_path):
  with pytest.raises(InputError, match=message):
    meta_train.meta_train(meta_config(**changes))
  assert not (tmp_path / 'runs').exists()


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(trained):
  good = final_state(trained)
  config = json.loads((trained / 'config.json').read_text())
  config['config']['inner_lr'] = 1e38
  (trained / 'config.json').write_text(json.dumps(config))
  with pytest.raises(InputError, match=r'segmentation loss of source B5 .* meta-epoch 5'):
    meta_train.meta_train(meta_config(inner_lr=1e38, meta_epochs=8))
  jax.tree.map(np.testing.assert_array_equal, final_state(trained), good)


def test_evaluation_fills_its_grid_and_only_what_is_missing(trained, monkeypatch):
  config = eval_config(init=(str(trained), 'random'), shots=(1,))
  workdir = finetune_eval.finetune_eval(config)
  rows = rows_of(workdir / 'results.csv')
  assert len(rows) == 4
  assert {row['initialisation'] for row in rows} == {'TNBC-fcrn-bce-s0', 'random-normal-s0'}
  assert all(0 <= float(row['iou']) <= 1 and row['num_test_images'] == '3' for row in rows)
  (workdir / 'results.csv').write_text(
    ''.join((workdir / 'results.csv').read_text().splitlines(keepends=True)[:-1])
  )
  calls = []
  original = finetune_eval.make_finetune

  def counted(*arguments):
    finetune = original(*arguments)
    return lambda *a: (calls.append(a[1]), finetune(*a))[1]

  monkeypatch.setattr(finetune_eval, 'make_finetune', counted)
  finetune_eval.finetune_eval(dataclasses.replace(config, shots=(1, 2), at_once=2))
  assert len(calls) == 1 + 2  # the row that was lost, and the new shots of two initialisations
  again = rows_of(workdir / 'results.csv')
  assert again[:3] == rows[:3]
  assert len(again) == 8
  assert float(again[3]['iou']) == pytest.approx(float(rows[3]['iou']), abs=1e-5)
  table = (workdir / 'summary.md').read_text()
  assert '| initialisation | K = 1 | K = 2 |' in table
  assert (workdir / 'iou.png').exists()
  assert len(list(workdir.glob('overlays-*.png'))) == 4


def test_a_divergence_in_the_last_update_of_a_block_keeps_the_last_checkpoint(trained, monkeypatch):
  good = final_state(trained)
  losses = np.array([0.1, np.nan, 0.1, 0.1])
  broken = lambda *_, **__: jax.jit(lambda *_: losses)  # noqa: E731
  monkeypatch.setattr(meta_train, 'make_validation', broken)
  with pytest.raises(InputError, match=r'validation loss of source B39 .* meta-epoch 6'):
    meta_train.meta_train(meta_config(meta_epochs=8))
  jax.tree.map(np.testing.assert_array_equal, final_state(trained), good)


def test_an_initialisation_of_the_python_interface_can_be_evaluated(trained):
  params, metadata = fscs.load_init(trained / 'init')
  assert metadata['architecture'] == 'fcrn'
  jax.tree.map(np.testing.assert_array_equal, params, final_state(trained))
  loaded = initialisations.load(str(trained / 'init'), eval_config(), target='TNBC')
  run = initialisations.load(str(trained), eval_config(), target='TNBC')
  assert (loaded.digest, loaded.objective) == (run.digest, 'unknown')
  with pytest.raises(InputError, match='has learned from EM'):
    initialisations.load(str(trained / 'init'), eval_config(), target='EM')


def test_two_initialisations_of_one_name_are_refused(trained, tmp_path):
  shutil.copytree(trained, tmp_path / 'elsewhere' / trained.name)
  inits = (str(trained), f'elsewhere/{trained.name}')
  with pytest.raises(InputError, match='two initialisations named TNBC-fcrn-bce-s0'):
    finetune_eval.finetune_eval(eval_config(init=inits))


def test_an_evaluation_is_no_initialisation(trained):
  workdir = finetune_eval.finetune_eval(eval_config(shots=(1,), selections=(1,)))
  with pytest.raises(InputError, match='is a run of finetune_eval'):
    finetune_eval.finetune_eval(eval_config(init=(str(workdir),)))


def test_reading_a_run_leaves_a_checkpoint_in_the_making_alone(trained):
  unfinished = trained / 'checkpoints' / '9.orbax-checkpoint-tmp'
  unfinished.mkdir()
  initialisations.load(str(trained), eval_config(), target='TNBC')
  assert unfinished.is_dir()


def test_a_later_grid_keeps_the_selections_of_the_earlier(trained):
  for shots in (1, 2):
    workdir = finetune_eval.finetune_eval(eval_config(shots=(shots,), selections=(1,)))
  kept = json.loads((workdir / 'selections.json').read_text())
  assert kept['Selection_1']['FinetuneSamples'].keys() == {'1-shot', '2-shot'}


def test_support_without_a_crop_is_said(monkeypatch):
  def without_disks(code, _):
    image_set = disk_set(code)
    empty = np.zeros_like(image_set.masks[0])
    return image_set._replace(masks=(*[empty] * 11, image_set.masks[11]))

  monkeypatch.setattr(data, 'load_set', without_disks)
  with pytest.warns(UserWarning, match='no annotated image has a crop with enough foreground'):
    workdir = finetune_eval.finetune_eval(eval_config(shots=(1,), selections=(1,)))
  assert rows_of(workdir / 'results.csv')[0]['num_steps'] == '0'


def test_selections_written_out_serve_as_a_file(trained):
  first = finetune_eval.finetune_eval(eval_config(shots=(1,), workdir='a'))
  changes = {'selections_file': str(first / 'selections.json'), 'workdir': 'b', 'shots': (1,)}
  second = finetune_eval.finetune_eval(eval_config(**changes))
  scores = [[r['iou'] for r in rows_of(w / 'results.csv')] for w in (first, second)]
  assert scores[0] == scores[1]


def test_no_test_image_is_a_support_image():
  for seed in range(5):
    support = [1, 4, 7]
    chosen = finetune_eval.test_images(9, support, eval_config(max_test_images=None, seed=seed))
    assert set(chosen) | set(support) == set(range(9))
    assert not set(chosen) & set(support)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'target': 'EM'}, 'has learned from EM'),
    ({'arch': 'unet', 'widths': WIDTHS['unet']}, r'holds another network: .*--arch'),
    ({'widths': (4, 4, 4, 4)}, r'holds another network: .*--widths'),
    ({'shots': (12,)}, '12 --shots are asked for and 12 images are there'),
    ({'finetune_steps': -1}, '--finetune-steps is -1'),
    ({'shots': ()}, '--shots needs at least one value'),
    ({'selections': (0,)}, '--selections counts from 1'),
    ({'init': ('nowhere',)}, r'nowhere/config\.json: No such file'),
  ],
)
def test_evaluation_refuses_before_it_writes(changes, message, trained, tmp_path):
  with pytest.raises(InputError, match=message):
    finetune_eval.finetune_eval(eval_config(**{'init': (str(trained),), **changes}))
  assert [p.name for p in (tmp_path / 'runs').iterdir()] == [trained.name]


def test_selections_that_name_absent_images_are_refused(tmp_path):
  entry = {'1-shot': {'TNBC': {'Image': ['gone.png']}}}
  path = tmp_path / 'selections.json'
  path.write_text(json.dumps({'Selection_1': {'FinetuneSamples': entry}}))
  with pytest.raises(InputError, match=r'1 image\(s\) that are not there, the first is gone\.png'):
    config = eval_config(selections_file=str(path), selections=(1,), shots=(1,))
    finetune_eval.finetune_eval(config)


def test_evaluation_takes_target_and_data_from_the_newest_run(trained):
  config = evaluation_options.defaults([])
  assert config.init == (str(trained),)
  assert (config.target, config.crop_size, config.widths) == ('TNBC', 32, WIDTHS['fcrn'])
  assert config.finetune_steps == 4  # of the run's preset
  assert config.shots == (1, 3, 5, 7, 10)
  assert len(config.selections) == 10


def test_evaluation_without_a_run_says_what_to_do():
  with pytest.raises(InputError, match=r'python -m experiments\.meta_train'):
    evaluation_options.defaults([])


def command(monkeypatch, main, config_class, *arguments):
  monkeypatch.setattr(sys, 'argv', ['command', *arguments])
  options.run(main, config_class)


def test_options_of_the_command_line_win_over_the_preset(monkeypatch):
  seen = []

  def main(config):
    seen.append(config)

  arguments = ('--target=EM', '--preset=cpu', '--meta-epochs=7', '--sources', 'B5', 'B39')
  command(monkeypatch, main, meta_train.Config, *arguments)
  assert (seen[0].target, seen[0].meta_epochs, seen[0].crop_size) == ('EM', 7, 128)
  assert seen[0].sources == ('B5', 'B39')


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (('--target=B6',), 'B6'),
    (('--targte=B5',), '--targte'),
    (('--objective=mse',), 'mse'),
    (('--target=TNBC', '--sources', 'TNBC', 'EM'), '--sources has TNBC'),
  ],
)
def test_wrong_options_end_with_status_2_and_name_the_option(
  monkeypatch, capsys, arguments, message
):
  with pytest.raises(SystemExit) as stop:
    command(monkeypatch, meta_train.meta_train, meta_train.Config, *arguments)
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert message in error
  assert len(error.splitlines()) == 1


def test_interruption_is_one_line(monkeypatch, capsys):
  def interrupted(config):
    raise KeyboardInterrupt

  with pytest.raises(SystemExit) as stop:
    command(monkeypatch, interrupted, meta_train.Config)
  assert stop.value.code == 130
  assert 'goes on' in capsys.readouterr().err


def test_the_papers_preset_is_what_the_options_default_to():
  for config_class in (meta_train.Config, pretrain.Config, finetune_eval.Config):
    assert options.from_preset(config_class, 'paper') == config_class()


def test_presets_have_the_same_fields_and_all_are_options():
  fields = {
    field.name
    for config_class in (meta_train.Config, pretrain.Config, finetune_eval.Config)
    for field in dataclasses.fields(config_class)
  }
  for values in PRESETS.values():
    assert PRESETS['paper'].keys() <= values.keys() <= fields


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch, capsys, tmp_path):
  (tmp_path / 'file').write_text('')

  def main(config):
    (tmp_path / 'file' / 'folder').mkdir()

  with pytest.raises(SystemExit) as stop:
    command(monkeypatch, main, meta_train.Config)
  assert stop.value.code == 2
  error = capsys.readouterr().err
  assert len(error.splitlines()) == 1
  assert 'file/folder' in error


def test_simulated_data_is_taken_only_where_it_is_asked_for(monkeypatch, tmp_path):
  monkeypatch.undo()
  monkeypatch.setenv('FSCS_DATA_DIR', str(tmp_path))
  simulated = options.DataOptions(data='simulated', simulated_images=2)
  assert data.load_set('B5', simulated).names == ('B5_simulated_000.png', 'B5_simulated_001.png')
  with pytest.raises(InputError, match='no such folder'):
    data.load_set('B5', options.DataOptions(raw_dir=str(tmp_path / 'nowhere')))


def test_shards_do_the_grid_together_without_doubles_or_losses():
  whole = finetune_eval.finetune_eval(eval_config(workdir='whole'))
  for shard in ('2/3', '1/3', '3/3'):
    finetune_eval.finetune_eval(eval_config(workdir='parts', shard=shard))
  parts = Path('parts')
  assert len(list(parts.glob('results-*of3.csv'))) == 3
  assert not (parts / 'results.csv').exists()
  second = rows_of(parts / 'results-2of3.csv')
  assert [(row['shots'], row['selection']) for row in second] == [('1', '2')]  # of four, in order
  finetune_eval.finetune_eval(eval_config(workdir='parts'))
  without_time = lambda path: sorted(  # noqa: E731
    tuple(v for name, v in row.items() if name != 'seconds') for row in rows_of(path)
  )
  assert without_time(parts / 'results.csv') == without_time(whole / 'results.csv')


@pytest.mark.parametrize('shard', ['3/2', '0/2', 'a/b', '2', ''])
def test_shards_that_are_none(shard):
  with pytest.raises(InputError, match=r'--shard is .*: i/n with i from 1 to n'):
    finetune_eval.finetune_eval(eval_config(shard=shard))


def test_a_reader_of_the_output_may_leave_early():
  command = f'{sys.executable} -m experiments.meta_train --help | head -1'
  shown = subprocess.run(
    command, shell=True, capture_output=True, text=True, cwd=REPOSITORY, timeout=120
  )
  assert 'usage' in shown.stdout
  assert shown.stderr == ''
