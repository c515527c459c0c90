"""Meta-training on several devices and in several processes equals that on one."""

import os
import socket
import subprocess
import sys
import time

import pytest
from helpers import REPOSITORY, TINY_WIDTHS, assert_trees_close, read_table

from experiments.common.cluster import ClusterOptions, chosen_devices, join
from experiments.meta_train import Config, meta_train
from fscs.errors import InputError
from fscs.io.checkpoints import load_init

OPTIONS = {
  'target': 'TNBC',
  'data': 'simulated',
  'preset': 'smoke',
  'simulated_images': 2,
  'objective': 'bce',
  'lowering': 'xla',
}
ARGUMENTS = [f'--{name.replace("_", "-")}={value}' for name, value in OPTIONS.items()]
WIDTHS = TINY_WIDTHS['fcrn']

# The command, except that a silent process counts as dead after 5 seconds.
COMMAND = """
from experiments import meta_train
from experiments.common import cluster
from experiments.common.options import run
cluster.HEARTBEAT_SECONDS = 5
run(meta_train.meta_train, meta_train.Config)
"""


def start(workdir, *options: str) -> subprocess.Popen:
  return subprocess.Popen(
    [
      *(sys.executable, '-c', COMMAND, *ARGUMENTS, f'--workdir={workdir}', *options),
      *('--widths', *map(str, WIDTHS)),
    ],
    cwd=REPOSITORY,
    env={**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'},
    stderr=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    text=True,
  )


def start_pair(workdir, *options: str) -> list[subprocess.Popen]:
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    port = probe.getsockname()[1]
  shared = (f'--coordinator=localhost:{port}', '--num-processes=2', *options)
  return [start(workdir, f'--process-id={i}', *shared) for i in range(2)]


def train_alone(workdir, meta_epochs: int) -> None:
  """In this process, on one device."""
  meta_train(Config(**OPTIONS, widths=WIDTHS, workdir=str(workdir), meta_epochs=meta_epochs))


def steps(workdir) -> list[int]:
  return [int(row['step']) for row in read_table(workdir / 'figures.csv')]


@pytest.mark.slow
def test_two_processes_equal_one_which_can_go_on_from_their_checkpoint(tmp_path):
  for process in start_pair(tmp_path / 'two', '--meta-epochs=2'):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
  train_alone(tmp_path / 'two', 4)
  train_alone(tmp_path / 'one', 4)
  one, two = (load_init(tmp_path / name / 'init')[0] for name in ('one', 'two'))
  assert_trees_close(one, two, rtol=1e-5, atol=1e-5)
  assert steps(tmp_path / 'two') == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_process_whose_partner_dies_says_what_to_do_and_the_run_goes_on(tmp_path):
  survivor, partner = start_pair(tmp_path, '--meta-epochs=1000000')
  deadline = time.monotonic() + 200
  while not list(tmp_path.glob('checkpoints/[0-9]*[0-9]')) and time.monotonic() < deadline:
    time.sleep(0.5)
  partner.kill()
  partner.communicate()
  _, errors = survivor.communicate(timeout=100)
  assert survivor.returncode != 0
  assert 'start the same command again' in errors.strip().splitlines()[-1]
  done = steps(tmp_path)[-1]
  train_alone(tmp_path, done + 2)
  assert steps(tmp_path) == list(range(1, done + 3))


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'coordinator': 'localhost:1'}, 'needs num_processes and process_id'),
    ({'num_processes': 2}, 'need a coordinator'),
    ({'coordinator': 'a', 'num_processes': 1, 'process_id': 0}, 'coordinator is a: .*HOST:PORT'),
    ({'coordinator': 'a:1', 'num_processes': 2, 'process_id': 2}, 'process_id is 2: .*0 to 1'),
  ],
)
def test_processes_that_cannot_join_are_told_what_is_missing(options, message):
  with pytest.raises(InputError, match=message):
    join(ClusterOptions(**options))


def test_devices_that_are_missing_are_refused():
  for count in (0, 99):
    with pytest.raises(InputError, match=rf'devices is {count}: .*\d'):
      chosen_devices(ClusterOptions(devices=count))
