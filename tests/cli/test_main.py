"""The command line itself: quick help, exit statuses, and folders that several processes use."""

import dataclasses
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import pytest
import tifffile
from helpers import REPOSITORY, cells, read_table, refusal, run_fscs, write_pair

from fscs.cli.finetune import Finetune
from fscs.cli.parsing import parse
from fscs.io.workdirs import opened_workdir

FSCS = [sys.executable, '-m', 'fscs']


@pytest.mark.parametrize('command', ['finetune', 'predict', 'evaluate', 'demo'])
def test_every_command_has_help(command):
  status, out, _ = run_fscs(command, '--help')
  assert status == 0
  assert f'fscs {command}' in out
  assert not re.search(r'\{None[,}]', out)
  if command != 'demo':
    assert run_fscs(command).status == 2  # options are required


@dataclasses.dataclass(frozen=True)
class Options:
  folder: Path | None = None
  count: int | None = 3
  kind: Literal['a', 'b'] | None = None
  either: int | Literal['x'] = 'x'
  span: tuple[float, float] | None = None
  several: tuple[int, ...] | None = None


@pytest.mark.parametrize(
  ('arguments', 'changes'),
  [
    ('', {}),
    ('--folder here --count 4', {'folder': Path('here'), 'count': 4}),
    ('--kind b --either 7 --span 1 2.5', {'kind': 'b', 'either': 7, 'span': (1.0, 2.5)}),
    ('--several 1 2 3 --either x', {'several': (1, 2, 3)}),
    ('--kind c', None),
    ('--count x', None),
    ('--span 1', None),
  ],
)
def test_options_that_may_be_none_are_parsed_as_others(arguments, changes):
  if changes is None:
    with pytest.raises(SystemExit) as stopped:
      parse(Options, args=arguments.split())
    assert stopped.value.code == 2
  else:
    expected = dataclasses.replace(Options(), **changes)
    assert parse(Options, args=arguments.split()) == expected


def test_help_imports_nothing_heavy():
  code = 'import sys, fscs.cli.main; sys.exit(any(m in sys.modules for m in ("jax", "skimage")))'
  assert subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, check=False).returncode == 0


def test_the_process_ends_with_the_status_and_one_line(tmp_path):
  command = [*FSCS, 'evaluate', '--predictions', tmp_path / 'nowhere', '--masks', tmp_path]
  ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
  assert ended.returncode == 2
  (line,) = ended.stderr.splitlines()
  assert line.startswith('error: ') and 'nowhere' in line


def test_one_process_at_a_time_fine_tunes_in_a_folder(init, tmp_path):
  write_pair(tmp_path, tmp_path, 'a', 0)
  config = Finetune(images=tmp_path, workdir=tmp_path / 'run')
  arguments = ['finetune', '--images', tmp_path, '--workdir', tmp_path / 'run', '--init', init]
  with opened_workdir(config.workdir, config, {'command': 'finetune'}):
    assert 'another process' in refusal(arguments)


def test_a_killed_prediction_goes_on_where_it_was(tiny_model, tmp_path):
  images, out, whole = tmp_path / 'in', tmp_path / 'out', tmp_path / 'whole'
  images.mkdir()
  for index in range(40):
    tifffile.imwrite(images / f'{index:02}.tif', cells(index)[0])
  predict = ['predict', '--model', tiny_model, '--images', images, '--no-report', '--out']
  process = subprocess.Popen([*FSCS, *predict, out], cwd=REPOSITORY)
  while process.poll() is None and not (out / '02_objects.csv').exists():
    time.sleep(0.02)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL
  done = {path: path.stat().st_mtime_ns for path in out.glob('*_labels.tif')}
  assert 0 < len(done) < 40
  first = out / '00_labels.tif'
  assert run_fscs(*predict, out).status == run_fscs(*predict, whole).status == 0
  assert first.stat().st_mtime_ns == done[first]
  for name in ('images.csv', 'objects.csv'):
    assert read_table(out / name) == read_table(whole / name)
  assert {path.name for path in out.glob('.*')} <= {'.lock'}
