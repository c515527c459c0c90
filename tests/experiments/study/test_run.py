"""The study: every run is done once, on the same images for all methods, as the product does it."""

import shutil
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

import fscs
from experiments.common import data
from experiments.study import methods, protocols, run, store
from experiments.study.methods import METHODS
from experiments.study.protocols import PROTOCOLS
from fscs.errors import InputError


@pytest.fixture(scope='module')
def studied(do_study, tmp_path_factory):
  """The folder of a finished study."""
  workdir = tmp_path_factory.mktemp('study')
  do_study(workdir, methods=('otsu', 'scratch'))
  return workdir


@pytest.fixture
def workdir(studied, tmp_path):
  """A copy of it."""
  return shutil.copytree(studied, tmp_path / 'study')


def target():
  return protocols.load_target('TNBC', protocols.data_options(PROTOCOLS['smoke'], simulated=True))


def test_all_methods_see_the_same_images_and_scores_are_those_of_the_predictions(studied):
  results = store.read_all(studied)
  assert [(r.run.method, r.run.shots, r.run.steps) for r in results] == [
    *(('otsu', 1, 0), ('otsu', 3, 0), ('scratch', 1, 3), ('scratch', 1, 0), ('scratch', 1, 1)),
    ('scratch', 3, 3),
  ]
  assert len({(r.run.shots, r.support) for r in results}) == 2
  truth = target().grey_set
  for result in results:
    assert len(result.support) == result.run.shots
    assert result.images == results[0].images
    assert not set(result.support) & set(result.images)
    if result.run.steps == methods.final_steps(result.run.method, PROTOCOLS['smoke']):
      for name, iou in zip(result.images, result.iou, strict=True):
        found = store.read_prediction(studied, result.run, name)
        mask = truth.masks[truth.names.index(name)] > 0
        assert iou == pytest.approx((found & mask).sum() / (found | mask).sum(), abs=1e-4)


def test_a_study_that_was_interrupted_ends_as_one_that_was_not(studied, do_study, workdir):
  path = workdir / 'results.jsonl'
  lines = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(b''.join(lines[:3]) + lines[3][:50])
  whole = store.read_all(studied)
  assert do_study(workdir, methods=('otsu', 'scratch')) == [result.run for result in whole[3:]]
  for resumed, result in zip(store.read(path), whole, strict=True):
    for field in ('run', 'config', 'data', 'iou', 'average_precision', 'losses', 'start'):
      assert getattr(resumed, field) == getattr(result, field)
  assert do_study(workdir, methods=('otsu', 'scratch')) == []


def test_only_results_of_the_same_options_and_images_are_reused(
  do_study, workdir, monkeypatch, capsys
):
  with monkeypatch.context() as patch:
    patch.setitem(METHODS, 'otsu', METHODS['otsu']._replace(version=2))
    done = do_study(workdir, methods=('otsu', 'scratch'), shots=(3,))
  assert [r.method for r in done] == ['otsu']
  assert 'other options' in capsys.readouterr().err
  load = data.load_set

  def load_darker(code, options):
    image_set = load(code, options)
    return image_set._replace(images=tuple(image // 2 for image in image_set.images))

  monkeypatch.setattr(data, 'load_set', load_darker)
  assert len(do_study(workdir, methods=('otsu',))) == 2
  assert 'other images' in capsys.readouterr().err


def test_published_results_are_taken_over(studied, do_study, tmp_path):
  results = store.read_all(studied)
  store.write(tmp_path / 'results.jsonl', results)
  known = (str(tmp_path / 'results.jsonl'),)
  assert do_study(tmp_path / 'there', methods=('otsu',), known=known) == []
  assert store.read_all(tmp_path / 'there') == results[:2]


@pytest.mark.parametrize('count', [1, 3, 7])
def test_shards_share_all_runs_and_no_training(count):
  runs = list(run.all_runs(run.Config(), PROTOCOLS['cpu-small']))
  jobs = [run.Job(wanted, '', '', None, (), ()) for wanted in runs]
  shards = [
    [job.run for group in run.share(jobs, index, count) for job in group]
    for index in range(1, count + 1)
  ]
  assert sorted(r for shard in shards for r in shard) == sorted(runs)
  trained = [{METHODS[r.method].training for r in shard} - {None} for shard in shards]
  assert sum(map(len, trained)) == len(set.union(*trained)) == 6


@pytest.mark.slow
def test_the_method_fscs_is_fscs_finetune(do_study, tmp_path):
  """Meta-trained on the other data sets, fine-tuned, predicted and split as users have it."""
  do_study(tmp_path, methods=('fscs',), shots=(1,), curve=False)
  (result,) = store.read_all(tmp_path)
  images, config = target(), PROTOCOLS['smoke'].fscs
  places = [images.grey_set.names.index(name) for name in result.support]
  segmenter = fscs.finetune(
    [images.grey_set.images[i] for i in places],
    [images.labels[i] for i in places],
    init=tmp_path / 'training/TNBC-fscs-s0',
    steps=config.steps,
    batch_size=config.batch_size,
    crop_size=config.crop_size,
    orientations=config.orientations,
  )
  for name, iou, precision in zip(result.images, result.iou, result.average_precision, strict=True):
    place = images.grey_set.names.index(name)
    image, mask = images.grey_set.images[place], images.grey_set.masks[place] > 0
    foreground = segmenter.predict_proba(image) > segmenter.watershed.threshold
    np.testing.assert_array_equal(store.read_prediction(tmp_path, result.run, name), foreground)
    assert iou == pytest.approx(fscs.metrics.iou(foreground, mask), abs=1e-5)
    objects = fscs.metrics.average_precision(segmenter.predict(image), images.labels[place], (0.5,))
    assert precision == pytest.approx(objects[0], abs=1e-5)


def test_a_process_that_was_killed_is_named_and_the_study_goes_on(do_study, workdir, monkeypatch):
  class Killed(run.ProcessPoolExecutor):
    def submit(self, *_) -> Future:
      future: Future = Future()
      future.set_exception(BrokenProcessPool())
      return future

  (workdir / 'results.jsonl').unlink()
  with monkeypatch.context() as patch, pytest.raises(InputError, match=r'otsu on TNBC, K = 1.*mem'):
    patch.setattr(run, 'ProcessPoolExecutor', Killed)
    do_study(workdir, methods=('otsu',))
  assert len(do_study(workdir, methods=('otsu',))) == 2


@pytest.mark.parametrize(
  ('chosen', 'message'),
  [
    ({'methods': ('nobody',)}, 'methods: found nobody, expected one of otsu forest'),
    ({'targets': ('EM',)}, 'targets: found EM, expected one of TNBC with protocol smoke'),
  ],
)
def test_options_that_a_protocol_does_not_have_are_refused(do_study, tmp_path, chosen, message):
  with pytest.raises(InputError, match=message):
    do_study(tmp_path / 'study', **chosen)
