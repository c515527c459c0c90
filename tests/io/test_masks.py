"""Masks of shapes with known pixels."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import draw
from skimage.measure import label
from skimage.transform import resize

from fscs.errors import InputError
from fscs.io import read_mask, require_pages

SHAPE = (60, 80)
TABLE = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 0), (9, 0, 200)], 'uint8')
OF_COLOURS = np.array([0, 3, 1, 4, 2])  # labels of these colours: by red, then green, then blue


def disks():
  """(60, 80) labels 0 to 4; the disks 1 and 2 touch."""
  labels = np.zeros(SHAPE, 'int32')
  for number, centre in enumerate([(15, 15), (15, 31), (40, 20), (40, 60)], start=1):
    labels[draw.disk(centre, 8.5)] = number
  return labels


def components(foreground):
  return label(foreground, connectivity=1)


def write(path, values, **options):
  if path.suffix == '.npy':
    np.save(path, values)
  elif path.suffix == '.tif':
    tifffile.imwrite(path, values, photometric='rgb' if values.shape[-1] == 3 else 'minisblack')
  else:
    Image.fromarray(values).save(path, **options)
  return path


def assert_mask(path, labels, instances):
  mask = read_mask(path, labels.shape)
  assert mask.labels.dtype == np.int32
  assert mask.instances == instances
  np.testing.assert_array_equal(mask.labels, labels)


# Values


@pytest.mark.parametrize(
  ('name', 'low', 'high', 'dtype'),
  [
    ('a.png', 0, 1, 'bool'),
    ('a.png', 100, 101, 'uint8'),
    ('a.bmp', 0, 255, 'uint8'),
    ('a.tif', 0, 65_535, 'uint16'),
    ('a.tif', 1, 2, 'int32'),
    ('a.npy', -1, 0, 'int64'),
    ('a.npy', 0, 0.25, 'float32'),
  ],
)
def test_the_larger_of_two_values_is_foreground(tmp_path, name, low, high, dtype):
  foreground = disks() > 0
  path = write(tmp_path / name, np.where(foreground, high, low).astype(dtype))
  assert_mask(path, components(foreground), instances=False)


def test_objects_touch_at_sides_not_at_corners(tmp_path):
  path = write(tmp_path / 'a.png', np.array([[1, 0, 0], [0, 1, 1]], 'bool'))
  assert_mask(path, np.array([[1, 0, 0], [0, 2, 2]]), instances=False)


@pytest.mark.parametrize(
  ('name', 'dtype'),
  [('a.png', 'uint8'), ('a.png', 'uint16'), ('a.tif', 'float32'), ('a.npy', 'int64')],
)
def test_labels_with_gaps_are_kept_apart_and_renumbered(tmp_path, name, dtype):
  values = np.array([0, 3, 40, 41, 255])[disks()].astype(dtype)
  assert_mask(write(tmp_path / name, values), disks(), instances=True)


def test_a_label_in_two_pieces_is_one_object(tmp_path):
  labels = np.array([[1, 0, 1, 0, 2]], 'uint8')
  assert_mask(write(tmp_path / 'a.png', labels), labels, instances=True)


def test_thin_and_confluent_labels_are_not_taken_for_soft_edges(tmp_path):
  filaments = np.zeros((41, 60), 'uint16')
  filaments[1::2] = np.arange(1, 21)[:, None]  # one pixel wide
  assert_mask(write(tmp_path / 'a.tif', filaments), filaments, instances=True)
  rng = np.random.default_rng(0)
  seeds = np.zeros((100, 100), 'int32')
  seeds.flat[rng.choice(10_000, 200, replace=False)] = np.arange(1, 201)
  nearest = ndimage.distance_transform_edt(seeds == 0, None, False, True)
  confluent = seeds[tuple(nearest)]
  confluent[:2] = 0
  _, expected = np.unique(confluent, return_inverse=True)
  assert_mask(write(tmp_path / 'a.tif', confluent), expected.reshape(100, 100), instances=True)


def test_soft_edges_are_cut_half_way(tmp_path):
  large = Image.new('L', (640, 480))
  for row, column in [(15, 15), (30, 60)]:
    ends = [8 * (column - 9), 8 * (row - 9), 8 * (column + 9), 8 * (row + 9)]
    ImageDraw.Draw(large).ellipse(ends, fill=255)
  smooth = np.asarray(large.resize((80, 60), Image.Resampling.BILINEAR))
  assert len(np.unique(smooth)) > 20
  expected = components(smooth > 127)
  assert_mask(write(tmp_path / 'a.png', smooth), expected, instances=False)
  assert_mask(write(tmp_path / 'a.npy', smooth / 255), expected, instances=False)
  dim = np.rint(smooth * 0.5).astype('uint8')
  assert_mask(write(tmp_path / 'b.png', dim), expected, instances=False)


@pytest.mark.parametrize('quality', [50, 95])
def test_jpeg_masks_are_cut_half_way(tmp_path, quality):
  foreground = disks() > 0
  path = write(tmp_path / 'a.jpg', foreground.astype('uint8') * 255, quality=quality)
  assert_mask(path, components(foreground), instances=False)


def many_disks():
  """(160, 200) float, disks of radius 10 with the values 1 to 14."""
  values = np.zeros((160, 200))
  for number in range(14):
    row, column = 20 + 40 * (number // 5), 20 + 40 * (number % 5)
    values[draw.disk((row, column), 11)] = number + 1
  return values


@pytest.mark.parametrize(
  ('name', 'change'),
  [
    ('linear.tif', lambda labels: resize(labels, (240, 300), order=1)),
    ('cubic.tif', lambda labels: resize(labels, (240, 300), order=3)),
    ('spread.png', lambda labels: np.rint(resize(labels * 18, (120, 150), order=1))),
    ('blurred.png', lambda labels: np.rint(ndimage.gaussian_filter(labels * 18, 0.7))),
    ('spread.jpg', lambda labels: labels * 18),
    ('plain.jpg', lambda labels: labels),
  ],
)
def test_labels_that_were_smoothed_are_not_a_binary_mask(tmp_path, name, change):
  values = change(many_disks())
  path = write(tmp_path / name, values.astype('float32' if name.endswith('.tif') else 'uint8'))
  with pytest.raises(InputError, match='labels that were smoothed'):
    read_mask(path, values.shape)


@pytest.mark.parametrize('blur', [0.7, 4])
@pytest.mark.parametrize('quality', [50, 95])
def test_binary_masks_of_any_softness_are_not_labels(tmp_path, blur, quality):
  smooth = ndimage.gaussian_filter((many_disks() > 0) * 255.0, blur)
  path = write(tmp_path / 'a.jpg', np.rint(smooth).astype('uint8'), quality=quality)
  found = read_mask(path, smooth.shape)
  assert (found.labels.max(), found.instances) == (14, False)


# Colours


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.npy', 'a.bmp'])
def test_each_colour_is_an_object(tmp_path, name):
  assert_mask(write(tmp_path / name, TABLE[disks()]), OF_COLOURS[disks()], instances=True)


def test_few_colours_in_many_pieces_only_separate_neighbours(tmp_path):
  squares = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((4, 4), int))  # they touch
  squares[:, ::4] = 0
  colours = TABLE[np.where(squares > 0, 1 + squares % 2 + 2 * ((squares - 1) // 5 % 2), 0)]
  mask = read_mask(write(tmp_path / 'a.png', colours), squares.shape)
  assert mask.instances
  pairs = np.unique(np.stack([mask.labels, squares]).reshape(2, -1), axis=1)
  assert len(np.unique(mask.labels)) == len(pairs.T) == 26


def test_transparent_is_background_whatever_its_colour(tmp_path):
  labels = disks()
  rgba = np.dstack([TABLE[labels], np.where(labels == 2, 0, 255)]).astype('uint8')
  rgba[labels == 0] = (7, 7, 7, 0)
  expected = np.array([0, 2, 0, 3, 1])[labels]
  assert_mask(write(tmp_path / 'a.png', rgba), expected, instances=True)


def test_a_palette_png_is_a_mask_of_colours(tmp_path):
  image = Image.fromarray(disks().astype('uint8')).convert('P')
  image.putpalette(TABLE.ravel().tolist())
  image.save(tmp_path / 'a.png')
  assert_mask(tmp_path / 'a.png', OF_COLOURS[disks()], instances=True)


def test_one_colour_is_binary_and_grey_colours_are_values(tmp_path):
  foreground = disks() > 0
  path = write(tmp_path / 'a.png', TABLE[foreground.astype(int)])
  assert_mask(path, components(foreground), instances=False)
  grey = (disks() * 9).astype('uint8')
  path = write(tmp_path / 'a.png', np.stack([grey, grey, grey], axis=-1))
  assert_mask(path, disks(), instances=True)


# Pages


def test_a_mask_has_the_pages_of_its_image(tmp_path):
  stack = np.stack([disks(), disks()[::-1]]).astype('uint16')
  path = write(tmp_path / 'a.tif', stack)
  require_pages(path, 2, 'a.tif')
  with pytest.raises(InputError, match=r'a\.tif: found 2 pages'):
    require_pages(path, 3, 'b.tif')
  np.testing.assert_array_equal(read_mask(path, SHAPE, 1).labels, stack[1])
  with pytest.raises(InputError, match=r'a\.tif: found 2 pages'):
    read_mask(path, SHAPE, 2)


# What is no mask


def write_smooth_colours(path):
  write(path.with_suffix('.jpg'), TABLE[disks()])
  Image.open(path.with_suffix('.jpg')).save(path)


def write_classes(path):
  values = np.zeros(SHAPE, 'uint8')
  values[::3, ::3] = np.arange(20 * 27).reshape(20, 27) % 3
  write(path, values)


NO_MASKS = {
  'missing.png': (lambda path: None, 'no such file'),
  'a.czi': (lambda path: path.touch(), 'suffix'),
  'size.png': (lambda path: write(path, np.eye(9) > 0), '9 x 9'),
  'black.png': (lambda path: write(path, np.zeros(SHAPE, 'uint8')), 'background only'),
  'white.png': (lambda path: write(path, np.ones(SHAPE, 'uint8')), 'foreground only'),
  'full.tif': (lambda path: write(path, disks() + 1), 'foreground only'),
  'coloured.png': (lambda path: write(path, TABLE[np.minimum(disks() + 1, 4)]), 'foreground only'),
  'clear.png': (lambda path: write(path, np.zeros((*SHAPE, 4), 'uint8')), 'background only'),
  'nan.npy': (lambda path: write(path, np.full(SHAPE, np.nan)), 'NaN'),
  'negative.npy': (lambda path: write(path, disks() - 2), 'negative'),
  'fraction.npy': (lambda path: write(path, disks() / 3), 'fractional'),
  'classes.tif': (write_classes, 'classes'),
  'image.npy': (lambda path: write(path, np.indices(SHAPE).sum(0)), 'like an image'),
  'smooth.png': (write_smooth_colours, 'soft edges'),
  'float.npy': (lambda path: write(path, np.ones((*SHAPE, 3))), 'float64'),
  'channels.tif': (
    lambda path: tifffile.imwrite(path, np.ones((2, *SHAPE)), metadata={'axes': 'CYX'}),
    '2 channels',
  ),
}


@pytest.mark.parametrize('name', NO_MASKS)
def test_what_is_no_mask_is_named_in_one_line(tmp_path, name):
  prepare, reason = NO_MASKS[name]
  prepare(tmp_path / name)
  with pytest.raises(InputError, match=reason) as error:
    read_mask(tmp_path / name, SHAPE)
  assert str(error.value).startswith(f'{tmp_path / name}: ')
  assert '\n' not in str(error.value)


def test_a_mask_without_objects_is_read_if_that_is_allowed(tmp_path):
  path = write(tmp_path / 'a.npy', np.zeros(SHAPE, 'uint8'))
  assert not read_mask(path, SHAPE, allow_empty=True).labels.any()
  with pytest.raises(InputError, match='found foreground only'):
    read_mask(write(path, np.ones(SHAPE)), SHAPE, allow_empty=True)


def test_a_mask_of_specks_has_too_many_objects(tmp_path):
  specks = np.zeros((600, 600), 'bool')
  specks[::2, ::2] = True
  with pytest.raises(InputError, match='found 90,000 objects, expected at most 65,535'):
    read_mask(write(tmp_path / 'a.png', specks), specks.shape)


def touching():
  """(40, 60) labels: the squares 1 and 2 touch, 3 is apart; 100 pixels each."""
  labels = np.zeros((40, 60), 'int32')
  labels[5:15, 5:15], labels[5:15, 15:25], labels[20:30, 40:50] = 1, 2, 3
  return labels


@pytest.mark.parametrize('name', ['a.png', 'a.bmp', 'a.gif'])
def test_indices_count_where_a_palette_has_one_colour_for_several(tmp_path, name):
  labels = touching()
  picture = Image.fromarray(labels.astype('uint8')).convert('P')
  picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 255, 0, 0] + 252 * [0, 0, 0])
  picture.putdata(labels.ravel().tolist())
  picture.save(tmp_path / name)
  mask = read_mask(tmp_path / name, labels.shape)
  np.testing.assert_array_equal(mask.labels, labels)
  assert any('palette' in note for note in mask.notes)


@pytest.mark.parametrize(('low', 'high'), [(1, 2), (100, 200), (0, 1)])
def test_a_guess_of_the_foreground_is_noted(tmp_path, low, high):
  foreground = disks() > 0
  path = write(tmp_path / 'a.png', np.where(foreground, high, low).astype('uint8'))
  notes = read_mask(path, SHAPE).notes
  assert len(notes) == (low != 0)
  assert all(str(high) in note and str(low) in note for note in notes)


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.npy'])
def test_the_user_names_the_foreground(tmp_path, name):
  classes = np.array([1, 2, 3, 2, 3], 'uint8')[disks()]
  path = write(tmp_path / name, classes)
  for value in (1, 2, 3):
    mask = read_mask(path, SHAPE, foreground=value)
    np.testing.assert_array_equal(mask.labels, components(classes == value))
    assert not mask.instances
  with pytest.raises(InputError, match='found the values 1, 2, 3, expected 9') as error:
    read_mask(path, SHAPE, foreground=9)
  assert error.value.arguments == ('foreground',)


def test_colours_have_no_foreground_to_name(tmp_path):
  path = write(tmp_path / 'a.png', TABLE[disks()])
  with pytest.raises(InputError, match='found colours'):
    read_mask(path, SHAPE, foreground=1)


def test_labels_that_end_at_255_are_noted(tmp_path):
  labels = np.zeros((200, 200), 'int32')
  labels.reshape(20, 10, 20, 10)[:, 2:8, :, 2:8] = np.arange(1, 401).reshape(20, 1, 20, 1)
  path = write(tmp_path / 'a.png', np.minimum(labels, 255).astype('uint8'))
  with pytest.raises(InputError, match='pieces'):  # 146 objects share one value
    read_mask(write(tmp_path / 'b.png', (labels % 50).astype('uint8')), labels.shape)
  assert any('cut' in note for note in read_mask(path, labels.shape).notes)
  whole = write(tmp_path / 'c.tif', labels.astype('uint16'))
  assert not read_mask(whole, labels.shape).notes


def test_predictions_may_be_empty_full_or_of_many_objects(tmp_path):
  for values in (np.zeros(SHAPE), np.ones(SHAPE)):
    path = write(tmp_path / 'a.npy', values)
    mask = read_mask(path, SHAPE, predicted=True)
    np.testing.assert_array_equal(mask.labels > 0, values > 0)
  many = np.zeros((780, 780), 'int32')
  many.reshape(260, 3, 260, 3)[:, :2, :, :2] = np.arange(1, 260**2 + 1).reshape(260, 1, 260, 1)
  path = write(tmp_path / 'b.npy', many)
  np.testing.assert_array_equal(read_mask(path, many.shape, predicted=True).labels, many)
  with pytest.raises(InputError, match='found 67,600 objects'):
    read_mask(path, many.shape)


class Malicious:
  """Runs code when it is unpickled."""

  def __reduce__(self):
    return (exec, ('raise SystemExit("run")',))


def test_masks_of_cellposes_own_file(tmp_path):
  labels = touching()
  content = {
    'outlines': labels,
    'masks': labels.astype('uint16'),
    'flows': [labels],
    'x': Path('a'),
  }
  np.save(tmp_path / 'a_seg.npy', content)
  require_pages(tmp_path / 'a_seg.npy', 1, 'a.tif')
  assert_mask(tmp_path / 'a_seg.npy', labels, instances=True)
  np.save(tmp_path / 'b_seg.npy', content | {'x': Malicious()})
  assert_mask(tmp_path / 'b_seg.npy', labels, instances=True)  # and runs nothing
  np.save(tmp_path / 'c_seg.npy', {'outlines': labels})
  with pytest.raises(InputError, match='without masks'):
    read_mask(tmp_path / 'c_seg.npy', labels.shape)
  np.save(tmp_path / 'd_seg.npy', labels)  # a plain array of that name
  assert_mask(tmp_path / 'd_seg.npy', labels, instances=True)


def square(left, top, right, bottom):
  return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def write_geojson(path, *geometries):
  features = [{'type': 'Feature', 'geometry': geometry} for geometry in geometries]
  path.write_text(json.dumps({'type': 'FeatureCollection', 'features': features}))
  return path


def test_polygons_of_geojson(tmp_path):
  one = {'type': 'Polygon', 'coordinates': [square(5, 5, 15, 15), square(7, 7, 9, 9)]}
  two = {'type': 'MultiPolygon', 'coordinates': [[square(20, 5, 25, 9)], [square(10, 10, 30, 30)]]}
  point = {'type': 'Point', 'coordinates': [1, 2]}
  expected = np.zeros(SHAPE, 'int32')
  expected[5:9, 20:25] = expected[10:30, 10:30] = 2
  expected[5:15, 5:15] = 1
  expected[7:9, 7:9] = 0
  mask = read_mask(write_geojson(tmp_path / 'a.geojson', one, two, point), SHAPE)
  np.testing.assert_array_equal(mask.labels, expected)
  assert mask.instances
  assert 'points or lines' in mask.notes[0]
  (tmp_path / 'b.geojson').write_text(json.dumps([{'type': 'Feature', 'geometry': one}]))
  labels = read_mask(tmp_path / 'b.geojson', SHAPE).labels
  np.testing.assert_array_equal(labels, expected * (expected == 1))


def test_polygons_lie_on_their_slice(tmp_path):
  shapes = [
    {'type': 'Polygon', 'coordinates': [square(5, 5, 15, 15)], 'plane': {'c': -1, 'z': z, 't': 0}}
    for z in (0, 2)
  ]
  path = write_geojson(tmp_path / 'a.geojson', *shapes)
  found = [read_mask(path, SHAPE, z, pages=3, allow_empty=True).labels.sum() for z in range(3)]
  assert found == [100, 0, 100]


@pytest.mark.parametrize(
  ('content', 'reason'),
  [
    ('hello', 'decoded'),
    ('{}', 'no area'),
    ('[3]', 'decoded'),
    (
      json.dumps({'type': 'Polygon', 'coordinates': [square(90, 90, 99, 99)]}),
      'outside the image',
    ),
  ],
)
def test_geojson_without_areas_in_the_image_is_named_in_one_line(tmp_path, content, reason):
  path = tmp_path / 'a.geojson'
  path.write_text(content)
  with pytest.raises(InputError, match=reason) as error:
    read_mask(path, SHAPE)
  assert str(error.value).startswith(f'{path}: ')
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(('dtype', 'value'), [('int16', -9999), ('uint8', 255), ('float32', -1)])
def test_pixels_without_data_are_background(tmp_path, dtype, value):
  values = disks().astype(dtype)
  values[:3] = value
  tag = (42113, 's', 0, str(value), True)
  tifffile.imwrite(tmp_path / 'a.tif', values, photometric='minisblack', extratags=[tag])
  mask = read_mask(tmp_path / 'a.tif', SHAPE)
  np.testing.assert_array_equal(mask.labels, disks())
  assert any('no data' in note for note in mask.notes)


def test_a_background_without_data_stays_background(tmp_path):
  tag = (42113, 's', 0, '0', True)
  values = disks().astype('uint8')
  tifffile.imwrite(tmp_path / 'a.tif', values, photometric='minisblack', extratags=[tag])
  mask = read_mask(tmp_path / 'a.tif', SHAPE)
  np.testing.assert_array_equal(mask.labels, disks())
  assert not mask.notes
