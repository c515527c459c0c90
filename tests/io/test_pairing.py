"""Images and masks that belong together by name."""

import unicodedata
from pathlib import Path

import pytest

from fscs.errors import InputError
from fscs.io import MASK_ENDINGS, match, separate


def paths(folder, names):
  return [Path(folder) / name for name in names.split()]


@pytest.mark.parametrize(
  ('image', 'masks'),
  [
    ('a.tif', [f'a{ending}.png' for ending in ('', *MASK_ENDINGS)]),
    ('a.ome.tif', ['a_masks.ome.tiff']),
    ('a_img.png', ['a_mask.png', 'a_img.png', 'a_img_rois.zip']),
    ('a-image.tif', ['a.roi']),
    ('b.1.tif', ['b.1_seg.npy']),
    ('x' * 200 + '.tif', ['x' * 200 + '_mask.tif']),
  ],
)
def test_masks_belong_to_images_by_name(image, masks):
  images = [Path('i', image), Path('i/other.tif')]
  for mask in masks:
    found = match(images, [Path('m/none.png'), Path('m', mask)])
    assert found == ([(images[0], Path('m', mask))], [images[1]])


def test_accents_are_compared_after_normalisation():
  composed, decomposed = (unicodedata.normalize(form, 'Zelle_é细胞') for form in ('NFC', 'NFD'))
  assert composed != decomposed
  pair = Path(f'{composed}.tif'), Path(f'{decomposed}_mask.tif')
  assert match(pair[:1], pair[1:]) == ([pair], [])


def test_images_and_masks_may_share_a_folder():
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c.tif c.roi')
  assert match(both[:5], both) == ([tuple(both[:2]), tuple(both[2:4]), tuple(both[4:])], [])
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c_mask.tif d.tif')
  assert separate(both, both) == ([both[0], both[2], *both[4:]], [both[1], both[3]])


def test_the_file_of_cellpose_itself_is_not_a_second_mask():
  pairs, _ = match(paths('i', 'a.tif b.tif'), paths('m', 'a_cp_masks.png a_seg.npy b_seg.npy'))
  assert [pair.mask.name for pair in pairs] == ['a_cp_masks.png', 'b_seg.npy']


def test_a_mask_with_the_name_of_an_image_belongs_to_that_image():
  pairs, _ = match(paths('i', 'a.tif a_seg.tif'), paths('m', 'a.tif a_seg.tif'))
  assert [(image.name, mask.name) for image, mask in pairs] == [
    ('a.tif', 'a.tif'),
    ('a_seg.tif', 'a_seg.tif'),
  ]


@pytest.mark.parametrize(
  ('images', 'masks', 'named'),
  [
    ('a.png a.tif', 'a_mask.png', 'i/a.png, i/a.tif'),
    ('a.png', 'a.tif a_mask.png', 'm/a.tif, m/a_mask.png'),
    ('a.png a_img.png', 'a_mask.png', 'm/a_mask.png'),
    ('a.png b.png', 'A.png x.png', 'a.png, b.png'),
    ('a.png', '', 'a.png'),
  ],
)
def test_names_that_do_not_pair_are_named_in_one_line(images, masks, named):
  with pytest.raises(InputError) as error:
    match(paths('i', images), paths('m', masks))
  assert named in str(error.value)
  assert '\n' not in str(error.value)
