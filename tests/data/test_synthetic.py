"""The simulated domains: repeatable, exact, and fair stand-ins for the data sets they imitate."""

import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu

from fscs.data.synthetic import simulate
from fscs.errors import InputError
from fscs.data.image_sets import ImageSet

CODES = ('B5', 'B39', 'ssTEM', 'EM', 'TNBC')
SHAPE = (260, 348)
NUM_IMAGES = 4

# Mean share of foreground over many images; the real ones: 0.18, 0.21, 0.055, 0.06, 0.10.
FOREGROUND = {
  'B5': (0.03, 0.35),
  'B39': (0.12, 0.28),
  'ssTEM': (0.03, 0.09),
  'EM': (0.03, 0.10),
  'TNBC': (0.04, 0.20),
}
# Objects in such an image: the real sets have about 2-25, 8-35, 1-4, 1-4 and 3-60.
NUM_OBJECTS = {'B5': (2, 30), 'B39': (8, 45), 'ssTEM': (1, 8), 'EM': (1, 8), 'TNBC': (3, 120)}


@pytest.fixture(scope='module')
def domains() -> dict[str, ImageSet]:
  return {code: simulate(code, num_images=NUM_IMAGES, shape=SHAPE, seed=3) for code in CODES}


def otsu_iou(image: np.ndarray, mask: np.ndarray, *, dark: bool) -> float:
  """IoU of the mask with what lies above (or, if dark, below) Otsu's threshold."""
  grey = rgb2gray(image) if image.ndim == 3 else image
  above = grey > threshold_otsu(grey)
  guess = ~above if dark else above
  return (guess & mask).sum() / (guess | mask).sum()


def mean_otsu_iou(domain: ImageSet, *, dark: bool) -> float:
  pairs = zip(domain.images, domain.masks, strict=True)
  return float(np.mean([otsu_iou(image, mask, dark=dark) for image, mask in pairs]))


@pytest.mark.parametrize('code', CODES)
def test_same_seed_gives_the_same_bytes(code, domains):
  again = simulate(code, num_images=2, shape=SHAPE, seed=3)
  for index in range(2):
    assert again.images[index].tobytes() == domains[code].images[index].tobytes()
    assert again.labels[index].tobytes() == domains[code].labels[index].tobytes()
    # The masks and names of fewer images are the first of more.
    np.testing.assert_array_equal(again.masks[index], domains[code].masks[index])
    assert again.names[index] == domains[code].names[index]


@pytest.mark.parametrize('code', CODES)
def test_seed_and_index_change_the_image(code, domains):
  other = simulate(code, num_images=1, shape=SHAPE, seed=4)
  assert (other.images[0] != domains[code].images[0]).any()
  assert (other.masks[0] != domains[code].masks[0]).any()
  assert (domains[code].masks[0] != domains[code].masks[1]).any()


@pytest.mark.parametrize('code', CODES)
def test_arrays_have_the_layout_of_the_real_set(code, domains):
  domain = domains[code]
  assert domain.code == code
  assert len(domain.images) == len(domain.masks) == len(domain.labels) == NUM_IMAGES
  for image, mask, labels in zip(domain.images, domain.masks, domain.labels, strict=True):
    assert image.shape == ((*SHAPE, 3) if code == 'TNBC' else SHAPE)
    assert image.dtype == (np.uint16 if code == 'B39' else np.uint8)
    assert (mask.shape, mask.dtype) == (SHAPE, bool)
    assert (labels.shape, labels.dtype) == (SHAPE, np.int32)


@pytest.mark.parametrize(
  ('code', 'shape'), [('B5', (520, 696)), ('EM', (768, 1024)), ('TNBC', (512, 512))]
)
def test_default_size_is_that_of_the_real_images(code, shape):
  domain = simulate(code, num_images=1)
  assert domain.masks[0].shape == domain.images[0].shape[:2] == shape


@pytest.mark.parametrize('code', CODES)
@pytest.mark.parametrize('shape', [(64, 64), (65, 131)])
def test_every_image_has_foreground_and_background(code, shape):
  for mask in simulate(code, num_images=3, shape=shape).masks:
    assert mask.shape == shape
    assert 0 < mask.mean() < 0.9


@pytest.mark.parametrize('code', CODES)
def test_names_are_unique_and_say_what_they_are(code, domains):
  assert len(set(domains[code].names)) == NUM_IMAGES
  assert domains[code].names[0] == f'{code}_simulated_000.png'


@pytest.mark.parametrize('code', CODES)
def test_labels_agree_with_masks_and_count_without_gaps(code, domains):
  for mask, labels in zip(domains[code].masks, domains[code].labels, strict=True):
    np.testing.assert_array_equal(mask, labels > 0)
    assert np.unique(labels[mask]).tolist() == list(range(1, labels.max() + 1))
    assert NUM_OBJECTS[code][0] <= labels.max() <= NUM_OBJECTS[code][1]


@pytest.mark.parametrize('code', CODES)
def test_share_of_foreground_is_that_of_the_real_set(code, domains):
  low, high = FOREGROUND[code]
  assert low < np.mean([mask.mean() for mask in domains[code].masks]) < high


def test_camera_of_b39_has_an_offset_and_twelve_bits(domains):
  images = np.stack(domains['B39'].images)
  assert 90 < images.min() < 140
  assert 1000 < images.max() <= 4095
  assert np.median(images) < 250


@pytest.mark.parametrize('code', ['ssTEM', 'EM', 'TNBC'])
def test_foreground_is_darker_but_overlaps_the_background_in_grey(code, domains):
  images = np.stack([rgb2gray(i) if i.ndim == 3 else i for i in domains[code].images])
  masks = np.stack(domains[code].masks)
  assert images[masks].mean() < images[~masks].mean()
  assert np.percentile(images[masks], 75) > np.percentile(images[~masks], 5)


@pytest.mark.parametrize('code', ['B5', 'B39'])
def test_a_threshold_segments_the_bright_cells(code, domains):
  assert mean_otsu_iou(domains[code], dark=False) > 0.8


@pytest.mark.parametrize('code', ['ssTEM', 'EM'])
def test_no_threshold_segments_the_mitochondria(code, domains):
  assert mean_otsu_iou(domains[code], dark=True) < 0.5
  for image, mask in zip(domains[code].images, domains[code].masks, strict=True):
    for threshold in range(30, 200, 10):
      guess = image < threshold
      assert (guess & mask).sum() < 0.6 * (guess | mask).sum()


def test_otsu_does_badly_on_stained_nuclei(domains):
  assert mean_otsu_iou(domains['TNBC'], dark=True) < 0.6


def test_unknown_code_is_refused_with_the_valid_ones():
  with pytest.raises(InputError, match=r"'B6'.*B5, B39, ssTEM, EM, TNBC"):
    simulate('B6')


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_images': 0}, 'num_images is 0'),
    ({'shape': (63, 200)}, r'shape is \(63, 200\)'),
    ({'shape': (64, 64, 3)}, r'shape is \(64, 64, 3\)'),
    ({'seed': -1}, 'seed is -1'),
  ],
)
def test_arguments_out_of_range_are_refused(options, message):
  with pytest.raises(InputError, match=message):
    simulate('B5', **options)
