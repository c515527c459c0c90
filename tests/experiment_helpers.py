"""What the tests of experiments need: small runs of the commands on images of disks."""

import contextlib
import io
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from helpers import TINY_WIDTHS, Outcome, disk_set

from experiments import finetune_eval, meta_train, pretrain
from experiments.common import data
from experiments.common.options import run
from fscs.io.checkpoints import Checkpoints
from fscs.typing import Params


def use_disk_sets(patch: pytest.MonkeyPatch) -> None:
  """Commands of experiments see `disk_set` in place of the published images."""
  patch.setattr(data, 'load_set', lambda code, _: disk_set(code))
  for stride in ('source_stride', 'finetune_stride'):
    patch.setattr(data, stride, lambda *_: (8, 8))


# Options of small runs. XLA's own convolution compiles fastest.
_SMALL = {
  'preset': 'smoke',
  'downscale': 1,
  'widths': TINY_WIDTHS['fcrn'],
  'lowering': 'xla',
  'target': 'TNBC',
}


def small_meta_training(**changes) -> meta_train.Config:
  """Four meta-epochs in two blocks."""
  return meta_train.Config(**_SMALL | changes)


def small_pretraining(**changes) -> pretrain.Config:
  """Six steps in two blocks."""
  return pretrain.Config(**_SMALL | {'pretrain_steps': 6, 'pretrain_block_steps': 3} | changes)


def small_evaluation(**changes) -> finetune_eval.Config:
  """One initialisation, one and two shots, two support sets each."""
  grid = {'init': ('random',), 'shots': (1, 2), 'selections': (1, 2), 'finetune_steps': 3}
  return finetune_eval.Config(**_SMALL | grid | changes)


def last_params(workdir: Path) -> Params:
  """The parameters in the last checkpoint of a training run."""
  with Checkpoints(workdir / 'checkpoints', read_only=True) as checkpoints:
    return checkpoints.restore_params(checkpoints.latest_step)


def run_experiment(command: Callable, config_class: type, *arguments: str) -> Outcome:
  """Run a command of experiments in this process, as from the command line."""
  out, err, status = io.StringIO(), io.StringIO(), 0
  with (
    mock.patch.object(sys, 'argv', ['command', *arguments]),
    mock.patch.object(warnings, 'showwarning'),
    contextlib.redirect_stdout(out),
    contextlib.redirect_stderr(err),
  ):
    try:
      run(command, config_class)
    except SystemExit as stop:
      status = stop.code or 0
  return Outcome(status, out.getvalue(), err.getvalue())
