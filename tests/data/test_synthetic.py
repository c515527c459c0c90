"""The simulated data sets: repeatable, exact, and as hard as those they imitate."""

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu

from fscs.data.image_sets import ImageSet
from fscs.data.synthetic import simulate
from fscs.errors import InputError

CODES = ('B5', 'B39', 'ssTEM', 'EM', 'TNBC')
SHAPE = (260, 348)
NUM_IMAGES = 4

# Mean share of foreground over many images. Real: 0.18, 0.21, 0.055, 0.06, 0.10.
FOREGROUND = {
  'B5': (0.03, 0.35),
  'B39': (0.12, 0.28),
  'ssTEM': (0.03, 0.09),
  'EM': (0.03, 0.10),
  'TNBC': (0.04, 0.20),
}
# Objects in an image of this size. Real: about 2 to 25, 8 to 35, 1 to 4, 1 to 4, 3 to 60.
NUM_OBJECTS = {'B5': (2, 30), 'B39': (8, 45), 'ssTEM': (1, 8), 'EM': (1, 8), 'TNBC': (3, 120)}

# With the dark or the bright side of a threshold as the foreground.
DARK = {'B5': False, 'B39': False, 'ssTEM': True, 'EM': True, 'TNBC': True}
OTSU_IOU = {'B5': (0.8, 1), 'B39': (0.8, 1), 'ssTEM': (0, 0.5), 'EM': (0, 0.5), 'TNBC': (0, 0.6)}


@pytest.fixture(scope='module')
def simulated() -> dict[str, ImageSet]:
  return {code: simulate(code, num_images=NUM_IMAGES, shape=SHAPE, seed=3) for code in CODES}


def grey_of(image):
  return rgb2gray(image) if image.ndim == 3 else image


def iou(first, second):
  return (first & second).sum() / (first | second).sum()


@pytest.mark.parametrize('code', CODES)
def test_an_image_depends_on_seed_and_index_but_not_on_the_number_of_images(code, simulated):
  images, masks, names, labels = simulated[code][1:]
  fewer = simulate(code, num_images=2, shape=SHAPE, seed=3)
  for index in range(2):
    assert fewer.images[index].tobytes() == images[index].tobytes()
    assert fewer.labels[index].tobytes() == labels[index].tobytes()
  assert fewer.names == names[:2]
  other_seed = simulate(code, num_images=1, shape=SHAPE, seed=4)
  assert (other_seed.masks[0] != masks[0]).any()
  assert (masks[0] != masks[1]).any()


@pytest.mark.parametrize('code', CODES)
def test_arrays_have_the_layout_of_the_real_data_set(code, simulated):
  image_set = simulated[code]
  assert image_set.code == code
  assert len(set(image_set.names)) == NUM_IMAGES
  for image, mask, labels in zip(image_set.images, image_set.masks, image_set.labels, strict=True):
    assert image.shape == ((*SHAPE, 3) if code == 'TNBC' else SHAPE)
    assert image.dtype == (np.uint16 if code == 'B39' else np.uint8)
    assert (mask.shape, mask.dtype) == (SHAPE, bool)
    assert (labels.shape, labels.dtype) == (SHAPE, np.int32)


@pytest.mark.parametrize(
  ('code', 'shape'), [('B5', (520, 696)), ('EM', (768, 1024)), ('TNBC', (512, 512))]
)
def test_the_default_size_is_that_of_the_real_images(code, shape):
  image_set = simulate(code, num_images=1)
  assert image_set.masks[0].shape == image_set.images[0].shape[:2] == shape


@pytest.mark.parametrize('code', CODES)
@pytest.mark.parametrize('shape', [(64, 64), (65, 131)])
def test_small_images_have_foreground_and_background(code, shape):
  for mask in simulate(code, num_images=3, shape=shape).masks:
    assert mask.shape == shape
    assert 0 < mask.mean() < 0.9


@pytest.mark.parametrize('code', CODES)
def test_labels_agree_with_masks_and_number_about_as_many_objects_as_in_reality(code, simulated):
  for mask, labels in zip(simulated[code].masks, simulated[code].labels, strict=True):
    np.testing.assert_array_equal(mask, labels > 0)
    assert np.unique(labels[mask]).tolist() == list(range(1, labels.max() + 1))
    assert NUM_OBJECTS[code][0] <= labels.max() <= NUM_OBJECTS[code][1]
  low, high = FOREGROUND[code]
  assert low < np.mean([mask.mean() for mask in simulated[code].masks]) < high


def test_the_camera_of_b39_has_an_offset_and_twelve_bits(simulated):
  images = np.stack(simulated['B39'].images)
  assert 90 < images.min() < 140
  assert 1000 < images.max() <= 4095
  assert np.median(images) < 250


@pytest.mark.parametrize('code', ['ssTEM', 'EM', 'TNBC'])
def test_the_foreground_is_darker_but_overlaps_the_background_in_grey(code, simulated):
  images = np.stack([grey_of(image) for image in simulated[code].images])
  masks = np.stack(simulated[code].masks)
  assert images[masks].mean() < images[~masks].mean()
  assert np.percentile(images[masks], 75) > np.percentile(images[~masks], 5)


@pytest.mark.parametrize('code', CODES)
def test_a_threshold_segments_bright_cells_only(code, simulated):
  scores = []
  for image, mask in zip(simulated[code].images, simulated[code].masks, strict=True):
    grey = grey_of(image)
    scores.append(iou((grey > threshold_otsu(grey)) != DARK[code], mask))
    if code in ('ssTEM', 'EM'):
      assert max(iou(grey < threshold, mask) for threshold in range(30, 200, 10)) < 0.6
  low, high = OTSU_IOU[code]
  assert low < np.mean(scores) < high


@pytest.mark.parametrize(
  'options',
  [{'code': 'B6'}, {'num_images': 0}, {'shape': (63, 200)}, {'shape': (64, 64, 3)}, {'seed': -1}],
)
def test_arguments_out_of_range_are_named(options):
  with pytest.raises(InputError) as caught:
    simulate(**({'code': 'B5'} | options))
  assert caught.value.arguments == tuple(options)
