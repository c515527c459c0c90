"""The study: who is compared on which images, and the command on tiny simulated ones."""

import dataclasses
import json
import os
import signal
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from command_line import refusal_of
from skimage.draw import disk

from experiments import meta_train, report
from experiments.common import baselines
from experiments.common.finetuning import Adapted
from experiments.common.options import from_preset
from experiments.study import (
  cells,
  command,
  copies,
  networks,
  predicted,
  protocols,
  rounds,
  targets,
  terms,
)
from experiments.study.cells import Cell
from experiments.study.contestants import COLOURED, CONTESTANTS, FOLLOWED, OURS, TRAININGS
from experiments.study.protocols import PROTOCOLS, tuning_of
from experiments.study.targets import Split, Target
from fscs.data.image_sets import GreySet
from fscs.data.support_sets import random_selections
from fscs.errors import InputError
from fscs.segmentation.instances import Splitting, usual_splitting


def test_where_no_object_is_annotated_regions_are_objects():
  assert usual_splitting(np.zeros((2, 9, 9), np.int32)) == Splitting()


def grey_set(code='EM', count=9):
  names = tuple(f'{i}.png' for i in range(count))
  images = np.zeros((count, 8, 8), np.uint8)
  return GreySet(code, images, images, names)


def test_sections_count_to_the_nearest_annotated_one():
  split = Split([2, 7], np.array([0, 3, 5, 8]))
  assert targets.sections(Target(grey_set(), None), split) == (2, 1, 2, 1)
  assert targets.sections(Target(grey_set('B5'), None), split) is None


def test_grey_values_are_learned_from_the_colours_of_annotated_images_alone():
  random = np.random.default_rng(0)
  masks = (random.random((5, 16, 16)) < 0.3).astype(np.uint8)
  colours = random.normal(100, 5, (5, 16, 16, 3))
  colours[:2, ..., 0] += 60 * masks[:2]  # of the others, what the masks hold is not to be seen
  blank = GreySet('TNBC', np.zeros_like(masks), masks, tuple('abcde'))
  target = Target(blank, None, colours)
  learned = targets.with_learned_grey(target, [0, 1])
  assert learned.grey_set.images.dtype == np.uint8
  for image, mask in zip(learned.grey_set.images[:2], masks[:2], strict=True):
    assert image[mask > 0].min() > 150 > 100 > image[mask == 0].max()
  others = target._replace(grey_set=blank._replace(masks=masks[[0, 1, 4, 3, 2]]))
  same = targets.with_learned_grey(others, [0, 1]).grey_set.images
  np.testing.assert_array_equal(same, learned.grey_set.images)
  grey = target._replace(colours=None)
  assert targets.with_learned_grey(grey, [0, 1]) is grey
  assert targets.with_learned_grey(target, [2, 3]) is target  # colours say nothing there


def test_learned_colours_are_a_matter_of_targets_that_have_them_and_of_the_terms():
  protocol = PROTOCOLS['cpu-small']
  found = set(command.all_cells(command.Config(), protocol))
  coloured = {cell for cell in found if cell.contestant in COLOURED}
  assert {cell.target for cell in coloured} == {'TNBC'}
  assert {cell.contestant for cell in coloured} == set(COLOURED)
  plain = terms.of('forest', 'cpu-small', simulated=False)
  assert terms.of('forest-colours', 'cpu-small', simulated=False) != plain
  assert 'colours' not in plain['network']


def test_test_images_are_annotated_for_no_number_of_shots_and_the_same_for_all():
  protocol = PROTOCOLS['cpu-small']._replace(shots=(1, 3), max_test_images=4)
  target = Target(grey_set(count=12), None)
  drawn = random_selections(target.grey_set.names, 'EM', shots=(1, 3), num_selections=2, seed=0)
  splits = [
    targets.split(target, drawn, protocol, selection=2, shots=shots) for shots in protocol.shots
  ]
  assert [len(split.support) for split in splits] == [1, 3]
  np.testing.assert_array_equal(splits[0].test, splits[1].test)
  assert len(splits[0].test) == 4
  assert not set(splits[0].test) & {i for split in splits for i in split.support}


def test_rehearsals_share_no_image_with_those_that_are_scored():
  reported, rehearsal = PROTOCOLS['cpu-small'], PROTOCOLS['rehearsal']
  target = Target(grey_set(count=90), None)
  drawn = random_selections(
    target.grey_set.names, 'EM', shots=reported.shots, num_selections=3, seed=0
  )
  scored = {
    index
    for number in reported.selections
    for index in targets.split(target, drawn, reported, selection=number, shots=1).test
  }
  splits = [
    targets.split(target, drawn, rehearsal, selection=0, shots=shots) for shots in rehearsal.shots
  ]
  for split in splits:
    assert not scored & {*split.support, *split.test}
    assert not set(split.support) & set(split.test)
    assert len(split.test) == rehearsal.max_test_images
  assert set(splits[0].support) < set(splits[1].support)
  np.testing.assert_array_equal(splits[0].test, splits[1].test)


@pytest.mark.parametrize('name', PROTOCOLS)
def test_all_trainings_take_as_many_steps_on_as_many_crops(name):
  protocol = PROTOCOLS[name]
  for training in TRAININGS.values():
    config_class = networks._COMMANDS[training.command][1]
    config = dataclasses.replace(from_preset(config_class, protocol.preset), **training.options)
    length = networks._length(config, protocol, training.inner_steps)
    config = dataclasses.replace(config, **length)
    if training.command == 'pretrain':
      steps, crops = config.pretrain_steps, config.pretrain_batch_size
    else:
      steps = config.meta_epochs * 4 * config.task_batch * config.num_inner_steps
      crops = config.num_crops
    assert (steps, crops) == (protocol.training_steps, protocol.training_crops)


def test_steps_that_whole_meta_epochs_do_not_make_are_refused():
  protocol = PROTOCOLS['cpu-small']
  with pytest.raises(InputError, match='1441 training steps are no multiple of the 120'):
    networks._length(from_preset(meta_train.Config, 'cpu'), protocol._replace(training_steps=1441))


def disks(dark):
  truth = np.zeros((2, 60, 60), bool)
  for mask, centre in zip(truth, ((20, 20), (35, 40)), strict=True):
    mask[disk(centre, 12)] = True
  noise = np.random.default_rng(0).normal(0, 8, truth.shape)
  images = np.clip(120 + (-60 if dark else 60) * truth + noise, 0, 255).astype(np.uint8)
  return images, truth


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('baseline', [baselines.otsu, baselines.forest])
def test_baselines_learn_from_one_image_what_is_foreground(baseline, dark):
  images, truth = disks(dark)
  probability = baseline(images[:1], truth[:1])(images[1])
  assert probability.dtype == np.float32
  agreed = (probability > 0.5) == truth[1]
  assert agreed.mean() > 0.97


@pytest.fixture(scope='module')
def studied(tmp_path_factory):
  """A study of a few contestants on simulated images, in this process."""
  root = tmp_path_factory.mktemp('study')
  protocol = PROTOCOLS['smoke']
  from fscs.data.synthetic import simulate

  options = protocols.data_options(protocol, simulated=True)
  names = simulate('TNBC', num_images=options.simulated_images, seed=0).names
  drawn = random_selections(names, 'TNBC', shots=protocol.shots, num_selections=1, seed=0)
  selections = root / 'selections.json'
  selections.write_text(json.dumps(drawn))
  return root, options, selections


def config(studied, **chosen):
  root, _, selections = studied
  standard = {'protocol': 'smoke', 'workdir': str(root / 'run'), 'simulated': True}
  return command.Config(**{**standard, 'selections_file': str(selections), **chosen})


@pytest.fixture(scope='module')
def in_process():
  """The command without processes of its own, which take seconds to start."""
  patch = pytest.MonkeyPatch()
  done = []

  class Pool:
    def __init__(self, *_):
      pass

    def __enter__(self):
      return self

    def __exit__(self, *_):
      pass

    def submit(self, function, cell, *arguments):
      done.append(cell)
      value = function(cell, *arguments)
      return type('Done', (), {'result': lambda _: value})()

  patch.setattr(command, 'ProcessPoolExecutor', Pool)
  yield done
  patch.undo()


def test_a_study_goes_on_and_its_report_has_every_contestant(studied, in_process, capsys):
  chosen = ('otsu', 'scratch', 'bce')
  workdir = command.study(config(studied, contestants=chosen, shots=(1,)))
  followed = len(PROTOCOLS['smoke'].curve) * sum(name in FOLLOWED for name in chosen)
  assert len(in_process) == len(cells.read_all(workdir)) == len(chosen) + followed
  in_process.clear()
  command.study(config(studied, contestants=chosen, shots=(1,)))
  assert in_process == []
  trained = {path.name for path in (workdir / 'training').iterdir()}
  assert trained == {'TNBC-bce-s0'}

  out = report.report(report.Config(workdir=str(workdir), protocol='smoke', predictions=False))
  text = (out / 'results.md').read_text()
  for name in chosen:
    assert CONTESTANTS[name].label in text
  assert (out / 'iou.png').exists() and (out / 'steps-K1.png').exists()
  assert 'otsu' in (out / 'differences.csv').read_text()
  assert 'report: ' in capsys.readouterr().out


def test_steps_are_followed_on_the_selections_of_the_protocol_alone():
  protocol = PROTOCOLS['cpu-small']
  chosen = {'contestants': ('otsu', OURS), 'targets': ('EM',)}
  found = list(command.all_cells(command.Config(**chosen), protocol))
  steps = {
    (selection, shots): [c.steps for c in found if c[1:4] == (OURS, shots, selection)]
    for selection in protocol.selections
    for shots in protocol.shots
  }
  followed = [protocol.steps, *protocol.curve]
  assert steps.pop((1, 5)) == followed
  assert set(map(tuple, steps.values())) == {(protocol.steps,)}
  assert {c.steps for c in found if c.contestant == 'otsu'} == {0}
  ends = list(command.all_cells(command.Config(**chosen, curve=False), protocol))
  assert len(found) - len(ends) == len(protocol.curve)


def test_scores_of_a_cell_are_those_of_its_kept_predictions(studied, in_process):
  workdir = command.study(config(studied, contestants=('otsu',)))
  found = next(r for r in cells.read_all(workdir) if r.cell.contestant == 'otsu')
  kept = predicted.read(workdir / found.cell.file)
  grey_set = targets.load('TNBC', studied[1]).grey_set
  truth = grey_set.masks[[grey_set.names.index(name) for name in found.images]] > 0
  overlap, union = (kept & truth).sum((1, 2)), (kept | truth).sum((1, 2))
  np.testing.assert_allclose(found.iou, overlap / union, atol=1e-4)
  assert not set(found.support) & set(found.images)


def test_a_network_can_take_the_threshold_that_is_best_on_the_annotated_images(monkeypatch):
  monkeypatch.setattr(networks, 'make_adapt', lambda *_: lambda *_: Adapted({}))
  monkeypatch.setattr(networks, 'make_probability', lambda *_: lambda _, images: images / 100)
  images = np.zeros((2, 8, 8), np.uint8)
  images[0, :4], images[0, 4:] = 86, 93  # what is annotated
  images[1, :4], images[1, 4:] = 89, 91
  target = Target(GreySet('toy', images, np.uint8(images > 91), ('a', 'b')), labels=None)
  split = Split([0], np.array([1]))
  for name, found in (('combined', images[1:] > 50), ('combined-tuned', images[1:] > 90)):
    cell = Cell('TNBC', name, 1, 1, 0, 250)
    predict, _ = rounds._adapt(cell, {}, target, split, None, PROTOCOLS['cpu-small'])
    np.testing.assert_array_equal(predict(images[1:]) > 0.5, found)


def test_other_images_than_those_of_known_results_are_refused_before_any_work(
  studied, tmp_path, in_process
):
  options = {'shots': (1,), 'curve': False, 'workdir': str(tmp_path)}
  command.study(config(studied, contestants=('otsu',), **options))
  (known,) = cells.read_all(tmp_path)
  cells.write(tmp_path, known._replace(images=tuple(f'{name}~' for name in known.images)))
  with pytest.raises(InputError, match=r'otsu/K1-.*json is of other images of TNBC than are there'):
    command.study(config(studied, contestants=('scratch',), **options))


def test_one_shard_does_all_that_adapts_the_same_trained_parameters():
  protocol = PROTOCOLS['rehearsal']
  wanted = list(command.all_cells(command.Config(), protocol))
  shards = [command._groups(wanted, i, 4) for i in (1, 2, 3, 4)]
  trained = [
    {CONTESTANTS[cell.contestant].training for group in groups for cell in group} - {None}
    for groups in shards
  ]
  assert sum(map(len, trained)) == len(set.union(*trained)) > 4
  done = [cell for groups in shards for group in groups for cell in group]
  assert sorted(done) == sorted(wanted)


def test_the_papers_contestants_adapt_as_the_preset_says():
  paper, small = (tuning_of('combined', PROTOCOLS[name]) for name in ('paper', 'cpu-small'))
  assert (paper.learning_rate, paper.norm_scale) == (1e-4, 0.1)
  assert (small.learning_rate, small.norm_scale) == (1e-2, 1.0)
  assert tuning_of(OURS, PROTOCOLS['paper']) == CONTESTANTS[OURS].tuning


def test_every_protocol_has_a_folder_for_its_sizes():
  folders = {name: str(command.workdir_of(None, name)) for name in PROTOCOLS}
  assert folders == {
    'cpu-small': 'runs/study',
    'rehearsal': 'runs/study',
    'paper': 'runs/study-paper',
    'smoke': 'runs/study-smoke',
  }


def test_shards_share_out_everything(studied, in_process):
  chosen = {'contestants': ('otsu', 'scratch', 'otsu'), 'curve': False}
  in_process.clear()
  for shard in ('1/2', '2/2'):
    command.study(config(studied, workdir=str(studied[0] / 'shards'), shard=shard, **chosen))
  assert len(in_process) == len(set(in_process)) == 4


def test_simulated_images_need_no_file_of_selections(studied, tmp_path, in_process):
  chosen = {'contestants': ('otsu',), 'selections_file': None, 'workdir': str(tmp_path)}
  command.study(config(studied, **chosen))
  assert {r.cell.shots for r in cells.read_all(tmp_path)} == set(PROTOCOLS['smoke'].shots)


@pytest.mark.parametrize(
  ('chosen', 'message'),
  [
    ({'contestants': ('nobody',)}, '--contestants has nobody: one of otsu forest'),
    ({'targets': ('TNBC', 'EM')}, '--targets has EM: one of TNBC is expected'),
    ({'shots': (7,)}, '--shots has 7: one of 1 3 is expected with --protocol=smoke'),
    ({'shots': (0,)}, '--shots has 0: one of 1 3'),
    ({'selections': (99,)}, '--selections has 99: one of 1 is expected with --protocol=smoke'),
    ({'shard': '3/2'}, '--shard is 3/2'),
  ],
)
def test_options_that_name_what_there_is_not(studied, tmp_path, chosen, message):
  with pytest.raises(InputError, match=message):
    command.study(config(studied, workdir=str(tmp_path / 'run'), **chosen))
  assert not list(tmp_path.rglob('*.json'))


def test_the_commands_end_with_one_line(tmp_path):
  folder = f'--workdir={tmp_path}'
  assert refusal_of('study', '--shots', '7', folder).startswith('--shots has 7: one of 1 5 10 is')
  assert refusal_of('report', folder) == (
    f'{folder} has no results of --protocol=cpu-small: run python -m experiments.study first'
  )


def test_published_results_are_gone_on_from(studied, tmp_path, in_process):
  options = {'contestants': ('otsu',), 'curve': False}
  first = command.study(config(studied, workdir=str(tmp_path / 'first'), **options))
  smoke = report.Config(workdir=str(first), protocol='smoke', predictions=False)
  known = str(report.report(smoke) / 'results.jsonl')
  in_process.clear()
  options = {'contestants': ('otsu', 'forest'), 'curve': False, 'known': known}
  second = command.study(config(studied, workdir=str(tmp_path / 'second'), **options))
  assert {cell.contestant for cell in in_process} == {'forest'}
  done = cells.read_all(second)
  assert [r for r in done if r.cell.contestant == 'otsu'] == cells.read_all(first)
  assert terms.read_all(first).items() <= terms.read_all(second).items()
  assert copies.read(first) == copies.read(second)


def test_other_images_than_a_study_began_with_are_refused(studied, tmp_path, in_process):
  options = {'contestants': ('otsu',), 'curve': False, 'workdir': str(tmp_path)}
  command.study(config(studied, **options))
  assert copies.read(tmp_path).keys() == {'TNBC'}
  copies.write_text(tmp_path / copies.FILE, json.dumps({'TNBC': 'other'}))
  with pytest.raises(InputError, match='has results of other copies of TNBC'):
    command.study(config(studied, **options))


def die(*_):
  """In place of an experiment: ends its process as the system does where memory runs out."""
  os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_named_and_the_same_command_goes_on(
  studied, tmp_path, monkeypatch, in_process
):
  wanted = config(studied, contestants=('otsu',), workdir=str(tmp_path), curve=False)
  with monkeypatch.context() as patched, pytest.raises(InputError) as caught:
    patched.setattr(command, 'ProcessPoolExecutor', ProcessPoolExecutor)
    patched.setattr(command, '_do', die)
    command.study(wanted)
  line = str(caught.value)
  assert line.startswith('the process of cells/TNBC/otsu/K1-selection1-s0-0steps was killed, prob')
  assert 'memory' in line and 'the same command goes on' in line and '\n' not in line
  assert len(cells.read_all(command.study(wanted))) == 2
