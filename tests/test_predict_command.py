"""predict on folders of all kinds, good and bad, with a network of random parameters."""

import csv
import dataclasses
import errno
import os

import numpy as np
import pytest
import tifffile
from command_line import refusal_of
from PIL import Image
from test_finetuning import cells
from tiny_segmenter import tiny_segmenter

from fscs.cli import predict
from fscs.data.channels import LUMA
from fscs.data.intensity import stretch
from fscs.errors import InputError
from fscs.io import files
from fscs.io.checkpoints import save_init
from fscs.segmentation import outputs

ENDINGS = {'_probability.tif', '_mask.tif', '_labels.tif', '_overlay.png', '_objects.csv'}


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp('model')
  tiny_segmenter().save(folder / 'model')
  return folder


@pytest.fixture
def run(model, tmp_path):
  """Predicts tmp_path/in to tmp_path/out; returns the latter."""
  (tmp_path / 'in').mkdir()

  def run_with(**options):
    paths = {'images': str(tmp_path / 'in'), 'out': str(tmp_path / 'out'), 'model': str(model)}
    return predict.predict(predict.Config(**{**paths, **options}))

  return run_with


def write(path, seed=3, shape=(72, 96)):
  tifffile.imwrite(path, cells(seed, shape)[0])


def rows_of(path):
  with path.open(newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


def endings_of(out, stem):
  return {path.name.removeprefix(stem) for path in out.iterdir() if path.name.startswith(stem)}


def nothing_unfinished(out):
  return not [path for path in out.iterdir() if path.name.startswith('.')]


def test_masks_in_the_folder_of_the_images_are_left_out(run, tmp_path, capsys):
  for name in ('a.tif', 'b.tif'):
    write(tmp_path / 'in' / name)
  for name in ('a_mask.png', 'b-labels.png'):
    Image.new('L', (96, 72)).save(tmp_path / 'in' / name)
  out = run()
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('masks')]
  assert lines == [
    'masks of other images, left out: 2 of 4 files (a_mask.png, b-labels.png)',
  ]
  assert [row['file'] for row in rows_of(out / 'images.csv')] == ['a.tif', 'b.tif']
  assert endings_of(out, 'a') - {'_rois.zip'} == ENDINGS
  assert not endings_of(out, 'a_mask_')


def test_images_that_have_changed_are_done_anew_and_those_of_other_folders_are_kept(
  run, tmp_path, capsys
):
  for name, seed in (('a', 3), ('b', 4)):
    write(tmp_path / 'in' / f'{name}.tif', seed)
  out = run()
  first = (out / 'a_labels.tif').read_bytes(), (out / 'b_labels.tif').stat().st_mtime_ns
  write(tmp_path / 'in' / 'a.tif', 5)
  capsys.readouterr()
  run()
  assert 'of these names, that are done anew: a.tif\n' in capsys.readouterr().out
  assert (out / 'a_labels.tif').read_bytes() != first[0]
  assert (out / 'b_labels.tif').stat().st_mtime_ns == first[1]
  (tmp_path / 'other').mkdir()
  for name in ('a.png', 'c.tif'):  # a.png writes to the files of a.tif
    Image.fromarray(stretch(cells(6)[0])).save(tmp_path / 'other' / name)
  run(images=str(tmp_path / 'other'))
  assert [row['file'] for row in rows_of(out / 'images.csv')] == ['a.png', 'b.tif', 'c.tif']
  counts = {row['file']: int(row['objects']) for row in rows_of(out / 'images.csv')}
  objects = [row['file'] for row in rows_of(out / 'objects.csv')]
  assert {name: objects.count(name) for name in counts} == counts
  assert counts['b.tif'] > 0


def test_a_fine_tuning_that_has_not_ended_is_no_model(run, tmp_path):
  (tmp_path / 'begun').mkdir()
  (tmp_path / 'begun' / 'config.json').write_text('{}')
  with pytest.raises(InputError, match='begun has no model yet: finish its fine-tuning first'):
    run(model=str(tmp_path / 'begun'))


def test_a_model_of_weighted_channels_segments_their_sum_and_measures_the_luma(
  run, tmp_path, capsys
):
  weights = (-0.5, 0.25, 0.25)
  segmenter = dataclasses.replace(tiny_segmenter(), channel=weights)
  segmenter.save(tmp_path / 'weighted' / 'model')
  colours = np.random.default_rng(0).integers(0, 256, (72, 96, 3)).astype(np.uint8)
  colours[..., 1] = cells(3)[0] // 8
  tifffile.imwrite(tmp_path / 'in' / 'a.tif', colours, photometric='rgb')
  out = run(model=str(tmp_path / 'weighted'))
  probability = tifffile.imread(out / 'a_probability.tif')
  np.testing.assert_allclose(probability, segmenter.predict(colours), atol=1e-6)
  labels = tifffile.imread(out / 'a_labels.tif')
  luma = np.rint(colours @ np.array(LUMA))
  rows = rows_of(out / 'a_objects.csv')
  assert rows
  for row in rows:
    inside = labels == int(row['label'])
    assert float(row['intensity_mean']) == pytest.approx(luma[inside].mean(), abs=0.05)
    for channel in range(3):
      values = colours[inside, channel]
      assert float(row[f'intensity_mean_{channel}']) == pytest.approx(values.mean(), rel=1e-4)
      assert float(row[f'intensity_std_{channel}']) == pytest.approx(values.std(), rel=1e-4)
      assert int(float(row[f'intensity_max_{channel}'])) == values.max()
  with Image.open(out / 'a_overlay.png') as overlay:
    picture = np.array(overlay)
  outlined = (picture == outputs.OVERLAY_COLOUR).all(-1)
  assert outlined.any()
  np.testing.assert_array_equal(picture[~outlined], stretch(colours)[~outlined])
  write(tmp_path / 'in' / 'b.tif')  # grey
  with pytest.raises(InputError, match='1 of 2 images could not be segmented'):
    run(model=str(tmp_path / 'weighted'))
  assert 'b.tif: found 1 channel(s), expected the 3' in capsys.readouterr().err


def test_the_table_of_all_objects_has_the_channels_of_all_images(run, tmp_path):
  write(tmp_path / 'in' / 'a.tif')
  grey = cells(4)[0]
  others = np.random.default_rng(0).integers(0, 60_000, (5, *grey.shape)).astype(np.uint16)
  tifffile.imwrite(
    tmp_path / 'in' / 'b.ome.tif', np.stack([grey * 200, *others]), metadata={'axes': 'CYX'}
  )
  out = run()
  of_a, of_b = (rows_of(out / f'{stem}_objects.csv') for stem in ('a', 'b.ome'))
  assert of_a
  assert of_b
  assert not any(name.startswith('intensity_mean_') for name in of_a[0])
  labels = tifffile.imread(out / 'b.ome_labels.tif')
  for row in of_b:
    assert row['intensity_mean'] == row['intensity_mean_0']
    for channel, other in enumerate(others, 1):
      mean = other[labels == int(row['label'])].mean()
      assert float(row[f'intensity_mean_{channel}']) == pytest.approx(mean, rel=1e-4)
  everything = rows_of(out / 'objects.csv')
  missing = dict.fromkeys(of_b[0].keys() - of_a[0].keys(), '')
  assert len(missing) == 6 * 4
  assert everything == [*({**row, **missing} for row in of_a), *of_b]


@pytest.mark.parametrize(
  ('damage', 'again'),
  [
    (lambda text: '', True),
    (lambda text: text[:-9], True),  # the last row lacks columns
    (lambda text: '\0' * 200_000, True),
    (lambda text: text.replace(',', ';'), True),
    (lambda text: text[: text.rindex('\n', 0, -1) + 1], False),  # somebody took an object out
  ],
)
def test_an_image_whose_table_is_damaged_is_done_again(run, tmp_path, damage, again):
  write(tmp_path / 'in' / 'a.tif')
  out = run()
  table = out / 'a_objects.csv'
  whole = table.read_text()
  table.write_text(damage(whole))
  run()
  assert (table.read_text() == whole) == again
  assert (out / 'objects.csv').read_text() == table.read_text()


def test_images_csv_says_what_objects_csv_and_the_mask_do(run, tmp_path):
  write(tmp_path / 'in' / 'a.tif')
  out = run()
  (row,) = rows_of(out / 'images.csv')
  mask = tifffile.imread(out / 'a_mask.tif')
  assert (row['pages'], row['height'], row['width']) == ('1', '72', '96')
  assert int(row['objects']) == len(rows_of(out / 'objects.csv')) > 0
  assert float(row['foreground']) == pytest.approx((mask > 0).mean(), rel=1e-4)


def count_segmented(monkeypatch):
  done = []
  original = predict.segment_file
  monkeypatch.setattr(predict, 'segment_file', lambda *a: (done.append(a[1].name), original(*a))[1])
  return done


def test_a_second_run_does_only_what_is_missing(run, tmp_path, monkeypatch):
  for name in ('a.tif', 'b.tif', 'c.tif'):
    write(tmp_path / 'in' / name)
  out = run()
  before = (out / 'images.csv').read_text()
  (out / 'b_objects.csv').unlink()
  with (out / 'images.csv').open('a') as file:
    file.write('c.tif,1,72')  # cut short by a crash
  done = count_segmented(monkeypatch)
  run()
  assert done == ['b.tif']
  assert (out / 'images.csv').read_text() == before
  assert 'c.tif' in (out / 'report.html').read_text()


def test_images_that_another_model_segmented_are_done_anew(run, tmp_path, monkeypatch):
  write(tmp_path / 'in' / 'a.tif')
  run()
  tiny_segmenter(keep_statistics=False).save(tmp_path / 'other')
  done = count_segmented(monkeypatch)
  run(model=str(tmp_path / 'other'))
  assert done == ['a.tif']


def test_a_dry_run_lists_and_writes_nothing(run, tmp_path, capsys):
  write(tmp_path / 'in' / 'a.tif')
  run(dry_run=True)
  assert 'a.tif: to do' in capsys.readouterr().out
  assert not (tmp_path / 'out').exists()


def zero_bytes(path):
  path.touch()


def text(path):
  path.write_text('no image at all')


def truncated(path):
  tifffile.imwrite(path, np.random.default_rng(0).random((300, 300)))
  path.write_bytes(path.read_bytes()[:300_000])


def infinite(path):
  tifffile.imwrite(path, np.where(np.eye(40) > 0, np.inf, 1.0).astype(np.float32))


def not_a_number(path):
  tifffile.imwrite(path, np.where(np.eye(40) > 0, np.nan, 1.0).astype(np.float32))


def bomb(path):
  Image.new('1', (400, 400)).save(path)


@pytest.mark.parametrize(
  ('name', 'make', 'message'),
  [
    ('bad.tif', zero_bytes, 'found an empty file of 0 bytes; copy or save it again'),
    ('bad.png', text, 'the file cannot be decoded as .png'),
    ('bad.tif', truncated, 'the file cannot be decoded as .tif'),
    ('bad.tif', infinite, 'found 40 pixels that are NaN or infinite'),
    ('bad.tif', not_a_number, 'found 40 pixels that are NaN or infinite'),
    ('bad.png', bomb, 'found 160,000 pixels, expected at most 100,000'),
    ('b' * 245 + '.tif', write, 'names of 261 bytes (File name too long); give the image a sh'),
    ('ä' * 122 + '.tif', write, 'names of 260 bytes (File name too long); give the image a sh'),
  ],
)
def test_one_bad_file_is_named_and_the_rest_goes_on(
  run, tmp_path, name, make, message, capsys, monkeypatch
):
  monkeypatch.setattr(files, 'MAX_DECODED_PIXELS', 100_000)
  write(tmp_path / 'in' / 'good.tif')
  make(tmp_path / 'in' / name)
  with pytest.raises(InputError, match='1 of 2 images could not be segmented'):
    run()
  (line,) = [line for line in capsys.readouterr().err.splitlines() if 'left out' in line]
  assert line.startswith(f'left out: {tmp_path / "in" / name}: ')
  assert message in line
  out = tmp_path / 'out'
  assert endings_of(out, 'good') - {'_rois.zip'} == ENDINGS
  assert not endings_of(out, name[:3])
  assert nothing_unfinished(out)
  assert message.split('(')[0] in (out / 'report.html').read_text()


@pytest.mark.parametrize('shape', [(1, 1), (10, 4000), (100_000, 10), (64, 64)])
def test_odd_images_are_segmented_too(run, tmp_path, shape, capsys):
  tifffile.imwrite(tmp_path / 'in' / 'odd.tif', np.full(shape, 7, np.uint8))
  out = run()
  assert tifffile.imread(out / 'odd_labels.tif').reshape(shape).shape == shape
  assert 'warning: odd.tif: all pixels have the same grey value' in capsys.readouterr().err


@pytest.mark.parametrize(
  'name',
  ['zellen µ 細胞.tif', 'a' * 238 + '.tif', '<b>&"\'.tif', 'a\udcff.tif', '-x.tif', 'a%s.tif'],
)
def test_odd_names_are_kept(run, tmp_path, name):
  write(tmp_path / 'in' / name)
  out = run()
  stem = name.removesuffix('.tif')
  assert endings_of(out, stem) - {'_rois.zip'} == ENDINGS
  assert os.fsencode(name.replace('"', '""')) in (out / 'images.csv').read_bytes()
  assert nothing_unfinished(out)


def test_two_images_of_one_stem_are_refused(run, tmp_path):
  for end in ('png', 'bmp'):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / 'in' / f'a.{end}')
  with pytest.raises(InputError, match=r'a\.bmp and a\.png would write to the same files'):
    run()
  assert not (tmp_path / 'out').exists()


def prepare(tmp_path):
  """What the table of folders needs."""
  write(tmp_path / 'in' / 'a.tif')
  (tmp_path / 'file').touch()
  (tmp_path / 'dangling').symlink_to(tmp_path / 'gone')
  (tmp_path / 'empty').mkdir()
  segmenter = tiny_segmenter()
  save_init(tmp_path / 'init', segmenter.params, {'architecture': 'fcrn'})
  facts = {'kind': 'segmenter', 'format': 99}
  save_init(tmp_path / 'newer', segmenter.params, facts)
  segmenter.save(tmp_path / 'damaged')
  for path in (tmp_path / 'damaged').rglob('*'):
    if path.is_file() and path.stat().st_size > 500:
      path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'images': ''}, '--images is missing'),
    ({'model': ''}, '--model is missing'),
    ({'out': ''}, '--out is missing'),
    ({'images': '{}/nowhere'}, 'nowhere: no such folder'),
    ({'images': '{}/file'}, 'file: found a file, expected a folder'),
    ({'images': '{}/dangling'}, 'dangling: no such folder'),
    ({'images': '{}/empty'}, 'empty: found nothing'),
    ({'model': '{}/nowhere'}, 'nowhere: there is no such folder'),
    ({'model': '{}/file'}, 'file: there is no such folder'),
    ({'model': '{}/empty'}, 'empty cannot be read'),
    ({'model': '{}/init'}, 'init holds no fine-tuned model: run'),
    ({'model': '{}/newer'}, 'newer was written in format 99, and this version reads'),
    ({'model': '{}/damaged'}, 'damaged'),
    ({'out': '{}/in'}, r'is inside --images=.*choose a folder elsewhere'),
    ({'out': '{}/in/results'}, r'is inside --images=.*choose a folder elsewhere'),
    ({'out': '{}/file'}, 'cannot be written .File exists.; make room there or choose a folder'),
    ({'out': '{}/file/deep'}, 'cannot be written .Not a directory.; make room there or choose'),
    ({'out': '{}/dangling'}, 'cannot be written .File exists.; make room there or choose'),
  ],
)
def test_folders_that_cannot_be_used(run, tmp_path, options, message):
  prepare(tmp_path)
  with pytest.raises(InputError, match=message) as caught:
    run(**{name: value.format(tmp_path) for name, value in options.items()})
  assert '\n' not in str(caught.value)
  assert [path.name for path in (tmp_path / 'in').iterdir()] == ['a.tif']


@pytest.mark.parametrize('writer', ['write_pages', 'write_overlay', 'write_rois', 'scratch'])
@pytest.mark.parametrize('code', [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_named_and_leaves_nothing_half_done(
  run, tmp_path, monkeypatch, writer, code
):
  for name in ('a.tif', 'b.tif'):
    write(tmp_path / 'in' / name)
  original = getattr(outputs, writer)
  room = [3 if writer in ('write_pages', 'scratch') else 1]  # calls of the first image, or some

  def fail(*arguments):
    if room[0] == 0:
      raise OSError(code, os.strerror(code))
    room[0] -= 1
    return original(*arguments)

  with monkeypatch.context() as patched:
    patched.setattr(outputs, writer, fail)
    with pytest.raises(
      InputError, match=rf'results of b.tif cannot be.*{os.strerror(code)}.*run ag'
    ):
      run()
  out = tmp_path / 'out'
  assert endings_of(out, 'a') - {'_rois.zip'} == ENDINGS
  assert not endings_of(out, 'b')
  assert nothing_unfinished(out)
  done = count_segmented(monkeypatch)
  run()
  assert done == ['b.tif']


def test_what_a_killed_run_left_is_removed(run, tmp_path):
  write(tmp_path / 'in' / 'a.tif')
  with outputs.all_or_none(tmp_path, 'a') as folder:
    name = folder.name
  (tmp_path / 'out' / name).mkdir(parents=True)
  (tmp_path / 'out' / name / 'rois.zip').write_text('half')
  out = run()
  assert nothing_unfinished(out)


def test_an_output_that_is_a_file_ends_the_command_with_one_line(model, tmp_path):
  (tmp_path / 'in').mkdir()
  (tmp_path / 'file').touch()
  write(tmp_path / 'in' / 'a.tif')
  paths = {'model': model, 'images': tmp_path / 'in', 'out': tmp_path / 'file'}
  line = refusal_of('predict', *(f'--{name}={path}' for name, path in paths.items()))
  assert line.startswith(f'--out={tmp_path / "file"}: results')
