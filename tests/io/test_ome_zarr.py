"""OME-Zarr of both versions: images, plates and collections, in folders and archives."""

import json
import shutil
import zipfile

import fsspec
import numpy as np
import pytest
import zarr
from helpers import peak_memory, read_pages, read_region
from image_writers import (
  open_for_writing,
  write_facts,
  write_multiscale,
  write_ome_zarr,
  write_plate,
)

from fscs.errors import InputError
from fscs.io import find_files, images_of, open_image

WHOLE = slice(None)


def random(shape, dtype='uint16'):
  return np.random.default_rng(0).integers(1, 60_000, shape).astype(dtype)


@pytest.mark.parametrize('zarr_format', [2, 3])
@pytest.mark.parametrize('name', ['a.zarr', 'a.OME.ZARR', 'a.ome.zarr.zip', 'a.zarr.zip', 'a.ozx'])
def test_an_image_is_read_region_by_region_at_full_resolution(tmp_path, name, zarr_format):
  path = tmp_path / name
  pixels = random((2, 3, 4, 40, 60))
  scale = (1, 1, 2, 0.5, 0.25)
  names = ('DAPI', 'GFP', 'BF')
  write_ome_zarr(path, pixels, 'tczyx', zarr_format=zarr_format, scale=scale, names=names)
  assert find_files(tmp_path) == [path]
  (ref,) = images_of([path])
  assert (ref.name, ref.stem) == (name, 'a')
  with open_image(path, 'gfp') as image:
    assert image.shape == (8, 40, 60)
    assert image.dtype == np.uint16
    assert image.place_of(5) == {'T': 1, 'Z': 1}
    assert image.source == 'channel 1 of 3 (GFP)'
    assert image.pixel_size == (0.5, 0.25)
    assert image.notes == ()
    region = (slice(7, 39), slice(15, 33))
    np.testing.assert_array_equal(image.read(5, *region), pixels[1, 1, 1][region])
    channels = image.read_channels(5, *region)
    np.testing.assert_array_equal(channels, np.moveaxis(pixels[1, :, 1], 0, -1)[region])


def test_shards_and_other_axes(tmp_path):
  group = open_for_writing(tmp_path / 'a.zarr')
  pixels = random((3, 64, 64), 'uint8')
  write_multiscale(group, pixels, 'qyx', shards=(1, 32, 32))
  np.testing.assert_array_equal(read_pages(tmp_path / 'a.zarr'), pixels)


def test_an_archive_of_the_whole_folder(tmp_path):
  pixels = random((40, 60))
  write_ome_zarr(tmp_path / 'a.zarr', pixels)
  with zipfile.ZipFile(tmp_path / 'b.zarr.zip', 'w') as archive:
    for path in (tmp_path / 'a.zarr').rglob('*'):
      archive.write(path, path.relative_to(tmp_path))
  np.testing.assert_array_equal(read_pages(tmp_path / 'b.zarr.zip')[0], pixels)


@pytest.mark.parametrize('zarr_format', [2, 3])
def test_every_field_of_a_plate_is_an_image(tmp_path, zarr_format):
  path = tmp_path / 'p.ome.zarr'
  keys = ('A/1/0', 'A/1/1', 'B/12/0')
  fields = {key: random((40, 60)) + i for i, key in enumerate(keys)}
  write_plate(path, fields, zarr_format)
  refs = images_of([path])
  assert [ref.scene for ref in refs] == list(keys)
  assert [ref.name for ref in refs] == [f'p_{key.replace("/", "-")}.ome.zarr' for key in keys]
  assert refs[0].stem == 'p_A-1-0'
  for number, key in enumerate(keys):
    for scene in (key, key.replace('/', '-'), str(number)):
      (ref,) = images_of([path], scene)
      assert ref.scene == key
      np.testing.assert_array_equal(read_pages(path, scene)[0], fields[key])
  for scene in ('C/1/0', '3', '-1'):
    with pytest.raises(InputError, match='A/1/0, A/1/1, B/12/0') as error:
      images_of([path], scene)
    assert error.value.arguments == ('scene',)
  with pytest.raises(InputError, match='B/12/0'):
    open_image(path)  # which of them?


def test_a_collection_of_bioformats2raw(tmp_path):
  path = tmp_path / 'a.zarr'
  root = open_for_writing(path)
  write_facts(root, {'bioformats2raw.layout': 3})
  series = [random((40, 60)), random((2, 20, 30), 'uint8')]
  for number, pixels in enumerate(series):
    write_multiscale(root.create_group(str(number)), pixels, 'zyx'[-pixels.ndim :])
  assert [ref.stem for ref in images_of([path])] == ['a_0', 'a_1']
  for number, pixels in enumerate(series):
    np.testing.assert_array_equal(
      read_pages(path, str(number)), pixels.reshape(-1, *pixels.shape[-2:])
    )
  write_facts(root.create_group('OME'), {'series': ['1', '0']})
  assert [ref.scene for ref in images_of([path])] == ['1', '0']


def test_scenes_of_other_files_are_refused(tmp_path):
  np.save(tmp_path / 'a.npy', np.ones((4, 4)))
  with pytest.raises(InputError, match='scene'):
    images_of(find_files(tmp_path), '0')
  write_ome_zarr(tmp_path / 'b.zarr', random((40, 60)))
  assert [ref.stem for ref in images_of(find_files(tmp_path), '0')] == ['a', 'b']
  with pytest.raises(InputError, match=r'b\.zarr'):
    images_of(find_files(tmp_path), '1')


def test_chunks_that_are_not_stored_are_noted(tmp_path):
  path = tmp_path / 'a.zarr'
  write_ome_zarr(path, random((40, 60)))
  (path / '0/c/1/2').unlink()
  with open_image(path) as image:
    (note,) = image.notes
    assert note.startswith('1 of 12 chunks')
    assert not image.read(0, slice(16, 32), slice(32, 48)).any()


def test_a_small_region_costs_little_memory(tmp_path):
  path = tmp_path / 'a.zarr'
  large = np.broadcast_to(random((1, 3000)), (3000, 3000))
  write_ome_zarr(path, large, side=256)
  _, peak = peak_memory(lambda: read_region(path, slice(500, 516), slice(500, 516)))
  assert peak < large.nbytes / 4


def test_an_image_at_an_address(tmp_path):
  pixels = random((40, 60))
  write_ome_zarr(tmp_path / 'a.zarr', pixels)
  fsspec.filesystem('memory').put(str(tmp_path / 'a.zarr'), '/there/a.zarr', recursive=True)
  (path,) = find_files(type(tmp_path)('memory://there/a.zarr'))
  (ref,) = images_of([path])
  assert ref.stem == 'a'
  assert ref.digest() == ref.digest()
  np.testing.assert_array_equal(read_pages(path)[0], pixels)
  with pytest.raises(InputError, match='nothing'):
    open_image('memory://there/nothing.zarr')
  with pytest.raises(InputError, match='install'):
    open_image('nowhere://there/a.zarr')


# Files that cannot be used


def edited(path, **changes):
  """Change the metadata of an image of version 0.5."""
  file = path / 'zarr.json'
  facts = json.loads(file.read_text())
  image = facts['attributes']['ome']['multiscales'][0]
  for key, value in changes.items():
    (facts['attributes']['ome'] if key == 'version' else image)[key] = value
  file.write_text(json.dumps(facts))


def no_array(path):
  shutil.rmtree(path / '0')


def spoilt(path):
  (path / '0/c/0/0').write_bytes(b'hello')


def cut(path):
  chunk = path / '0/c/0/0'
  chunk.write_bytes(chunk.read_bytes()[:20])


def huge_chunks(path):
  file = path / '0/zarr.json'
  facts = json.loads(file.read_text())
  facts['chunk_grid']['configuration']['chunk_shape'] = [10**6, 10**6]
  file.write_text(json.dumps(facts))


UNUSABLE = {
  'version': lambda path: edited(path, version='0.1'),
  'nothing': lambda path: [shutil.rmtree(path), path.mkdir()],
  'missing': shutil.rmtree,
  'file': lambda path: [shutil.rmtree(path), path.write_text('hello')],
  'text': lambda path: (path / 'zarr.json').write_text('hello'),
  'plain Zarr': lambda path: zarr.open_group(path, mode='w'),
  'array': lambda path: [shutil.rmtree(path), zarr.save_array(path, np.ones((4, 4)))],
  'names': lambda path: edited(path, axes=['y', 'x']),
  'no axes': lambda path: edited(path, axes=[]),
  'other axes': lambda path: edited(path, axes=[{'name': 'y'}, {'name': 'z'}]),
  'more axes': lambda path: edited(path, axes=[{'name': name} for name in 'zyx']),
  'no levels': lambda path: edited(path, datasets=[]),
  'no array': no_array,
  'spoilt': spoilt,
  'cut': cut,
  'huge chunks': huge_chunks,
  'complex': lambda path: write_ome_zarr(path, np.ones((4, 4), 'complex64')),
}


@pytest.mark.parametrize('damage', UNUSABLE)
def test_unusable_files_are_named_in_one_line(tmp_path, damage, capfd):
  path = tmp_path / 'a.zarr'
  write_ome_zarr(path, random((40, 60)))
  UNUSABLE[damage](path)
  with pytest.raises(InputError) as error:
    read_pages(path)
  assert str(error.value).startswith(f'{path}: ')
  assert '\n' not in str(error.value)
  assert capfd.readouterr() == ('', '')
  (ref,) = images_of([path])  # says nothing yet: others may be read
  assert ref.scene is None


def test_an_archive_that_was_cut(tmp_path):
  path = tmp_path / 'a.zarr.zip'
  write_ome_zarr(path, random((40, 60)))
  content = path.read_bytes()
  for size in (0, 100, len(content) // 2, len(content) - 10):
    path.write_bytes(content[:size])
    with pytest.raises(InputError, match=r'a\.zarr\.zip'):
      open_image(path)
