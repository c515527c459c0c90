"""Meta-training over several devices and processes equals that of one, and bad options say so."""

import os
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from conftest import REPOSITORY

import fscs
from experiments.common.cluster import ClusterOptions, chosen_devices, join
from fscs.devices import task_mesh
from fscs.errors import InputError

COMMAND = (
  *(sys.executable, '-m', 'experiments.meta_train', '--target=TNBC', '--data=simulated'),
  *('--preset=smoke', '--simulated-images=4', '--objective=bce', '--widths', '4', '4', '4', '8'),
)

HASTY = """
import sys
from experiments import cluster, meta_train
from experiments.options import run
cluster.HEARTBEAT_SECONDS = 5
sys.argv[1:] = {arguments}
run(meta_train.meta_train, meta_train.Config)
"""

ON_DEVICES = """
import jax, numpy as np, optax
import sys; sys.path.insert(0, 'tests')
from toys import WIDTHS, disk_set
from fscs.optimizers import inner_optimizer
from fscs.devices import task_mesh
from fscs.episodes import make_bank
from fscs.meta import InnerLoop, init_state, make_meta_block
from fscs.models import init_params, make_model
from fscs.preprocessing import prepare

sets = [prepare(disk_set(code, num_images=3)) for code in ('B5', 'EM')]
bank = make_bank(sets, crop_size=32, strides=[(8, 8)] * 2, min_foreground=20)
model = make_model('fcrn', widths=WIDTHS['fcrn'])
inner = InnerLoop(
  lambda params, images: model.apply({'params': params}, images), 'combined', inner_optimizer(), 2
)
ends = []
for count in (1, 2, 4):
  outer = optax.sgd(1.0)
  state = init_state(init_params(model, jax.random.key(0)), outer)
  mesh = task_mesh(4, jax.devices()[:count])
  block = make_meta_block(
    inner, outer, num_crops=2, crop_size=32, num_epochs=2, task_batch=2, mesh=mesh
  )
  state, history = block(state, bank, jax.random.key(1))
  assert history.loss.shape == (2, 4, 2)
  ends.append((jax.device_get(state.params), jax.device_get(history.loss)))
for end in ends[1:]:
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ends[0], end)
print('equal on', len(jax.devices()), 'devices')
"""


def test_a_meta_epoch_is_the_same_on_one_two_and_four_devices():
  flags = '--xla_force_host_platform_device_count=4'
  shown = subprocess.run(
    [sys.executable, '-c', ON_DEVICES],
    env={**os.environ, 'XLA_FLAGS': flags},
    cwd=REPOSITORY,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert shown.stdout.endswith('equal on 4 devices\n'), shown.stderr


def free_port():
  with socket.socket() as probe:
    probe.bind(('localhost', 0))
    return probe.getsockname()[1]


def start(workdir, *options):
  return subprocess.Popen(
    [*COMMAND, f'--workdir={workdir}', *options],
    cwd=REPOSITORY,
    stderr=subprocess.PIPE,
    stdout=subprocess.DEVNULL,
    text=True,
  )


def test_two_processes_equal_one_which_can_go_on_with_their_checkpoint(tmp_path):
  together = ('--meta-epochs=2', f'--coordinator=localhost:{free_port()}', '--num-processes=2')
  pair = [start(tmp_path / 'two', *together, f'--process-id={i}') for i in range(2)]
  for process in pair:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
  runs = [start(tmp_path / name, '--meta-epochs=4') for name in ('one', 'two')]
  for process in runs:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
  one, two = (fscs.load_init(tmp_path / name / 'init')[0] for name in ('one', 'two'))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, two)
  lines = (tmp_path / 'two' / 'figures.csv').read_text().splitlines()
  steps = [line.split(',')[0] for line in lines]
  assert steps == ['step', '1', '2', '3', '4']


def test_a_process_whose_partner_dies_says_what_to_do_and_the_run_goes_on(tmp_path):
  """As the command, but that a silent process counts as dead after 5 seconds, not 60."""
  together = (f'--coordinator=localhost:{free_port()}', '--num-processes=2')
  pair = []
  for index in range(2):
    arguments = [*COMMAND[3:], f'--workdir={tmp_path}', '--meta-epochs=1000000', *together]
    program = HASTY.format(arguments=[*arguments, f'--process-id={index}'])
    pair.append(
      subprocess.Popen(
        [sys.executable, '-c', program], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
      )
    )
  deadline = time.monotonic() + 200
  while not list(tmp_path.glob('checkpoints/[0-9]*[0-9]')) and time.monotonic() < deadline:
    time.sleep(0.5)
  pair[1].kill()
  _, errors = pair[0].communicate(timeout=100)
  pair[1].communicate()
  assert pair[0].returncode != 0
  assert 'start the same command again' in errors.strip().splitlines()[-1]
  step = int((tmp_path / 'figures.csv').read_text().splitlines()[-1].split(',')[0])
  alone = start(tmp_path, f'--meta-epochs={step + 2}')
  _, errors = alone.communicate(timeout=200)
  assert alone.returncode == 0, errors
  lines = (tmp_path / 'figures.csv').read_text().splitlines()
  assert [line.split(',')[0] for line in lines[1:]] == [str(i + 1) for i in range(step + 2)]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'coordinator': 'localhost:1'}, '--coordinator needs --num-processes and --process-id too'),
    ({'num_processes': 2}, 'need --coordinator=HOST:PORT'),
    ({'coordinator': 'a', 'num_processes': 1, 'process_id': 0}, '--coordinator is a: HOST:PORT'),
    ({'coordinator': 'a:1', 'num_processes': 2, 'process_id': 2}, '--process-id is 2: .* 0 to 1'),
  ],
)
def test_processes_that_cannot_join_are_told_what_is_missing(options, message):
  with pytest.raises(InputError, match=message):
    join(ClusterOptions(**options))


@pytest.mark.parametrize('devices', [0, 99])
def test_devices_that_are_not_there(devices):
  with pytest.raises(InputError, match=rf'--devices is {devices}: this process has \d+'):
    chosen_devices(ClusterOptions(devices=devices))


def test_tasks_that_devices_do_not_divide():
  with pytest.raises(InputError, match=r'4 tasks cannot be shared .* over 3 devices.*batch'):
    task_mesh(4, [jax.devices()[0]] * 3)
