"""The public data sets, on tiny made-up files in the layout of the published ones."""

import dataclasses
import functools
import hashlib
import http.server
import inspect
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fscs.data import datasets
from fscs.data.datasets import preparation, reading
from fscs.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def dummy_dir(code):
  return Path(inspect.getfile(preparation.builder_class(code))).parent / 'dummy_data'


@pytest.fixture
def raw_copy(tmp_path):
  """Copies the made-up files of one data set, to be changed."""

  def copy(code):
    return Path(shutil.copytree(dummy_dir(code), tmp_path / 'raw'))

  return copy


@pytest.fixture
def load(tmp_path):
  return functools.partial(datasets.load, data_dir=tmp_path / 'data')


def pack(folder, archive, root):
  """Zips the files of a folder, named relative to `root`, and removes the folder."""
  with zipfile.ZipFile(archive, 'w') as file:
    for path in sorted(folder.rglob('*')):
      file.write(path, path.relative_to(root))
  shutil.rmtree(folder)


def pack_b39(raw):
  folder = raw / 'BBBC039'
  for part in ('images', 'masks'):
    pack(folder / part, folder / f'{part}.zip', root=folder)
  return folder


def overwrite(path, pixels):
  Image.fromarray(pixels).save(path)


def assert_same(first, second):
  assert first.names == second.names
  for name in ('images', 'masks'):
    for a, b in zip(getattr(first, name), getattr(second, name), strict=True):
      np.testing.assert_array_equal(a, b)


# What is read


LAYOUT = {  # number of made-up and of real images, and their shapes
  'B5': (3, (24, 32), 187, (520, 696)),
  'B39': (3, (24, 32), 112, (520, 696)),
  'ssTEM': (2, (24, 32), 20, (1024, 1024)),
  'EM': (28, (16, 24), 165, (768, 1024)),
  'TNBC': (2, (24, 32), 50, (512, 512)),
}


def assert_layout(image_set, code, count, shape):
  assert image_set.code == code
  assert len(image_set.images) == len(image_set.masks) == len(image_set.names) == count
  assert list(image_set.names) == sorted(set(image_set.names))
  for image, mask in zip(image_set.images, image_set.masks, strict=True):
    assert image.shape == ((*shape, 3) if code == 'TNBC' else shape)
    assert image.dtype == (np.uint16 if code == 'B39' else np.uint8)
    assert (mask.shape, mask.dtype) == (shape, np.bool_)
  if code not in ('B39', 'TNBC'):
    assert image_set.labels is None
    return
  for mask, labels in zip(image_set.masks, image_set.labels, strict=True):
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, mask)


@pytest.mark.parametrize('code', datasets.CODES)
def test_each_data_set_has_its_layout(load, code):
  count, shape, _, _ = LAYOUT[code]
  assert_layout(load(code, raw_dir=dummy_dir(code)), code, count, shape)


@pytest.mark.real_data
@pytest.mark.parametrize('code', datasets.CODES)
def test_real_images_have_the_same_layout(real_raw_dir, real_data_dir, code):
  _, _, count, shape = LAYOUT[code]
  image_set = datasets.load(code, data_dir=real_data_dir, raw_dir=real_raw_dir)
  assert_layout(image_set, code, count, shape)
  assert 0.01 < np.mean([mask.mean() for mask in image_set.masks]) < 0.5
  if image_set.labels is not None:
    assert np.mean([len(np.unique(labels)) for labels in image_set.labels]) > 20


def test_pixels_survive_preparation(load):
  image_set = load('B39', raw_dir=dummy_dir('B39'))
  for name, image, mask in zip(image_set.names, image_set.images, image_set.masks, strict=True):
    path = dummy_dir('B39') / 'BBBC039' / 'images' / name
    np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
    rgba = np.asarray(Image.open(path.parents[1] / 'masks' / (path.stem + '.png')))
    np.testing.assert_array_equal(mask, rgba[..., 0] > 0)


def test_b5_pairs_by_name_and_leaves_out_other_focus_levels(load):
  image_set = load('B5', raw_dir=dummy_dir('B5'))
  assert all('_F1_' in name for name in image_set.names)
  for image, mask in zip(image_set.images, image_set.masks, strict=True):
    # Cells are brighter than any background pixel, so a mask of another image would show.
    np.testing.assert_array_equal(image >= 150, mask)


def test_soft_edges_of_sstem_masks_are_foreground(load):
  image_set = load('ssTEM', raw_dir=dummy_dir('ssTEM'))
  mask_path = 'groundtruth-drosophila-vnc-master/stack1/mitochondria/00.png'
  grey = np.asarray(Image.open(dummy_dir('ssTEM') / 'ssTEM' / mask_path))
  assert 40 in grey
  np.testing.assert_array_equal(image_set.masks[0], grey > 0)
  assert image_set.names == ('00.tif', '06.tif')


def test_em_slices_are_named_as_by_tiffsplit(load):
  image_set = load('EM', raw_dir=dummy_dir('EM'))
  # The right half of page p has the grey value p.
  value = {
    name: image[0, -1] for name, image in zip(image_set.names, image_set.images, strict=True)
  }
  assert [value[f'{name}.tif'] for name in ('xaaa', 'xaab', 'xaaz', 'xaba')] == [0, 1, 25, 26]
  assert not image_set.masks[3].any()  # a slice without foreground is kept


def test_touching_nuclei_get_labels_of_their_own(load):
  labels = load('B39', raw_dir=dummy_dir('B39')).labels[0]
  # Red values 1 and 2 touch at column 10; the nucleus at row 15 has red value 1 again.
  assert labels[5, 9] != labels[5, 10]
  assert len({labels[5, 5], labels[5, 12], labels[17, 22]}) == 3
  assert labels.max() == 3


def test_tnbc_masks_may_hold_instances_or_be_binary(load):
  instances, binary = load('TNBC', raw_dir=dummy_dir('TNBC')).labels
  assert set(np.unique(instances)) == {0, 1, 2, 300}
  assert set(np.unique(binary)) == {0, 1, 2}


def test_no_tensorflow_and_a_cheap_import(tmp_path):
  script = (
    'import sys\n'
    'from fscs.data import datasets\n'
    "assert 'tensorflow_datasets' not in sys.modules\n"
    f'datasets.load("B39", data_dir={str(tmp_path)!r}, raw_dir={str(dummy_dir("B39"))!r})\n'
    "assert 'tensorflow' not in sys.modules\n"
  )
  command = [sys.executable, '-W', 'error', '-c', script]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
  # Nothing on standard output, and no progress bar where there is no terminal.
  assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_loading_twice_gives_the_same_without_the_raw_files(load, monkeypatch):
  first = load('TNBC', raw_dir=dummy_dir('TNBC'))
  monkeypatch.setattr(reading, 'read_pages', None)
  second = load('TNBC', raw_dir=dummy_dir('TNBC'))
  assert_same(first, second)
  assert datasets.fingerprint(first) == datasets.fingerprint(second)


def test_fingerprint_covers_code_names_images_and_masks(load):
  image_set = load('TNBC', raw_dir=dummy_dir('TNBC'))
  changed = [
    image_set,
    image_set._replace(code='other'),
    image_set._replace(names=('a.png', 'b.png')),
    image_set._replace(names=('a.png', 'b\udcff.png')),  # as Python reads what is not UTF-8
    image_set._replace(images=tuple(255 - image for image in image_set.images)),
    image_set._replace(masks=tuple(~mask for mask in image_set.masks)),
  ]
  assert len({datasets.fingerprint(one) for one in changed}) == len(changed)


# Archives, raw folders and preparation


@pytest.mark.parametrize('in_own_folder', [True, False])
def test_packed_archives_read_as_unpacked_folders(load, raw_copy, in_own_folder):
  raw = raw_copy('B39')
  unpacked = load('B39', raw_dir=raw)
  folder = pack_b39(raw)
  if not in_own_folder:
    for archive in folder.glob('*.zip'):
      archive.rename(raw / archive.name)
  assert_same(load('B39', raw_dir=raw), unpacked)


def test_published_files_may_have_other_names_and_places(load, raw_copy):
  assert len(load('EM', raw_dir=dummy_dir('EM') / 'EM').images) == 28
  raw = raw_copy('ssTEM')
  folder = raw / 'ssTEM'
  unpacked = load('ssTEM', raw_dir=raw)
  pack(folder / 'groundtruth-drosophila-vnc-master', folder / 'master.zip', root=folder)
  assert_same(load('ssTEM', raw_dir=raw), unpacked)
  (folder / 'master.zip').rename(folder / 'groundtruth-drosophila-vnc-master.zip')
  assert_same(load('ssTEM', raw_dir=raw), unpacked)


def test_hidden_files_and_resource_forks_do_not_count(load, raw_copy):
  raw = raw_copy('B39')
  image = next((raw / 'BBBC039' / 'images').iterdir())
  for folder in ('images', '__MACOSX/images'):
    (raw / 'BBBC039' / folder).mkdir(parents=True, exist_ok=True)
    (raw / 'BBBC039' / folder / f'._{image.name}').write_bytes(b'fork')
  assert len(load('B39', raw_dir=raw).images) == 3


def test_a_changed_raw_folder_is_prepared_anew(load, raw_copy):
  raw = raw_copy('ssTEM')
  before = load('ssTEM', raw_dir=raw)
  path = next(raw.rglob('stack1/raw/00.tif'))
  overwrite(path, before.images[0])  # without compression, so that equal shapes have equal sizes
  size = path.stat().st_size
  assert_same(load('ssTEM', raw_dir=raw), before)
  overwrite(path, 255 - before.images[0])
  os.utime(path, (0, 0))
  assert path.stat().st_size == size
  np.testing.assert_array_equal(load('ssTEM', raw_dir=raw).images[0], 255 - before.images[0])


def test_an_interrupted_preparation_is_not_taken_as_done(load, monkeypatch):
  read_image = reading.read_image
  calls = []

  def interrupt(file):
    calls.append(file)
    if len(calls) > 3:
      raise KeyboardInterrupt
    return read_image(file)

  monkeypatch.setattr(reading, 'read_image', interrupt)
  with pytest.raises(KeyboardInterrupt):
    load('B39', raw_dir=dummy_dir('B39'))
  monkeypatch.undo()
  assert len(load('B39', raw_dir=dummy_dir('B39')).images) == 3


def test_damaged_prepared_data_is_an_input_error(load, tmp_path):
  load('B39', raw_dir=dummy_dir('B39'))
  for path in (tmp_path / 'data').rglob('*.array_record*'):
    path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(InputError, match='damaged prepared data of B39'):
    load('B39', raw_dir=dummy_dir('B39'))


def test_data_dir_comes_from_the_environment(tmp_path, monkeypatch):
  monkeypatch.setenv('FSCS_DATA_DIR', str(tmp_path / 'elsewhere'))
  datasets.load('B39', raw_dir=dummy_dir('B39'))
  assert list((tmp_path / 'elsewhere').rglob('dataset_info.json'))


def test_files_without_a_partner_are_counted_in_one_warning(load, raw_copy):
  raw = raw_copy('B39')
  folder = raw / 'BBBC039'
  for index in range(3):
    overwrite(folder / 'images' / f'extra{index}.tif', np.full((24, 32), 9, np.uint16))
  (folder / 'images' / 'IXMtest_P24_s9_w1CCCC.tif').unlink()
  for _ in range(2):  # the second time from what is prepared
    with pytest.warns(UserWarning, match='3 images .* 1 mask ') as caught:
      assert len(load('B39', raw_dir=raw).images) == 2
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the caller of load


def test_b5_images_out_of_focus_are_not_counted_as_without_a_mask(load, raw_copy):
  raw = raw_copy('B5')
  (raw / 'BBBC005' / 'BBBC005_v1_ground_truth' / 'SIMCEPImages_A01_C1_F1_s01_w1.TIF').unlink()
  with pytest.warns(UserWarning, match='^B5: 1 image '):
    assert len(load('B5', raw_dir=raw).images) == 2


# Files that cannot be used

IMAGE, MASK = 'images/IXMtest_A02_s1_w1AAAA.tif', 'masks/IXMtest_A02_s1_w1AAAA.png'


def rename_masks(folder):
  for path in (folder / 'masks').iterdir():
    path.rename(path.with_name('x' + path.name))


def empty_masks(folder):
  for path in (folder / 'masks').iterdir():
    overwrite(path, np.zeros((24, 32), np.uint8))


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_byte(path):
  content = bytearray(path.read_bytes())
  content[200] ^= 0xFF
  path.write_bytes(content)


DAMAGE = {
  'no images': (lambda b39: shutil.rmtree(b39 / 'images'), 'no images of B39'),
  'no masks': (lambda b39: shutil.rmtree(b39 / 'masks'), 'no masks of B39'),
  'no pairs': (rename_masks, 'no pair'),
  'same name': (lambda b39: shutil.copytree(b39 / 'images', b39 / 'x/images'), 'same name again'),
  'no image': (lambda b39: (b39 / IMAGE).write_bytes(b'no image'), r'AAAA\.tif: '),
  'half an image': (lambda b39: truncate(b39 / IMAGE), r'AAAA\.tif: '),
  'half a mask': (lambda b39: truncate(b39 / MASK), r'AAAA\.png: '),
  'other size': (lambda b39: overwrite(b39 / MASK, np.ones((24, 31, 4), np.uint8)), '24 x 31'),
  'other depth': (lambda b39: overwrite(b39 / IMAGE, np.ones((24, 32), np.uint8)), 'of uint8'),
  'no foreground': (empty_masks, 'no foreground'),
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_files_that_cannot_be_used_are_named(load, raw_copy, damage):
  spoil, message = DAMAGE[damage]
  raw = raw_copy('B39')
  spoil(raw / 'BBBC039')
  with pytest.raises(InputError, match=message) as caught:
    load('B39', raw_dir=raw)
  assert type(caught.value) is InputError  # not the subclass that TFDS makes of it
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('damage', 'message'),
  [(truncate, r'images\.zip: .* no complete zip'), (damage_byte, r'images\.zip/images/IXM.*AAAA')],
)
def test_a_damaged_archive_is_named(load, raw_copy, damage, message):
  raw = raw_copy('B39')
  damage(pack_b39(raw) / 'images.zip')
  with pytest.raises(InputError, match=message):
    load('B39', raw_dir=raw)


@pytest.mark.parametrize('member', ['../images/a.tif', '/images/a.tif', '..\\images\\a.tif'])
def test_an_archive_whose_members_lead_out_of_it_is_refused(load, raw_copy, member):
  raw = raw_copy('B39')
  with zipfile.ZipFile(pack_b39(raw) / 'images.zip', 'a') as archive:
    archive.writestr(member, b'evil')
  with pytest.raises(InputError, match='leads out of the archive'):
    load('B39', raw_dir=raw)


def test_em_stacks_of_different_length_are_refused(load, raw_copy):
  raw = raw_copy('EM')
  overwrite(raw / 'EM' / 'training_groundtruth.tif', np.ones((16, 24), np.uint8))
  with pytest.raises(InputError, match='found 1 pages, expected 28'):
    load('EM', raw_dir=raw)


@pytest.mark.parametrize('code', datasets.CODES)
def test_an_empty_raw_folder_is_an_input_error(load, tmp_path, code):
  (tmp_path / 'raw').mkdir()
  with pytest.raises(InputError, match=f'of {code}, expected') as caught:
    load(code, raw_dir=tmp_path / 'raw')
  assert caught.value.arguments == ('raw_dir',)


def test_arguments_that_cannot_be_used_are_named(tmp_path):
  (tmp_path / 'file').write_text('')
  for argument, options in {
    'code': {'code': 'B40'},
    'raw_dir': {'code': 'B5', 'raw_dir': tmp_path / 'nowhere'},
    'data_dir': {'code': 'B5', 'data_dir': tmp_path / 'file', 'raw_dir': dummy_dir('B5')},
  }.items():
    with pytest.raises(InputError) as caught:
      datasets.load(**options)
    assert caught.value.arguments == (argument,)


# Downloads


class Handler(http.server.SimpleHTTPRequestHandler):
  """Serves a folder; below /cut/ it promises whole files and sends half of them."""

  def do_GET(self):
    self.server.requested.append(self.path)
    if not self.path.startswith('/cut/'):
      super().do_GET()
      return
    content = Path(self.translate_path(self.path.removeprefix('/cut'))).read_bytes()
    self.send_response(200)
    self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    self.wfile.write(content[: len(content) // 2])

  def log_message(self, format, *args):
    pass


@pytest.fixture
def server(tmp_path, monkeypatch):
  """Serves <tmp_path>/served on the loopback interface while a test runs."""
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  folder = tmp_path / 'served'
  folder.mkdir()
  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
    running.requested = []
    running.folder = folder
    running.address = f'http://127.0.0.1:{running.server_address[1]}/'
    # Shutting down takes up to one interval between polls.
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield running
    running.shutdown()
    thread.join(timeout=10)


@pytest.fixture
def published_b39(server, raw_copy, monkeypatch):
  """Serves B39 locally; returns a function that changes what is stated of one archive."""
  folder = pack_b39(raw_copy('B39'))
  builder = preparation.builder_class('B39')
  archives = {}
  for name in ('images.zip', 'masks.zip'):
    content = Path(shutil.copy(folder / name, server.folder)).read_bytes()
    archives[name] = dataclasses.replace(
      next(archive for archive in builder.source.archives if archive.name == name),
      address=server.address + name,
      size=len(content),
      sha256=hashlib.sha256(content).hexdigest(),
    )

  def publish(name='images.zip', **facts):
    archives[name] = dataclasses.replace(archives[name], **facts)
    source = dataclasses.replace(builder.source, archives=tuple(archives.values()))
    monkeypatch.setattr(builder, 'source', source)

  publish()
  return publish


def test_download_prepares_and_is_not_repeated(load, server, published_b39, tmp_path):
  image_set = load('B39')
  assert_same(image_set, load('B39', raw_dir=dummy_dir('B39')))
  load('B39')
  assert server.requested == ['/images.zip', '/masks.zip']
  files = sorted(path.name for path in (tmp_path / 'data/downloads/BBBC039').iterdir())
  assert files == ['images.zip', 'masks.zip']


@pytest.mark.parametrize('facts', [{'sha256': '0' * 64}, {'size': 5}])
def test_a_download_of_other_size_or_hash_is_refused_and_deleted(
  load, published_b39, tmp_path, facts
):
  published_b39(**facts)
  with pytest.raises(InputError, match=r'images\.zip from '):
    load('B39')
  assert not list((tmp_path / 'data/downloads/BBBC039').iterdir())


def test_a_download_that_was_cut_short_can_be_run_again(load, server, published_b39, tmp_path):
  published_b39('masks.zip', address=server.address + 'cut/masks.zip')
  with pytest.raises(InputError, match=r'masks\.zip: cannot be downloaded'):
    load('B39')
  kept = [path.name for path in (tmp_path / 'data/downloads/BBBC039').iterdir()]
  assert kept == ['images.zip']
  published_b39('masks.zip', address=server.address + 'masks.zip')
  assert len(load('B39').images) == 3
  assert server.requested.count('/images.zip') == 1


def test_a_published_archive_that_is_gone_or_no_archive_is_an_input_error(
  load, server, published_b39
):
  published_b39(address=server.address + 'gone.zip')
  with pytest.raises(InputError, match=r'gone\.zip: cannot be downloaded.*404'):
    load('B39')
  (server.folder / 'images.zip').write_text('<html>moved</html>')
  published_b39(address=server.address + 'images.zip', size=None, sha256=None)
  with pytest.raises(InputError, match='no complete zip'):
    load('B39')
