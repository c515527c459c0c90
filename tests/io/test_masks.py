"""Masks on shapes of known pixels, ROIs of known areas, and pairing by name."""

import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import tifffile
from PIL import Image, ImageDraw
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi
from scipy import ndimage
from skimage import draw
from skimage.measure import label
from skimage.transform import resize

from fscs import io as images
from fscs.errors import InputError

SHAPE = (60, 80)


def disks():
  """(60, 80) labels 0 to 4; the disks 1 and 2 touch."""
  labels = np.zeros(SHAPE, 'int32')
  for number, centre in enumerate([(15, 15), (15, 31), (40, 20), (40, 60)], start=1):
    labels[draw.disk(centre, 8.5)] = number
  return labels


def write(path, values):
  if path.suffix == '.npy':
    np.save(path, values)
  elif path.suffix == '.tif':
    tifffile.imwrite(path, values, photometric='rgb' if values.shape[-1] == 3 else 'minisblack')
  else:
    Image.fromarray(values).save(path)
  return path


def assert_mask(path, labels, instances):
  mask = images.read_mask(path, labels.shape)
  assert mask.labels.dtype == np.int32
  assert mask.instances == instances
  np.testing.assert_array_equal(mask.labels, labels)


# Values


@pytest.mark.parametrize(
  ('name', 'low', 'high', 'dtype'),
  [
    *[('a.png', 0, 1, 'bool'), ('a.png', 0, 255, 'uint8'), ('a.png', 100, 101, 'uint8')],
    *[('a.bmp', 0, 255, 'uint8'), ('a.tif', 0, 65_535, 'uint16'), ('a.tif', 1, 2, 'int32')],
    *[('a.npy', -1, 0, 'int64'), ('a.npy', 0, 0.25, 'float32')],
  ],
)
def test_the_larger_of_two_values_is_foreground(tmp_path, name, low, high, dtype):
  foreground = disks() > 0
  path = write(tmp_path / name, np.where(foreground, high, low).astype(dtype))
  assert_mask(path, label(foreground, connectivity=1), instances=False)


def test_objects_touch_at_sides_not_at_corners(tmp_path):
  path = write(tmp_path / 'a.png', np.array([[1, 0, 0], [0, 1, 1]], 'bool'))
  assert_mask(path, np.array([[1, 0, 0], [0, 2, 2]]), instances=False)


@pytest.mark.parametrize(
  ('name', 'dtype'),
  [
    *[('a.png', dtype) for dtype in ('uint8', 'uint16')],
    *[('a.tif', dtype) for dtype in ('uint16', 'uint32', 'int32', 'float32')],
    *[('a.npy', dtype) for dtype in ('uint8', 'int64', 'float64')],
  ],
)
def test_labels_with_gaps_are_kept_apart_and_renumbered(tmp_path, name, dtype):
  values = np.array([0, 3, 40, 41, 255])[disks()].astype(dtype)
  assert_mask(write(tmp_path / name, values), disks(), instances=True)


def test_a_label_in_two_pieces_is_one_object(tmp_path):
  labels = np.array([[1, 0, 1, 0, 2]], 'uint8')
  assert_mask(write(tmp_path / 'a.png', labels), labels, instances=True)


def test_thin_touching_and_many_labels_are_not_taken_for_soft_edges(tmp_path):
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


def drawn_smoothly():
  """(60, 80) uint8, disks drawn eight times as large and shrunk."""
  image = Image.new('L', (640, 480))
  for row, column in [(15, 15), (30, 60)]:
    ends = [8 * (column - 9), 8 * (row - 9), 8 * (column + 9), 8 * (row + 9)]
    ImageDraw.Draw(image).ellipse(ends, fill=255)
  return np.asarray(image.resize((80, 60), Image.Resampling.BILINEAR))


def test_soft_edges_are_cut_half_way(tmp_path):
  smooth = drawn_smoothly()
  assert len(np.unique(smooth)) > 20
  expected = label(smooth > 127, connectivity=1)
  assert expected.max() == 2
  assert_mask(write(tmp_path / 'a.png', smooth), expected, instances=False)
  assert_mask(write(tmp_path / 'a.npy', smooth / 255), expected, instances=False)
  dim = np.rint(smooth * 0.5).astype('uint8')
  assert_mask(write(tmp_path / 'b.png', dim), expected, instances=False)


@pytest.mark.parametrize('quality', [50, 75, 95])
def test_jpeg_masks_are_cut_half_way(tmp_path, quality):
  foreground = disks() > 0
  Image.fromarray(foreground).convert('L').save(tmp_path / 'a.jpg', quality=quality)
  assert_mask(tmp_path / 'a.jpg', label(foreground, connectivity=1), instances=False)


def many_disks():
  """(160, 200) float, disks of radius 10 at 1 to 14."""
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
def test_labels_that_were_smoothed_are_no_binary_mask(tmp_path, name, change):
  values = change(many_disks())
  if name.endswith('.tif'):
    write(tmp_path / name, values.astype('float32'))
  else:
    Image.fromarray(values.astype('uint8')).save(tmp_path / name)
  with pytest.raises(InputError, match=r'labels that were smoothed, .* by the nearest neighbour'):
    images.read_mask(tmp_path / name, values.shape)


@pytest.mark.parametrize('blur', [0.7, 2, 4])
@pytest.mark.parametrize('quality', [50, 95])
def test_binary_masks_of_any_softness_are_no_labels(tmp_path, blur, quality):
  smooth = ndimage.gaussian_filter((many_disks() > 0) * 255.0, blur)
  Image.fromarray(np.rint(smooth).astype('uint8')).save(tmp_path / 'a.jpg', quality=quality)
  found = images.read_mask(tmp_path / 'a.jpg', smooth.shape)
  assert (found.labels.max(), found.instances) == (14, False)


# Colours

TABLE = np.array([(0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 0), (9, 0, 200)], 'uint8')


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.npy', 'a.bmp'])
def test_each_colour_is_an_object(tmp_path, name):
  order = np.array([0, 3, 1, 4, 2])  # of red, then green, then blue
  assert_mask(write(tmp_path / name, TABLE[disks()]), order[disks()], instances=True)


def test_few_colours_in_many_pieces_only_tell_neighbours_apart(tmp_path):
  squares = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((4, 4), int))  # they touch
  squares[:, ::4] = 0
  colours = TABLE[np.where(squares > 0, 1 + squares % 2 + 2 * ((squares - 1) // 5 % 2), 0)]
  path = write(tmp_path / 'a.png', colours)
  mask = images.read_mask(path, squares.shape)
  assert mask.instances
  assert len(np.unique(mask.labels)) == 26
  assert len(np.unique(np.stack([mask.labels, squares]).reshape(2, -1), axis=1).T) == 26


def test_transparent_is_background_whatever_its_colour(tmp_path):
  labels = disks()
  rgba = np.dstack([TABLE[labels], np.where(labels == 2, 0, 255)]).astype('uint8')
  rgba[labels == 0] = (7, 7, 7, 0)
  labels = np.array([0, 2, 0, 3, 1])[labels]
  assert_mask(write(tmp_path / 'a.png', rgba), labels, instances=True)


def test_palette_png_is_a_mask_of_colours(tmp_path):
  image = Image.fromarray(disks().astype('uint8')).convert('P')
  image.putpalette(TABLE.ravel().tolist())
  image.save(tmp_path / 'a.png')
  assert_mask(tmp_path / 'a.png', np.array([0, 3, 1, 4, 2])[disks()], instances=True)


def test_one_colour_is_binary_and_grey_colours_are_values(tmp_path):
  foreground = disks() > 0
  components = label(foreground, connectivity=1)
  assert_mask(write(tmp_path / 'a.png', TABLE[foreground * 1]), components, instances=False)
  path = write(tmp_path / 'a.png', np.repeat(foreground[..., None] * np.uint8(255), 3, axis=-1))
  assert_mask(path, components, instances=False)
  path = write(tmp_path / 'a.png', np.repeat(disks()[..., None].astype('uint8') * 9, 3, axis=-1))
  assert_mask(path, disks(), instances=True)


# Pages


def test_pages_of_a_mask(tmp_path):
  stack = np.stack([disks(), disks()[::-1]]).astype('uint16')
  path = write(tmp_path / 'a.tif', stack)
  images.require_pages(path, 2, 'a.tif')
  with pytest.raises(InputError, match=r'found 2 pages, expected 3 as in b\.tif; give the mask of'):
    images.require_pages(path, 3, 'b.tif')
  np.testing.assert_array_equal(images.read_mask(path, SHAPE, 1).labels, stack[1])
  with pytest.raises(InputError, match='found 2 pages, expected page 3'):
    images.read_mask(path, SHAPE, 2)
  images.require_pages(write(tmp_path / 'a.png', stack[0]), 1, 'a.tif')


# ROIs


def roi(kind, left, top, right, bottom, **fields):
  return ImagejRoi(roitype=kind, left=left, top=top, right=right, bottom=bottom, **fields)


def rectangle(*box, **fields):
  return roi(ROI_TYPE.RECT, *box, **fields)


def read_rois(path, *rois):
  if path.suffix == '.roi':
    rois[0].tofile(path)
  else:
    roifile.roiwrite(path, list(rois), name=[f'{number}.roi' for number in range(len(rois))])
  mask = images.read_mask(path, SHAPE)
  assert mask.instances
  return mask.labels


def test_rois_of_a_stack_are_on_the_page_of_their_position(tmp_path):
  path = tmp_path / 'a.zip'
  boxes = (10, 5, 30, 9), (2, 2, 4, 4), (20, 20, 30, 25)
  rois = [rectangle(*box, position=place) for box, place in zip(boxes, (3, 1, 3), strict=True)]
  together = read_rois(path, *rois)
  images.require_pages(path, 3, 'a.tif')
  pages = [
    images.read_mask(path, SHAPE, page, pages=3, allow_empty=True).labels for page in range(3)
  ]
  np.testing.assert_array_equal(pages[0], together == 2)
  assert not pages[1].any()
  np.testing.assert_array_equal(pages[2], np.choose(together, [0, 1, 0, 2]))
  for count, position in ((2, 3), (4, 0)):
    path = tmp_path / f'{count}.roi'
    read_rois(path, rectangle(2, 2, 9, 9, position=position))
    message = f'at position {position}, expected one of the {count} pages of the image; draw it on'
    with pytest.raises(InputError, match=message):
      images.read_mask(path, SHAPE, pages=count, allow_empty=True)


def test_rectangle_roi_covers_the_pixels_whose_centre_is_in_it(tmp_path):
  expected = np.zeros(SHAPE, bool)
  expected[5:9, 10:30] = True
  np.testing.assert_array_equal(read_rois(tmp_path / 'a.roi', rectangle(10, 5, 30, 9)), expected)
  shifted = rectangle(10, 5, 13, 8, version=228, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
  shifted.xd, shifted.yd, shifted.widthd, shifted.heightd = (
    10.6,
    5.4,
    2,
    2,
  )  # centres 11.5, 12.5; 5.5, 6.5
  expected[:] = False
  expected[5:7, 11:13] = True
  np.testing.assert_array_equal(read_rois(tmp_path / 'a.roi', shifted), expected)


@pytest.mark.parametrize('box', [(10, 5, 31, 16), (20, 10, 40, 50)])
def test_oval_roi_is_an_ellipse(tmp_path, box):
  left, top, right, bottom = box
  rows, columns = np.indices(SHAPE) + 0.5
  distance = ((columns - (left + right) / 2) / ((right - left) / 2)) ** 2
  distance += ((rows - (top + bottom) / 2) / ((bottom - top) / 2)) ** 2
  labels = read_rois(tmp_path / 'a.roi', roi(ROI_TYPE.OVAL, *box))
  np.testing.assert_array_equal(labels, distance < 1)


@pytest.mark.parametrize('kind', ['POLYGON', 'FREEHAND', 'TRACED'])
def test_polygon_roi(tmp_path, kind):
  # An L of 6 x 10 + 4 x 4 pixels.
  corners = [(10, 20), (16, 20), (16, 26), (20, 26), (20, 30), (10, 30)]
  polygon = ImagejRoi.frompoints(corners)
  polygon.roitype = ROI_TYPE[kind]
  expected = np.zeros(SHAPE, bool)
  expected[20:30, 10:16] = expected[26:30, 16:20] = True
  labels = read_rois(tmp_path / 'a.roi', polygon)
  np.testing.assert_array_equal(labels, expected)
  assert labels.sum() == 76


def test_a_right_triangle_has_half_of_its_square(tmp_path):
  # Centres on the diagonal are inside where it is a left edge, as in ImageJ.
  below = read_rois(tmp_path / 'a.roi', ImagejRoi.frompoints([(10, 10), (20, 20), (10, 20)]))
  above = read_rois(tmp_path / 'b.roi', ImagejRoi.frompoints([(10, 10), (20, 10), (20, 20)]))
  assert (below.sum(), above.sum()) == (45, 55)
  assert (below + above)[10:20, 10:20].min() == (below + above).max() == 1


def test_polygon_roi_between_pixels(tmp_path):
  corners = np.array([(10.6, 5.4), (20.6, 5.4), (20.6, 8.6), (10.6, 8.6)], 'float32')
  labels = read_rois(tmp_path / 'a.roi', ImagejRoi.frompoints(corners))
  assert labels.sum() == labels[5:9, 11:21].sum() == 4 * 10


def test_archive_keeps_the_order_and_the_earlier_pixels(tmp_path):
  rois = [rectangle(0, 0, 10, 10), rectangle(2, 2, 8, 8), rectangle(5, 5, 90, 15)]
  labels = read_rois(tmp_path / 'a.zip', *rois)
  expected = np.zeros(SHAPE, int)
  expected[5:15, 5:] = 2  # the second is hidden
  expected[:10, :10] = 1
  np.testing.assert_array_equal(labels, expected)
  with zipfile.ZipFile(tmp_path / 'a.zip', 'a') as archive:
    archive.writestr('__MACOSX/._0.roi', b'not a ROI')
    archive.writestr('readme.txt', b'not a ROI')
  np.testing.assert_array_equal(images.read_mask(tmp_path / 'a.zip', SHAPE).labels, expected)


def test_composite_roi_has_holes(tmp_path):
  def path(left, top, right, bottom):
    return [0, left, top, 1, right, top, 1, right, bottom, 1, left, bottom, 4]

  parts = np.array(path(10, 10, 20, 20) + path(12, 12, 15, 15) + path(30, 10, 33, 12), 'float32')
  composite = rectangle(10, 10, 33, 20, shape_roi_size=len(parts), multi_coordinates=parts)
  labels = read_rois(tmp_path / 'a.roi', composite)
  assert labels.sum() == 100 - 9 + 6
  assert not labels[12:15, 12:15].any()


# What is no mask


def write_smooth_colours(path):
  Image.fromarray(TABLE[disks()]).save(path.with_suffix('.jpg'))
  Image.open(path.with_suffix('.jpg')).save(path)


def write_classes(path):
  values = np.zeros(SHAPE, 'uint8')
  values[::3, ::3] = np.arange(20 * 27).reshape(20, 27) % 3
  write(path, values)


NO_MASKS = {
  'missing.png': (lambda path: None, 'no such file'),
  'a.czi': (lambda path: path.touch(), "unknown suffix '.czi', expected one of .tif"),
  'empty.roi': (lambda path: path.touch(), 'empty file of 0 bytes'),
  'text.zip': (lambda path: path.write_text('hello'), 'cannot be decoded as .zip'),
  'text.roi': (lambda path: path.write_text('hello'), 'cannot be decoded as .roi'),
  'size.png': (lambda path: write(path, np.eye(9) > 0), '9 x 9 pixels (height x width), expected'),
  'black.png': (lambda path: write(path, np.zeros(SHAPE, 'uint8')), 'found background only'),
  'white.png': (lambda path: write(path, np.ones(SHAPE, 'uint8')), 'found foreground only'),
  'full.tif': (lambda path: write(path, disks() + 1), 'found foreground only'),
  'coloured.png': (lambda path: write(path, TABLE[disks() + 1 - (disks() > 3)]), 'foreground only'),
  'clear.png': (lambda path: write(path, np.zeros((*SHAPE, 4), 'uint8')), 'background only'),
  'nan.npy': (lambda path: write(path, np.full(SHAPE, np.nan)), '4,800 pixels that are NaN'),
  'negative.npy': (lambda path: write(path, disks() - 2), 'negative or fractional labels'),
  'fraction.npy': (lambda path: write(path, disks() / 3), 'negative or fractional labels'),
  'classes.tif': (write_classes, 'found 2 values in 360 pieces'),
  'image.npy': (lambda path: write(path, np.indices(SHAPE).sum(0)), 'change as in an image'),
  'smooth.png': (write_smooth_colours, 'save it as PNG without smoothing'),
  'float.npy': (lambda path: write(path, np.ones((*SHAPE, 3))), 'colours of type float64'),
  'channels.tif': (
    lambda path: tifffile.imwrite(path, np.ones((2, *SHAPE)), metadata={'axes': 'CYX'}),
    'found 2 channels',
  ),
  'line.roi': (lambda path: roi(ROI_TYPE.LINE, 1, 1, 9, 9).tofile(path), 'line.roi of type LINE'),
  'away.roi': (lambda path: rectangle(90, 0, 99, 9).tofile(path), 'away.roi outside the image'),
  'whole.roi': (lambda path: rectangle(0, 0, 80, 60).tofile(path), 'found foreground only'),
  'none.zip': (lambda path: zipfile.ZipFile(path, 'w').close(), 'found no ROI'),
}


@pytest.mark.parametrize('name', NO_MASKS)
def test_what_is_no_mask_is_named_in_one_line(tmp_path, name):
  prepare, message = NO_MASKS[name]
  prepare(tmp_path / name)
  with pytest.raises(InputError) as error:
    images.read_mask(tmp_path / name, SHAPE)
  assert str(error.value).startswith(f'{tmp_path / name}: ')
  assert message in str(error.value)
  assert '\n' not in str(error.value)


def test_empty_masks_where_they_are_allowed(tmp_path):
  path = write(tmp_path / 'a.npy', np.zeros(SHAPE, 'uint8'))
  assert not images.read_mask(path, SHAPE, allow_empty=True).labels.any()
  with pytest.raises(InputError, match='found foreground only'):
    images.read_mask(write(path, np.ones(SHAPE)), SHAPE, allow_empty=True)


def test_too_many_objects(tmp_path):
  specks = np.zeros((600, 600), 'bool')
  specks[::2, ::2] = True
  write(tmp_path / 'a.png', specks)
  with pytest.raises(InputError, match=r'a\.png: found 90,000 objects, expected at most 65,535'):
    images.read_mask(tmp_path / 'a.png', (600, 600))


# Names


def paths(folder, names):
  return [Path(folder) / name for name in names.split()]


@pytest.mark.parametrize(
  ('image', 'mask'),
  [('a.tif', f'a{ending}.png') for ending in ('', *images.MASK_ENDINGS)]
  + [('a.ome.tif', 'a_masks.ome.tiff'), ('a_img.png', 'a_mask.png'), ('a-image.tif', 'a.roi')]
  + [('a_img.png', 'a_img.png'), ('a_img.png', 'a_img_rois.zip'), ('b.1.tif', 'b.1_seg.npy')]
  + [('x' * 200 + '.tif', 'x' * 200 + '_mask.tif')],
)
def test_masks_belong_to_images_by_name(image, mask):
  images_, masks = [Path('i', image), Path('i/other.tif')], [Path('m/none.png'), Path('m', mask)]
  assert images.match(images_, masks) == ([(images_[0], masks[1])], [images_[1]])


def test_accents_are_compared_after_normalisation():
  composed, apart = (unicodedata.normalize(form, 'Zelle_é细胞') for form in ('NFC', 'NFD'))
  assert composed != apart
  pair = Path(f'{composed}.tif'), Path(f'{apart}_mask.tif')
  assert images.match(pair[:1], pair[1:]) == ([pair], [])


def test_one_folder_of_images_and_masks():
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c.tif c.roi')
  pairs, without = images.match(both[:5], both)
  assert (pairs, without) == ([tuple(both[:2]), tuple(both[2:4]), tuple(both[4:])], [])


def test_a_folder_of_images_and_masks_is_sorted():
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c_mask.tif d.tif')
  assert images.separate(both, both) == ([both[0], both[2], *both[4:]], [both[1], both[3]])
  assert images.separate(both[:1], both[1:2]) == (both[:1], both[1:2])
  assert images.separate([], []) == ([], [])


def test_what_cellpose_keeps_for_itself_is_no_second_mask():
  masks = paths('m', 'a_cp_masks.png a_seg.npy b_seg.npy')
  pairs, _ = images.match(paths('i', 'a.tif b.tif'), masks)
  assert [mask.name for _, mask in pairs] == ['a_cp_masks.png', 'b_seg.npy']


def test_a_mask_with_the_name_of_an_image_is_for_that_one():
  pairs, _ = images.match(paths('i', 'a.tif a_seg.tif'), paths('m', 'a.tif a_seg.tif'))
  assert [(image.name, mask.name) for image, mask in pairs] == [('a.tif',) * 2, ('a_seg.tif',) * 2]


@pytest.mark.parametrize(
  ('left', 'right', 'message'),
  [
    ('a.png a.tif', 'a_mask.png', 'i/a.png, i/a.tif: found two images of one name'),
    ('a.png', 'a.tif a_mask.png', 'm/a.tif, m/a_mask.png: found two masks for i/a.png'),
    ('a.png', 'a_mask.png a_mask.tif', 'm/a_mask.png, m/a_mask.tif: found two masks'),
    ('a.png a_img.png', 'a_mask.png', 'found two images for the mask m/a_mask.png'),
    ('a.png b.png c.png d.png', 'A.png x.png y.png z.png', 'found the images a.png, b.png, c.png'),
    ('a.png', '', 'the masks nothing, expected masks named as the images, or with one of _mask'),
  ],
)
def test_names_that_do_not_pair(left, right, message):
  with pytest.raises(InputError) as error:
    images.match(paths('i', left), paths('m', right))
  assert message in str(error.value)
  assert '\n' not in str(error.value)
