"""ImageJ ROIs of known areas."""

import zipfile

import numpy as np
import pytest
import roifile
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from fscs.errors import InputError
from fscs.io import read_mask, require_pages

SHAPE = (60, 80)


def roi(kind, left, top, right, bottom, **fields):
  return ImagejRoi(roitype=kind, left=left, top=top, right=right, bottom=bottom, **fields)


def rectangle(*box, **fields):
  return roi(ROI_TYPE.RECT, *box, **fields)


def region(rows, columns):
  inside = np.zeros(SHAPE, bool)
  inside[slice(*rows), slice(*columns)] = True
  return inside


def read(path, *rois):
  if path.suffix == '.roi':
    rois[0].tofile(path)
  else:
    roifile.roiwrite(path, list(rois), name=[f'{number}.roi' for number in range(len(rois))])
  mask = read_mask(path, SHAPE)
  assert mask.instances
  return mask.labels


def test_a_rectangle_covers_the_pixels_whose_centre_is_in_it(tmp_path):
  labels = read(tmp_path / 'a.roi', rectangle(10, 5, 30, 9))
  np.testing.assert_array_equal(labels, region((5, 9), (10, 30)))
  shifted = rectangle(10, 5, 13, 8, version=228, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
  shifted.xd, shifted.yd, shifted.widthd, shifted.heightd = 10.6, 5.4, 2, 2
  labels = read(tmp_path / 'a.roi', shifted)  # over the centres 5.5, 6.5 and 11.5, 12.5
  np.testing.assert_array_equal(labels, region((5, 7), (11, 13)))


@pytest.mark.parametrize('box', [(10, 5, 31, 16), (20, 10, 40, 50)])
def test_an_oval_is_an_ellipse(tmp_path, box):
  left, top, right, bottom = box
  rows, columns = np.indices(SHAPE) + 0.5
  distance = ((columns - (left + right) / 2) / ((right - left) / 2)) ** 2
  distance += ((rows - (top + bottom) / 2) / ((bottom - top) / 2)) ** 2
  np.testing.assert_array_equal(read(tmp_path / 'a.roi', roi(ROI_TYPE.OVAL, *box)), distance < 1)


@pytest.mark.parametrize('kind', ['POLYGON', 'FREEHAND', 'TRACED'])
def test_a_polygon_covers_the_centres_inside(tmp_path, kind):
  corners = [(10, 20), (16, 20), (16, 26), (20, 26), (20, 30), (10, 30)]
  expected = region((20, 30), (10, 16)) | region((26, 30), (16, 20))
  for shift in (0, 0.4):
    polygon = ImagejRoi.frompoints(np.array(corners) + np.float32(shift))
    polygon.roitype = ROI_TYPE[kind]
    np.testing.assert_array_equal(read(tmp_path / 'a.roi', polygon), expected)


def test_triangles_on_both_sides_of_a_diagonal_share_no_pixel(tmp_path):
  # Centres on the diagonal are inside where it is a left edge, as in ImageJ.
  below = read(tmp_path / 'a.roi', ImagejRoi.frompoints([(10, 10), (20, 20), (10, 20)]))
  above = read(tmp_path / 'b.roi', ImagejRoi.frompoints([(10, 10), (20, 10), (20, 20)]))
  assert (below.sum(), above.sum()) == (45, 55)
  np.testing.assert_array_equal(below + above, region((10, 20), (10, 20)))


def test_a_composite_has_holes(tmp_path):
  def path(left, top, right, bottom):
    return [0, left, top, 1, right, top, 1, right, bottom, 1, left, bottom, 4]

  parts = np.array(path(10, 10, 20, 20) + path(12, 12, 15, 15) + path(30, 10, 33, 12), 'float32')
  composite = rectangle(10, 10, 33, 20, shape_roi_size=len(parts), multi_coordinates=parts)
  expected = region((10, 20), (10, 20)) & ~region((12, 15), (12, 15))
  labels = read(tmp_path / 'a.roi', composite)
  np.testing.assert_array_equal(labels, expected | region((10, 12), (30, 33)))


def test_an_archive_keeps_its_order_and_the_earlier_pixels(tmp_path):
  path = tmp_path / 'a.zip'
  rois = [rectangle(0, 0, 10, 10), rectangle(2, 2, 8, 8), rectangle(5, 5, 90, 15)]
  labels = read(path, *rois)
  first = region((0, 10), (0, 10))
  later = region((5, 15), (5, 80)) & ~first  # number 2, since the second ROI is hidden
  np.testing.assert_array_equal(labels, first + 2 * later)
  with zipfile.ZipFile(path, 'a') as archive:
    archive.writestr('__MACOSX/._0.roi', b'not a ROI')
    archive.writestr('readme.txt', b'not a ROI')
  np.testing.assert_array_equal(read_mask(path, SHAPE).labels, labels)


def test_rois_of_a_stack_are_on_the_page_of_their_position(tmp_path):
  path = tmp_path / 'a.zip'
  together = read(
    path,
    rectangle(10, 5, 30, 9, position=3),
    rectangle(2, 2, 4, 4, position=1),
    rectangle(20, 20, 30, 25, position=3),
  )
  require_pages(path, 3, 'a.tif')
  pages = [read_mask(path, SHAPE, page, pages=3, allow_empty=True).labels for page in range(3)]
  np.testing.assert_array_equal(pages[0], together == 2)
  assert not pages[1].any()
  np.testing.assert_array_equal(pages[2], np.choose(together, [0, 1, 0, 2]))
  for count in (2, 4):  # no such page, or no position
    rectangle(2, 2, 9, 9, position=3 if count == 2 else 0).tofile(tmp_path / 'b.roi')
    with pytest.raises(InputError, match=r'b\.roi'):
      read_mask(tmp_path / 'b.roi', SHAPE, pages=count, allow_empty=True)


def test_rois_of_a_hyperstack_are_on_their_slice_and_frame(tmp_path):
  path = tmp_path / 'a.roi'
  position = {'version': 228, 'c_position': 1, 'z_position': 2, 't_position': 1}
  rectangle(5, 5, 15, 15, **position).tofile(path)

  def areas(*places):
    pages = [
      read_mask(path, SHAPE, number, pages=len(places), place=place, allow_empty=True)
      for number, place in enumerate(places)
    ]
    return [np.count_nonzero(page.labels) for page in pages]

  assert areas({'Z': 0}, {'Z': 1}, {'Z': 2}) == [0, 100, 0]
  assert areas({}, {}, {}) == [0, 100, 0]  # pages of an axis without a name
  assert areas(*({'T': t, 'Z': z} for t in range(2) for z in range(2))) == [0, 100, 0, 0]
  rectangle(5, 5, 15, 15, version=228, z_position=0, t_position=2).tofile(path)
  assert areas(*({'T': t, 'Z': z} for t in range(2) for z in range(2))) == [0, 0, 100, 100]


def test_bezier_curves_are_followed(tmp_path):
  k = 0.5523 * 10  # four cubic curves make a circle
  circle = [0, 30, 10, 3, 30, 10 + k, 20 + k, 20, 20, 20, 3, 20 - k, 20, 10, 10 + k, 10, 10]
  circle += [3, 10, 10 - k, 20 - k, 0, 20, 0, 3, 20 + k, 0, 30, 10 - k, 30, 10, 4]
  path = np.array(circle, 'float32')
  shape = rectangle(10, 0, 30, 20, shape_roi_size=len(path), multi_coordinates=path, version=228)
  labels = read(tmp_path / 'a.roi', shape)
  rows, columns = np.indices(SHAPE) + 0.5
  distance = np.hypot(rows - 10, columns - 20)
  assert labels[distance < 9.8].all()
  assert not labels[distance > 10.2].any()


def test_splines_are_said_to_be_read_as_polygons(tmp_path):
  polygon = ImagejRoi.frompoints([(10, 10), (30, 10), (20, 30)])
  polygon.options |= ROI_OPTIONS.SPLINE_FIT
  polygon.tofile(tmp_path / 'a.roi')
  assert 'splines' in read_mask(tmp_path / 'a.roi', SHAPE).notes[0]


BROKEN = {
  'empty.roi': (lambda path: path.touch(), '0 bytes'),
  'text.zip': (lambda path: path.write_text('hello'), 'decoded'),
  'text.roi': (lambda path: path.write_text('hello'), 'decoded'),
  'none.zip': (lambda path: zipfile.ZipFile(path, 'w').close(), 'no ROI'),
  'line.roi': (lambda path: roi(ROI_TYPE.LINE, 1, 1, 9, 9).tofile(path), 'LINE'),
  'away.roi': (lambda path: rectangle(90, 0, 99, 9).tofile(path), 'outside'),
  'whole.roi': (lambda path: rectangle(0, 0, 80, 60).tofile(path), 'foreground only'),
}


@pytest.mark.parametrize('name', BROKEN)
def test_files_without_areas_in_the_image_are_named_in_one_line(tmp_path, name):
  prepare, reason = BROKEN[name]
  prepare(tmp_path / name)
  with pytest.raises(InputError, match=reason) as error:
    read_mask(tmp_path / name, SHAPE)
  assert str(error.value).startswith(f'{tmp_path / name}: ')
  assert '\n' not in str(error.value)


def test_positions_that_the_pages_of_an_image_do_not_tell_are_refused(tmp_path):
  path = tmp_path / 'a.roi'
  rectangle(5, 5, 15, 15, version=228, z_position=2, t_position=2).tofile(path)
  with pytest.raises(InputError, match='slice 2, frame 2'):
    read_mask(path, SHAPE, 3, pages=4, allow_empty=True)  # which axis comes first?
  rectangle(5, 5, 15, 15, version=228, position=4, z_position=2, t_position=2).tofile(path)
  assert read_mask(path, SHAPE, 3, pages=4, allow_empty=True).labels.any()
