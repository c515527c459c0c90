"""Images and masks that belong together by name."""

import unicodedata
from pathlib import Path

import pytest

from fscs.errors import InputError
from fscs.io import IMAGE_SUFFIXES, MASK_ENDINGS, match, separate


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
    assert found == ([(images[0], Path('m', mask), ())], [images[1]])


def test_accents_are_compared_after_normalisation():
  composed, decomposed = (unicodedata.normalize(form, 'Zelle_é细胞') for form in ('NFC', 'NFD'))
  assert composed != decomposed
  pair = Path(f'{composed}.tif'), Path(f'{decomposed}_mask.tif')
  assert match(pair[:1], pair[1:]) == ([(*pair, ())], [])


def test_images_and_masks_may_share_a_folder():
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c.tif c.roi')
  pairs, without_mask = match(both[:5], both)
  assert [pair[:2] for pair in pairs] == list(zip(both[::2], both[1::2], strict=True))
  assert not without_mask
  both = paths('d', 'a.tif a_mask.tif b_img.tif b_seg.tif c_mask.tif d.tif')
  assert separate(both, both) == ([both[0], both[2], *both[4:]], [both[1], both[3]])


@pytest.mark.parametrize(
  ('files', 'best'),
  [
    ('a_cp_masks.png a_seg.npy a_rois.zip a_flows.tif a_cp_output.png', 'a_cp_masks.png'),
    ('a_seg.npy a_flows.tif', 'a_seg.npy'),
    ('a_labels.tif a_mask.tif a_rois.zip a_probability.tif a_overlay.png', 'a_labels.tif'),
    ('a_mask.tif a_RoiSet.zip', 'a_RoiSet.zip'),
    ('a_mask.png a.geojson', 'a.geojson'),
  ],
)
def test_labels_come_before_outlines_and_outlines_before_masks(files, best):
  folder = paths('m', f'a.tif {files}')
  images, masks = separate([p for p in folder if p.suffix in IMAGE_SUFFIXES], folder)
  assert [image.name for image in images] == ['a.tif']
  ((image, mask, others),) = match(images, masks)[0]
  assert (image.name, mask.name) == ('a.tif', best)
  assert {best, *(other.name for other in others)} == {mask.name for mask in masks}


def test_a_mask_with_the_name_of_an_image_belongs_to_that_image():
  pairs, _ = match(paths('i', 'a.tif a_seg.tif'), paths('m', 'a.tif a_seg.tif'))
  assert [(pair.image.name, pair.mask.name) for pair in pairs] == [
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
