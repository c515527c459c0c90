"""`fscs finetune` and `fscs predict` on files with several scenes."""

import json

import fsspec
import numpy as np
import tifffile
from helpers import cells, read_table, refusal, run_fscs
from image_writers import (
  open_for_writing,
  write_facts,
  write_multiscale,
  write_ome_zarr,
  write_plate,
)

from fscs.segmentation.segmenter import Segmenter


def test_every_scene_is_segmented_once(tiny_model, tmp_path):
  images, out = tmp_path / 'in', tmp_path / 'out'
  images.mkdir()
  fields = {key: cells(i)[0] for i, key in enumerate(('A/1/0', 'A/1/1'))}
  write_plate(images / 'p.ome.zarr', fields)
  tifffile.imwrite(images / 'a.tif', cells(5)[0])
  command = ('predict', '--model', tiny_model, '--images', images, '--out', out)
  assert run_fscs(*command).status == 0
  names = ['a.tif', 'p_A-1-0.ome.zarr', 'p_A-1-1.ome.zarr']
  assert [row['file'] for row in read_table(out / 'images.csv')] == names
  assert {row['file'] for row in read_table(out / 'objects.csv')} == set(names)
  segmenter = Segmenter.load(tiny_model / 'model')
  labels = tifffile.imread(out / 'p_A-1-1_labels.tif')
  np.testing.assert_array_equal(labels, segmenter.predict(fields['A/1/1']))
  dry = run_fscs(*command, '--dry-run').out
  assert dry.splitlines() == [f'{name}: done' for name in names]
  write_plate(images / 'p.ome.zarr', {key: field + 9 for key, field in fields.items()})
  assert run_fscs(*command, '--dry-run').out.count('to do') == 2


def test_one_scene_is_segmented_and_others_are_listed(tiny_model, tmp_path):
  path, out = tmp_path / 'p.zarr', tmp_path / 'out'
  write_plate(path, {f'A/1/{i}': cells(i)[0] for i in range(3)})
  command = ('predict', '--model', tiny_model, '--images', path, '--out', out, '--no-report')
  assert run_fscs(*command, '--scene', '1').status == 0
  assert [row['file'] for row in read_table(out / 'images.csv')] == ['p_A-1-1.zarr']
  outcome = run_fscs(*command, '--scene', 'B/1/0')
  assert outcome.status == 2
  (line,) = outcome.err.splitlines()
  assert 'A/1/0, A/1/1, A/1/2' in line
  assert '--scene' in line


def test_an_image_at_an_address_is_segmented(tiny_model, tmp_path):
  write_ome_zarr(tmp_path / 'a.zarr', cells(0)[0])
  fsspec.filesystem('memory').put(str(tmp_path / 'a.zarr'), '/cli/a.zarr', recursive=True)
  folders = ('--images', 'memory://cli/a.zarr', '--out', tmp_path / 'out')
  assert run_fscs('predict', '--model', tiny_model, *folders).status == 0
  labels = tifffile.imread(tmp_path / 'out/a_labels.tif')
  segmenter = Segmenter.load(tiny_model / 'model')
  np.testing.assert_array_equal(labels, segmenter.predict(cells(0)[0]))


def test_a_damaged_file_leaves_the_others(tiny_model, tmp_path):
  images, out = tmp_path / 'in', tmp_path / 'out'
  images.mkdir()
  write_ome_zarr(images / 'good.zarr', cells(0)[0])
  (images / 'bad.zarr').mkdir()
  (images / 'worse.czi').write_text('hello')
  command = ('predict', '--model', tiny_model, '--images', images, '--out', out, '--no-report')
  outcome = run_fscs(*command)
  assert outcome.status == 2
  assert sum(line.startswith('left out: ') for line in outcome.err.splitlines()) == 2


def test_a_model_of_a_named_channel_finds_it_elsewhere(init, tmp_path):
  images, others = tmp_path / 'images', tmp_path / 'others'
  for folder in (images, others):
    folder.mkdir()
  root = open_for_writing(images / 'c.zarr')
  write_facts(root, {'bioformats2raw.layout': 3})
  for number in range(2):
    image, labels = cells(number)
    planes = np.stack([np.full_like(image, 7), image])
    write_multiscale(root.create_group(str(number)), planes, 'cyx', names=('BF', 'DAPI'))
    tifffile.imwrite(images / f'c_{number}_mask.tif', labels.astype(np.uint16))
  run = tmp_path / 'run'
  settings = ('--steps', 2, '--crop-size', 32, '--orientations', 1, '--no-estimate', '--no-report')
  folders = ('--images', images, '--workdir', run, '--init', init)
  outcome = run_fscs('finetune', *folders, *settings, '--channel', 'DAPI')
  assert outcome.status == 0
  assert 'c_1.zarr with c_1_mask.tif' in outcome.out
  assert json.loads((run / 'config.json').read_text())['config']['channel'] == 'DAPI'
  segmenter = Segmenter.load(run / 'model')
  assert (segmenter.channel, segmenter.channel_name) == (1, 'DAPI')
  image, _ = cells(9)
  planes = np.stack([image, np.full_like(image, 7)])  # in another order
  metadata = {'axes': 'CYX', 'Channel': {'Name': ['DAPI', 'BF']}}
  tifffile.imwrite(others / 'a.ome.tif', planes, metadata=metadata)
  command = ('predict', '--model', run, '--images', others, '--out', tmp_path / 'out')
  assert run_fscs(*command, '--no-report').status == 0
  found = tifffile.imread(tmp_path / 'out/a.ome_probability.tif')
  np.testing.assert_array_equal(found, segmenter.predict_proba(np.stack([planes[1], image], -1)))
  assert '--channel' in refusal(('finetune', *folders, *settings, '--channel', 'GFP'))
