"""`fscs predict` on folders of all kinds, good and bad."""

import dataclasses
import errno
import glob
import os
import shutil

import filelock
import numpy as np
import pytest
import roifile
import tifffile
from helpers import (
  cells,
  fails_after,
  noise,
  read_table,
  refusal,
  run_fscs,
  tiny_segmenter,
  write_ome_set,
)
from PIL import Image

from fscs.data.channels import LUMA
from fscs.data.intensity import stretch
from fscs.io import pictures
from fscs.segmentation import image_files, outputs
from fscs.segmentation.segmenter import Segmenter

ENDINGS = set(outputs.ENDINGS) - {'rois.zip'}  # of every image; ROIs only if there are objects


@pytest.fixture
def predict(tiny_model, tmp_path):
  """Arguments for images of tmp_path/in and results in tmp_path/out."""
  (tmp_path / 'in').mkdir()
  return [
    *('predict', '--model', tiny_model, '--images', tmp_path / 'in', '--out', tmp_path / 'out'),
    '--no-report',
  ]


@pytest.fixture
def segmented(monkeypatch):
  """Names of the images that are segmented from now on."""
  names = []

  def segment_file(segmenter, path, out):
    names.append(path.name)
    return original(segmenter, path, out)

  original = image_files.segment_file
  monkeypatch.setattr(image_files, 'segment_file', segment_file)
  return names


def write(path, seed=3, shape=(72, 96)):
  tifffile.imwrite(path, cells(seed, shape)[0])


def endings_of(out, stem):
  return {path.name.removeprefix(f'{stem}_') for path in out.glob(f'{glob.escape(stem)}_*')}


def assert_complete(out, stem):
  assert endings_of(out, stem) - {'rois.zip'} == ENDINGS
  assert {path.name for path in out.glob('.*')} <= {'.lock'}  # nothing unfinished


def test_every_image_gets_its_files(project, tmp_path):
  out = tmp_path / 'out'
  outcome = run_fscs('predict', '--model', project.run, '--images', project.images, '--out', out)
  assert outcome.status == 0
  segmenter = Segmenter.load(project.run / 'model')
  image = tifffile.imread(project.images / 'zellen 4 µ.tif')
  labels, mask, probability = (
    tifffile.imread(out / f'zellen 4 µ_{kind}.tif') for kind in ('labels', 'mask', 'probability')
  )
  np.testing.assert_array_equal(labels, segmenter.predict(image))
  np.testing.assert_array_equal(probability, segmenter.predict_proba(image))
  np.testing.assert_array_equal(mask, (probability > segmenter.watershed.threshold) * 255)
  rows = read_table(out / 'zellen 4 µ_objects.csv')
  assert [int(row['area']) for row in rows] == list(np.bincount(labels.ravel())[1:])
  assert float(rows[0]['intensity_mean']) == pytest.approx(image[labels == 1].mean(), rel=1e-4)
  assert len(roifile.roiread(out / 'zellen 4 µ_rois.zip')) == len(rows)
  with Image.open(out / 'zellen 4 µ_overlay.png') as overlay:
    assert overlay.size == image.shape[::-1]
  summaries = {row['file']: row for row in read_table(out / 'images.csv')}
  assert list(summaries) == [f'zellen {index} µ.tif' for index in range(5)]
  summary = summaries['zellen 4 µ.tif']
  assert (summary['pages'], summary['height'], summary['width']) == ('1', '72', '96')
  assert int(summary['objects']) == len(rows)
  assert float(summary['foreground']) == pytest.approx((mask > 0).mean(), rel=1e-4)
  every = [row['file'] for row in read_table(out / 'objects.csv')]
  assert {name: every.count(name) for name in summaries} == {
    name: int(row['objects']) for name, row in summaries.items()
  }
  assert f'IoU of about {segmenter.expected_iou:.2f}' in (out / 'report.html').read_text()
  scores = run_fscs('evaluate', '--predictions', out, '--masks', project.truth)
  assert scores.status == 0
  assert min(float(row['iou']) for row in read_table(out / 'scores.csv')) > 0.5


def test_changed_images_are_segmented_again_and_those_of_other_folders_kept(
  predict, tmp_path, segmented
):
  for name, seed in (('a', 3), ('b', 4)):
    write(tmp_path / 'in' / f'{name}.tif', seed)
  run_fscs(*predict)
  write(tmp_path / 'in' / 'a.tif', 5)
  segmented.clear()
  assert run_fscs(*predict).status == 0
  assert segmented == ['a.tif']
  (tmp_path / 'other').mkdir()
  for name in ('a.png', 'c.tif'):  # a.png writes to the files of a.tif
    Image.fromarray(stretch(cells(6)[0])).save(tmp_path / 'other' / name)
  assert run_fscs(*predict, '--images', tmp_path / 'other').status == 0
  rows = read_table(tmp_path / 'out' / 'images.csv')
  assert [row['file'] for row in rows] == ['a.png', 'b.tif', 'c.tif']
  objects = [row['file'] for row in read_table(tmp_path / 'out' / 'objects.csv')]
  assert {row['file']: int(row['objects']) for row in rows} == {
    name: objects.count(name) for name in ('a.png', 'b.tif', 'c.tif')
  }


def test_only_what_is_missing_is_done(predict, tmp_path, segmented):
  for name in ('a.tif', 'b.tif', 'c.tif'):
    write(tmp_path / 'in' / name)
  Image.new('L', (96, 72)).save(tmp_path / 'in' / 'a_mask.png')
  out = run_fscs(*predict, '--dry-run').out
  assert 'left out: 1 of 4 files (a_mask.png)' in out
  assert 'a.tif: to do' in out
  assert not (tmp_path / 'out').exists()
  run_fscs(*predict)
  table = tmp_path / 'out' / 'images.csv'
  before = table.read_text()
  (tmp_path / 'out' / 'b_objects.csv').unlink()
  with table.open('a') as file:
    file.write('c.tif,1,72')  # cut short by a crash
  with outputs.all_or_none(tmp_path / 'out', 'b') as folder:
    pass
  folder.mkdir()  # what a killed process leaves
  (folder / 'rois.zip').write_text('half')
  segmented.clear()
  run_fscs(*predict)
  assert segmented == ['b.tif']
  assert table.read_text() == before
  assert_complete(tmp_path / 'out', 'b')
  segmented.clear()
  run_fscs(*predict, '--orientations', 4)  # is another model
  assert segmented == ['a.tif', 'b.tif', 'c.tif']


@pytest.mark.parametrize(
  ('damage', 'again'),
  [
    (lambda text: '', True),
    (lambda text: text[:-9], True),  # the last row lacks columns
    (lambda text: '\0' * 200_000, True),
    (lambda text: text[: text.rindex('\n', 0, -1) + 1], False),  # somebody removed an object
  ],
)
def test_images_with_a_damaged_table_are_segmented_again(predict, tmp_path, damage, again):
  write(tmp_path / 'in' / 'a.tif')
  run_fscs(*predict)
  table = tmp_path / 'out' / 'a_objects.csv'
  whole = table.read_text()
  table.write_text(damage(whole))
  run_fscs(*predict)
  assert (table.read_text() == whole) == again
  assert (tmp_path / 'out' / 'objects.csv').read_text() == table.read_text()


def test_a_model_of_weighted_channels_measures_the_luma(predict, tmp_path):
  segmenter = dataclasses.replace(tiny_segmenter(), channel=(-0.5, 0.25, 0.25))
  segmenter.save(tmp_path / 'weighted')
  colours = noise((72, 96, 3))
  colours[..., 1] = cells(3)[0] // 8
  tifffile.imwrite(tmp_path / 'in' / 'a.tif', colours, photometric='rgb')
  write(tmp_path / 'in' / 'b.tif')  # grey
  outcome = run_fscs(*predict, '--model', tmp_path / 'weighted')
  assert outcome.status == 2
  assert 'b.tif: found 1 channel,' in outcome.err
  out = tmp_path / 'out'
  probability = tifffile.imread(out / 'a_probability.tif')
  np.testing.assert_array_equal(probability, segmenter.predict_proba(colours))
  labels = tifffile.imread(out / 'a_labels.tif')
  luma = np.rint(colours @ np.array(LUMA))
  for row in read_table(out / 'a_objects.csv'):
    inside = labels == int(row['label'])
    assert float(row['intensity_mean']) == pytest.approx(luma[inside].mean(), abs=0.05)


def test_the_table_of_all_objects_has_the_channels_of_all_images(predict, tmp_path):
  write(tmp_path / 'in' / 'a.tif')
  grey = cells(4)[0]
  planes = np.stack([grey, *(noise(grey.shape, seed) * np.uint16(200) for seed in range(5))])
  tifffile.imwrite(tmp_path / 'in' / 'b.ome.tif', planes, metadata={'axes': 'CYX'})
  assert run_fscs(*predict).status == 0
  out = tmp_path / 'out'
  of_a, of_b = (read_table(out / f'{stem}_objects.csv') for stem in ('a', 'b.ome'))
  assert of_a
  assert not any(name.startswith('intensity_mean_') for name in of_a[0])
  labels = tifffile.imread(out / 'b.ome_labels.tif')
  for row in of_b:
    assert row['intensity_mean'] == row['intensity_mean_0']
    for channel, plane in enumerate(planes):
      values = plane[labels == int(row['label'])]
      assert float(row[f'intensity_mean_{channel}']) == pytest.approx(values.mean(), rel=1e-4)
      assert float(row[f'intensity_std_{channel}']) == pytest.approx(values.std(), rel=1e-4)
  missing = dict.fromkeys(of_b[0].keys() - of_a[0].keys(), '')
  assert len(missing) == 6 * 4
  assert read_table(out / 'objects.csv') == [*({**row, **missing} for row in of_a), *of_b]


def write_bad_files(folder):
  """Write files that cannot be segmented; returns what is wrong with each."""
  (folder / 'empty.tif').touch()
  (folder / 'text.png').write_text('no image at all')
  tifffile.imwrite(folder / 'truncated.tif', noise((300, 300)))
  (folder / 'truncated.tif').write_bytes((folder / 'truncated.tif').read_bytes()[:60_000])
  for name, value in (('infinite', np.inf), ('nan', np.nan)):
    tifffile.imwrite(folder / f'{name}.tif', np.where(np.eye(40) > 0, value, 1).astype(np.float32))
  Image.new('1', (400, 400)).save(folder / 'bomb.png')
  write(folder / f'{"ä" * 122}.tif')
  return {
    'empty.tif': '0 bytes',
    'text.png': 'cannot be decoded',
    'truncated.tif': 'cannot be decoded',
    'infinite.tif': '40 pixels NaN or infinite',
    'nan.tif': '40 pixels NaN or infinite',
    'bomb.png': '160,000 pixels',
    f'{"ä" * 122}.tif': 'shorter name',
  }


def test_bad_files_are_named_and_the_others_segmented(predict, tmp_path, monkeypatch):
  monkeypatch.setattr(pictures, 'MAX_DECODED_PIXELS', 100_000)
  wrong = write_bad_files(tmp_path / 'in')
  write(tmp_path / 'in' / 'good.tif')
  arguments = [argument for argument in predict if argument != '--no-report']
  outcome = run_fscs(*arguments)
  assert outcome.status == 2
  *_, last = outcome.err.splitlines()
  assert last.startswith(f'error: {len(wrong)} of {len(wrong) + 1} images')
  report = (tmp_path / 'out' / 'report.html').read_text()
  for name, reason in wrong.items():
    (line,) = [line for line in outcome.err.splitlines() if f'{name}: ' in line]
    assert line.startswith(f'left out: {tmp_path / "in" / name}: ')
    assert reason in line
    assert reason in report
    assert not endings_of(tmp_path / 'out', name.partition('.')[0])
  assert_complete(tmp_path / 'out', 'good')


def test_a_file_whose_name_has_a_line_break_is_refused_in_one_line(predict, tmp_path):
  (tmp_path / 'in' / 'two\nlines.tif').write_text('no image at all')
  left_out, *_, error = run_fscs(*predict).err.splitlines()
  assert r'two\nlines.tif: the file cannot be decoded' in left_out
  assert error.startswith('error: 1 of 1 images')
  (tmp_path / 'not\nthere').touch()
  assert r'not\nthere' in refusal([*predict, '--images', tmp_path / 'not\nthere'])


def test_odd_images_and_names_are_segmented_too(predict, tmp_path):
  names = ['zellen µ 細胞', 'a' * 238, '<b>&"\'', 'a\udcff', '-x', 'a%s', 'a[1]', 'a\nb']
  for name in names:
    write(tmp_path / 'in' / f'{name}.tif')
  shapes = {'dot': (1, 1), 'line': (10, 3000)}
  for name, shape in shapes.items():
    tifffile.imwrite(tmp_path / 'in' / f'{name}.tif', np.full(shape, 7, np.uint8))
  arguments = [argument for argument in predict if argument != '--no-report']
  outcome = run_fscs(*arguments)
  assert outcome.status == 0
  out = tmp_path / 'out'
  for name in names:
    assert_complete(out, name)
    assert os.fsencode(name.replace('"', '""')) in (out / 'images.csv').read_bytes()
  for name, shape in shapes.items():
    assert tifffile.imread(out / f'{name}_labels.tif').reshape(shape).shape == shape
    assert f'warning: {name}.tif: all pixels have the same grey value' in outcome.err
  assert b'<b>' not in (out / 'report.html').read_bytes()


@pytest.mark.parametrize(
  ('writer', 'room', 'code'),
  [
    ('write_pages', 3, errno.ENOSPC),
    ('write_rois', 1, errno.EROFS),
    ('scratch_array', 3, errno.ENOSPC),
  ],
)
def test_a_full_disk_is_named_and_leaves_nothing_half_done(
  predict, tmp_path, monkeypatch, segmented, writer, room, code
):
  """After `room` calls, those of the first image and perhaps some of the second."""
  for name in ('a.tif', 'b.tif'):
    write(tmp_path / 'in' / name)
  with monkeypatch.context() as patched:
    fails_after(patched, outputs, writer, room, lambda: OSError(code, os.strerror(code)))
    line = refusal(predict)
  assert 'results of b.tif' in line
  assert os.strerror(code) in line
  assert_complete(tmp_path / 'out', 'a')
  assert not endings_of(tmp_path / 'out', 'b')
  segmented.clear()
  assert run_fscs(*predict).status == 0
  assert segmented == ['b.tif']


@pytest.fixture
def odd_folders(predict, init, tiny_model, tmp_path):
  """An image, and folders that are not what they should be."""
  write(tmp_path / 'in' / 'a.tif')
  (tmp_path / 'file').touch()
  (tmp_path / 'dangling').symlink_to(tmp_path / 'gone')
  for name in ('empty', 'twice', 'begun'):
    (tmp_path / name).mkdir()
  for ending in ('png', 'bmp'):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / 'twice' / f'a.{ending}')
  (tmp_path / 'begun' / 'config.json').write_text('{}')
  (tmp_path / 'init').symlink_to(init)
  shutil.copytree(tiny_model / 'model', tmp_path / 'damaged')
  for path in (tmp_path / 'damaged').rglob('*'):
    if path.is_file() and path.stat().st_size > 500:
      path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
  ('option', 'folder', 'words'),
  [
    ('images', 'nowhere', 'no such folder'),
    ('images', 'file', 'found a file'),
    ('images', 'dangling', 'no such folder'),
    ('images', 'empty', 'found nothing'),
    ('images', 'twice', 'a.png would write to the same files'),
    ('model', 'nowhere', 'no such folder'),
    ('model', 'empty', 'found no fine-tuned model'),
    ('model', 'init', '--model'),
    ('model', 'begun', '--model'),
    ('model', 'damaged', 'cannot be read'),
    ('out', 'in', '--out, --images'),
    ('out', 'in/results', '--out, --images'),
    ('out', 'file', '--out'),
    ('out', 'file/deep', '--out'),
    ('out', 'dangling', '--out'),
  ],
)
def test_folders_that_cannot_be_used_are_named_in_one_line(
  predict, odd_folders, tmp_path, option, folder, words
):
  line = refusal([*predict, f'--{option}', tmp_path / folder])
  assert str(tmp_path / folder) in line
  assert words in line
  assert [path.name for path in (tmp_path / 'in').iterdir()] == ['a.tif']


def test_a_second_command_in_the_same_folder_is_refused(predict, tmp_path):
  write(tmp_path / 'in' / 'a.tif')
  (tmp_path / 'out').mkdir()
  with filelock.FileLock(tmp_path / 'out' / '.lock'):
    assert 'another process is at work there' in refusal(predict)
  assert run_fscs(*predict).status == 0
  assert_complete(tmp_path / 'out', 'a')


def test_the_files_of_an_ome_set_are_segmented_once(predict, segmented, tmp_path):
  planes = np.stack([cells(seed)[0] for seed in range(4)])
  write_ome_set(tmp_path / 'in', planes, parts=2)
  outcome = run_fscs(*predict)
  assert outcome.status == 0
  assert 's1.ome.tif: part of s0.ome.tif' in outcome.out
  rows = read_table(tmp_path / 'out' / 'images.csv')
  assert [(row['file'], row['pages']) for row in rows] == [('s0.ome.tif', '4')]


def test_results_lie_on_what_is_shown(predict, tmp_path):
  image, _ = cells(0)
  grey = stretch(image)
  exif = Image.Exif()
  exif[274] = 6  # turned by 90 degrees
  Image.fromarray(grey).save(tmp_path / 'in' / 'turned.png', exif=exif)
  Image.fromarray(np.rot90(grey, -1)).save(tmp_path / 'in' / 'upright.png')
  outcome = run_fscs(*predict)
  assert 'turned.png: turned or mirrored' in outcome.err
  one, other = (
    tifffile.imread(tmp_path / 'out' / f'{name}_probability.tif') for name in ('turned', 'upright')
  )
  np.testing.assert_array_equal(one, other)


def test_axes_are_those_of_the_user_or_of_fine_tuning(tmp_path):
  one, _ = cells(0)
  (tmp_path / 'in').mkdir()
  np.save(tmp_path / 'in' / 'a.npy', np.stack([one, one]))
  tiny_segmenter(channel=0, axes='CYX').save(tmp_path / 'model')
  folders = ('--images', tmp_path / 'in', '--model', tmp_path / 'model', '--no-report')
  for options, pages in (((), '1'), (('--axes', 'ZYX'), '2')):
    out = tmp_path / f'out{pages}'
    assert run_fscs('predict', *folders, '--out', out, *options).status == 0
    assert read_table(out / 'images.csv')[0]['pages'] == pages


def test_the_channel_that_is_taken_from_several_is_said(predict, tmp_path):
  one, _ = cells(0)
  options = {'imagej': True, 'metadata': {'axes': 'CYX'}}
  tifffile.imwrite(tmp_path / 'in' / 'a.tif', np.stack([one, one]), **options)
  outcome = run_fscs(*predict)
  assert outcome.status == 0
  assert 'a.tif: channel 0 of 2 is segmented' in outcome.err
