"""Which images are annotated and scored, and what decides a result."""

import numpy as np
import pytest

from experiments import pretrain
from experiments.common.options import DataOptions
from experiments.configs import PRESETS
from experiments.study import methods, protocols
from experiments.study.methods import METHODS, TRAININGS
from experiments.study.protocols import PROTOCOLS
from fscs.data.support_sets import random_selections

NAMES = tuple(f'{i:03}.png' for i in range(120))


def split(protocol, selection, shots):
  drawn = random_selections(NAMES, 'EM', shots=(1, 5, 10), num_selections=3, seed=0)
  return protocols.split('EM', NAMES, drawn, protocol, selection=selection, shots=shots)


def test_scored_images_are_annotated_for_no_number_of_shots_and_the_same_for_all():
  protocol = PROTOCOLS['cpu-small']
  for selection in protocol.selections:
    splits = [split(protocol, selection, shots) for shots in protocol.shots]
    assert [len(found.support) for found in splits] == [1, 5, 10]
    for found in splits:
      np.testing.assert_array_equal(found.test, splits[0].test)
      assert not {index for other in splits for index in other.support} & set(found.test)


def test_images_of_the_validation_protocol_are_not_scored_by_the_reported_one():
  reported, validation = PROTOCOLS['cpu-small'], PROTOCOLS['validation']
  scored = {i for number in reported.selections for i in split(reported, number, 1).test}
  splits = [split(validation, 0, shots) for shots in validation.shots]
  for found in splits:
    assert not scored & {*found.support, *found.test}
    assert not set(found.support) & set(found.test)
    np.testing.assert_array_equal(found.test, splits[0].test)


@pytest.mark.parametrize('name', PROTOCOLS)
def test_all_trainings_take_as_many_steps_on_as_many_crops(name):
  protocol = PROTOCOLS[name]
  options = DataOptions(preset=protocol.preset)
  trained = {method.training: key for key, method in METHODS.items() if method.training}
  assert trained.keys() == TRAININGS.keys()
  for method in trained.values():
    config = methods.training_config(method, protocol, options, target='TNBC', seed=0)
    if isinstance(config, pretrain.Config):
      steps, crops = config.pretrain_steps, config.pretrain_batch_size
    else:
      steps = config.meta_epochs * 4 * config.task_batch * config.num_inner_steps
      crops = config.num_crops
    assert (steps, crops) == (protocol.training_steps, protocol.training_crops)


def test_every_option_that_decides_a_result_is_part_of_its_configuration(monkeypatch):
  def digests():
    names = ('otsu', 'scratch', 'bce', 'fscs')
    return {n: methods.digest(methods.configuration(n, 'smoke', simulated=True)) for n in names}

  before = digests()
  changes = {
    ('recommended', 'inner_lr'): {'fscs'},
    ('smoke', 'inner_lr'): {'bce'},
    ('smoke', 'finetune_lr'): {'bce'},
    ('smoke', 'downscale'): {'otsu', 'scratch', 'bce', 'fscs'},
  }
  for (preset, option), changed in changes.items():
    with monkeypatch.context() as patch:
      patch.setitem(PRESETS[preset], option, 2)
      after = digests()
    assert {name for name in before if after[name] != before[name]} == changed, option
