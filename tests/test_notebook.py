"""The Colab notebook runs as a reader would run it, and is committed clean."""

import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tifffile
from conftest import REPOSITORY
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image
from test_finetuning import cells

NOTEBOOK = REPOSITORY / 'notebooks' / 'quickstart.ipynb'
QUICK = """
import fscs
from fscs.initialisations import random_initialisation

STEPS, ORIENTATIONS = 1, 1
small = fscs.pretrained()._replace(widths=(4, 4, 8, 8))
fscs.pretrained = lambda: random_initialisation(small)
"""
COLAB = """
import shutil
from pathlib import Path

def upload():
  for path in Path({uploads!r}).iterdir():
    shutil.copy(path, path.name)

def download(path):
  shutil.copy(path, {downloads!r})
"""


@pytest.fixture(autouse=True)
def unoptimised(monkeypatch):
  """To compile costs more than it gains where one step is taken."""
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')


@pytest.fixture
def colab(tmp_path, monkeypatch):
  """Folders (uploads, downloads) of a stand-in for google.colab."""
  folders = [tmp_path / name for name in ('uploads', 'downloads', 'modules/google/colab')]
  for folder in folders:
    folder.mkdir(parents=True)
  uploads, downloads, module = folders
  (module / '__init__.py').touch()
  text = COLAB.format(uploads=str(uploads), downloads=str(downloads))
  (module / 'files.py').write_text(text)
  monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'modules'))
  return uploads, downloads


def write_pairs(folder: Path, count: int, without_mask: int = 0) -> None:
  """Colour PNGs with masks, and some without, as they might be uploaded."""
  for number in range(count + without_mask):
    image, labels = cells(number)
    grey = (image / 8).astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(folder / f'cell{number}.png')
    if number < count:
      Image.fromarray(labels.astype(np.uint8)).save(folder / f'cell{number}_mask.png')


def run(folder: Path, settings: str, last: str = 'save') -> nbformat.NotebookNode:
  """The notebook up to a cell, run in a folder; `settings` come after the cell of parameters."""
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  ids = [cell.id for cell in notebook.cells]
  notebook.cells = notebook.cells[: ids.index(last) + 1]
  (place,) = (i for i, cell in enumerate(notebook.cells) if 'parameters' in tags(cell))
  notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(settings))
  resources = {'metadata': {'path': str(folder)}}
  NotebookClient(notebook, timeout=300, resources=resources).execute()
  return notebook


def tags(cell) -> list[str]:
  return cell.metadata.get('tags', [])


def printed(notebook, cell_id: str) -> str:
  (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
  return ''.join(out.text for out in cell.outputs if out.get('name') == 'stdout')


def pictures(notebook, cell_id: str) -> int:
  (cell,) = (cell for cell in notebook.cells if cell.id == cell_id)
  return sum('image/png' in out.get('data', {}) for out in cell.outputs)


def test_the_whole_notebook_on_simulated_images(tmp_path, colab):
  """With one step of training of a small network, which says nothing about how good it gets."""
  folder = tmp_path / 'run'
  folder.mkdir()
  notebook = run(folder, QUICK)
  code = [cell for cell in notebook.cells if cell.cell_type == 'code']
  assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
  assert printed(notebook, 'images').count('to learn from: ') == 3
  assert 'expect an IoU of about 0.' in printed(notebook, 'learn')
  found = printed(notebook, 'predict')
  assert found.count(' annotated; IoU ') == 4
  assert ' of 4 images that were not learned from' in found
  assert 'objects 0 pixels wide' not in found
  assert (pictures(notebook, 'look'), pictures(notebook, 'predict')) == (1, 4)
  assert 'objects in 4 images' in printed(notebook, 'measure')
  downloaded = colab[1] / 'fscs-results.zip'
  assert downloaded.read_bytes() == (folder / 'fscs-results.zip').read_bytes()
  check_archive(downloaded, [f'nuclei{number}' for number in range(4, 8)], tmp_path / 'unpacked')


def check_archive(archive: Path, names: list[str], folder: Path) -> None:
  """Labels, mask and overlay of every predicted image, as large as it, and nothing of others."""
  zipfile.ZipFile(archive).extractall(folder)
  assert sorted(path.name for path in folder.glob('*_labels.tif')) == [
    f'{name}_labels.tif' for name in names
  ]
  count = 0
  for name in names:
    labels = tifffile.imread(folder / f'{name}_labels.tif')
    mask = tifffile.imread(folder / f'{name}_mask.tif')
    assert labels.shape == mask.shape == (256, 320)
    np.testing.assert_array_equal(labels > 0, mask == 255)
    assert np.asarray(Image.open(folder / f'{name}_overlay.png')).std() > 0
    count += labels.max()
  assert count > 0
  assert len((folder / 'objects.csv').read_text().splitlines()) == 1 + count
  assert (folder / 'model').is_dir()


def test_uploaded_files_belong_together_by_name(tmp_path, colab):
  write_pairs(colab[0], 5, without_mask=1)
  notebook = run(tmp_path, 'SIMULATE = False', last='look')
  assert printed(notebook, 'images').splitlines() == [
    'to learn from: cell0.png with cell0_mask.png',
    'to learn from: cell1.png with cell1_mask.png',
    'to learn from: cell2.png with cell2_mask.png',
    'to predict and compare: cell3.png with cell3_mask.png',
    'to predict and compare: cell4.png with cell4_mask.png',
    'to predict: cell5.png',
  ]
  assert pictures(notebook, 'look') == 1
  assert not list(tmp_path.glob('*.png'))  # a second upload would be renamed


def test_outside_colab_files_are_in_a_folder_and_some_must_be_left_to_predict(tmp_path):
  (tmp_path / 'my-images').mkdir()
  write_pairs(tmp_path / 'my-images', 3)
  with pytest.raises(CellExecutionError, match='all 3 images are learned from, and none is left'):
    run(tmp_path, 'SIMULATE = False', last='images')


def test_colours_are_learned_from_and_intensities_are_those_of_the_file(tmp_path):
  folder = tmp_path / 'my-images'
  folder.mkdir()
  for number in range(3):
    _, labels = cells(number)
    inside = (labels > 0)[..., None]
    colours = np.where(inside, (90, 60, 150), (60, 110, 90)) + labels[..., None] % 3
    Image.fromarray(colours.astype(np.uint8)).save(folder / f'cell{number}.png')
    if number < 2:
      Image.fromarray(labels.astype(np.uint8)).save(folder / f'cell{number}_mask.png')
  notebook = run(tmp_path, QUICK + 'SIMULATE, NUM_ANNOTATED = False, 2\n', last='measure')
  assert 'weighted sum of the channels' in printed(notebook, 'look')
  assert (pictures(notebook, 'look'), pictures(notebook, 'predict')) == (1, 1)
  rows = [line.split() for line in printed(notebook, 'measure').splitlines()[1:-1]]
  assert rows
  assert all(70 < float(row[-1]) < 100 for row in rows)  # the luma is 79 inside, 93 outside


def test_it_is_committed_without_outputs():
  notebook = nbformat.read(NOTEBOOK, as_version=4)
  nbformat.validate(notebook)
  assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
  assert notebook.metadata.kernelspec.name == 'python3'
  ids = [cell.id for cell in notebook.cells]
  assert len(set(ids)) == len(ids)
  for cell in notebook.cells:
    assert not cell.get('outputs')
    assert cell.get('execution_count') is None


@pytest.mark.parametrize('command', [['check'], ['format', '--check']])
def test_lint_includes_it(command):
  pytest.importorskip('ruff')
  ruff = [sys.executable, '-m', 'ruff']
  listed = subprocess.check_output([*ruff, 'check', '--show-files', '.'], cwd=REPOSITORY, text=True)
  assert str(NOTEBOOK) in listed.splitlines()
  subprocess.run([*ruff, *command, str(NOTEBOOK)], cwd=REPOSITORY, check=True)


def test_the_badge_opens_it_from_the_repository_that_it_installs():
  readme = (REPOSITORY / 'README.md').read_text()
  start, end = 'https://colab.research.google.com/github/', '/blob/main/notebooks/quickstart.ipynb'
  repository = readme.split(end)[0].rsplit(start)[-1]
  assert repository.count('/') == 1
  assert f"'https://github.com/{repository}'" in NOTEBOOK.read_text()
