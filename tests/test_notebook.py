"""The notebook runs as a reader would run it, and is committed without outputs."""

import os
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
import tifffile
from helpers import REPOSITORY, save_small_initialisation, write_pair
from nbclient import NotebookClient

NOTEBOOK = REPOSITORY / 'notebooks' / 'quickstart.ipynb'

# Replaces the published network, which takes minutes to compile, by a small one.
QUICK = """
import functools

STEPS, ORIENTATIONS = 1, 1
fscs.finetune = functools.partial(fscs.finetune, init={init!r})
"""

# A stand-in for google.colab.files.
COLAB = """
import shutil
from pathlib import Path

def upload():
  for path in Path({uploads!r}).iterdir():
    shutil.copy(path, path.name)

def download(path):
  shutil.copy(path, {downloads!r})
"""


@pytest.fixture
def colab(tmp_path, monkeypatch):
  """Folders (uploads, downloads)."""
  uploads, downloads, module = (tmp_path / n for n in ('up', 'down', 'modules/google/colab'))
  for folder in (uploads, downloads, module):
    folder.mkdir(parents=True)
  for name in ('__init__', 'output'):  # JAX imports the output of a Colab
    (module / f'{name}.py').touch()
  text = COLAB.format(uploads=str(uploads), downloads=str(downloads))
  (module / 'files.py').write_text(text)
  monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'modules'))
  commands = Path(sys.executable).parent
  monkeypatch.setenv('PATH', f'{commands}{os.pathsep}{os.environ["PATH"]}')
  return uploads, downloads


def run(folder, last='save', **code):
  """The notebook up to a cell, run in a folder, with more code after the cells that are named."""
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  ids = [cell.id for cell in notebook.cells]
  cells = []
  for cell in notebook.cells[: ids.index(last) + 1]:
    cells.append(cell)
    if cell.id in code:
      cells.append(nbformat.v4.new_code_cell(code[cell.id]))
  notebook.cells = cells
  NotebookClient(notebook, timeout=300, resources={'metadata': {'path': str(folder)}}).execute()
  return {cell.id: cell for cell in notebook.cells}


def printed(cell):
  return ''.join(out.text for out in cell.outputs if out.get('name') == 'stdout')


def pictures(cell):
  return sum('image/png' in out.get('data', {}) for out in cell.outputs)


@pytest.mark.slow
def test_the_whole_notebook_on_simulated_images(tmp_path, colab):
  folder = tmp_path / 'run'
  folder.mkdir()
  save_small_initialisation(tmp_path / 'init')
  cells = run(folder, install=QUICK.format(init=str(tmp_path / 'init')))
  assert printed(cells['images']).count('annotated: ') == 3
  assert (pictures(cells['look']), pictures(cells['predict'])) == (1, 4)
  assert printed(cells['predict']).count(' objects\n') == 4
  with zipfile.ZipFile(colab[1] / 'fscs-results.zip') as archive:
    archive.extractall(tmp_path / 'unpacked')
  for number in range(7):
    labels = tifffile.imread(tmp_path / 'unpacked' / f'nuclei{number}_labels.tif')
    mask = tifffile.imread(tmp_path / 'unpacked' / f'nuclei{number}_mask.tif')
    assert labels.shape == mask.shape == (256, 320)
  assert {path.name for path in (tmp_path / 'unpacked').iterdir()} >= {
    *('model', 'objects.csv', 'images.csv', 'report.html'),
  }


@pytest.mark.slow
def test_uploaded_files_belong_together_by_name(tmp_path, colab):
  for seed in range(3):
    write_pair(colab[0], colab[0], f'cell{seed}', seed)
  (colab[0] / 'cell2_mask.tif').unlink()
  cells = run(tmp_path, 'look', settings='SIMULATE = False')
  assert printed(cells['images']).splitlines() == [
    'annotated: cell0.tif with cell0_mask.tif',
    'annotated: cell1.tif with cell1_mask.tif',
    'to segment: cell2.tif',
  ]
  assert pictures(cells['look']) == 1
  assert not list(tmp_path.glob('*.tif'))  # Colab would rename a second upload


def test_it_is_committed_without_outputs():
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
  for cell in notebook.cells:
    assert not cell.get('outputs')
    assert cell.get('execution_count') is None
