"""Grey values: one per pixel, stretched to 8 bits whatever their unit."""

import numpy as np
import pytest

from fscs.data.intensity import grey_limits, stretch, to_grey
from fscs.errors import InputError

RAMP = np.arange(10_000).reshape(100, 100)


def test_colours_become_luma_unless_a_channel_is_chosen():
  image = np.zeros((2, 3, 4), np.uint8)
  image[..., :] = (100, 200, 50, 7)
  assert to_grey(image)[0, 0] == pytest.approx(0.299 * 100 + 0.587 * 200 + 0.114 * 50)
  assert to_grey(image, 1)[0, 0] == 200
  assert to_grey(image, (0.5, 0.5, 0.0))[0, 0] == 150
  assert to_grey(image[..., :1]).shape == (2, 3)


@pytest.mark.parametrize(
  ('image', 'channel', 'message'),
  [
    (np.zeros((9,)), None, r'shape \(9,\)'),
    (np.array([[1.0, np.inf, np.nan]]), None, '2 pixels that are NaN or infinite'),
    (np.zeros((4, 4, 2)), None, '2 channels'),
    (np.zeros((4, 4, 2)), 2, 'channel 2'),
  ],
)
def test_arrays_that_are_no_image_are_refused(image, channel, message):
  with pytest.raises(InputError, match=message):
    to_grey(image, channel)


@pytest.mark.parametrize('image', [RAMP.astype(np.uint16), RAMP / 7 - 3, -RAMP[::-1, ::-1]])
def test_all_ranges_are_stretched_alike(image):
  grey = stretch(image)
  assert grey.dtype == np.uint8
  assert (grey.min(), grey.max()) == (0, 255)
  assert np.abs(grey.astype(float) - RAMP / 9999 * 255).max() <= 1.5


@pytest.mark.parametrize('offset', [2**30, -(2**30)])
def test_grey_values_far_from_zero_keep_their_differences(offset):
  expected = stretch(RAMP)
  np.testing.assert_array_equal(stretch((RAMP + offset).astype(np.int32)), expected)
  np.testing.assert_array_equal(stretch(RAMP * 1e300), expected)


def test_a_constant_image_is_black_and_a_single_bright_pixel_is_seen():
  assert (stretch(np.full((4, 4), 9)) == 0).all()
  image = np.zeros((100, 100))
  image[3, 4] = 5
  assert stretch(image).max() == 255


def cells_image(dtype=np.uint16):
  """Bright disks of a few hundred pixels on noise."""
  rows, columns = np.indices((200, 200))
  random = np.random.default_rng(0)
  image = random.normal(300, 20, (200, 200))
  for row, column in ((40, 50), (120, 140), (150, 40)):
    image += 900 * (np.hypot(rows - row, columns - column) < 9)
  return np.rint(image).astype(dtype)


@pytest.mark.parametrize('share', [0.002, 0.01])
@pytest.mark.parametrize('value', [65_535, -30_000])
def test_hot_and_dead_pixels_do_not_decide_the_contrast(share, value):
  image = cells_image()
  hot = np.random.default_rng(1).random(image.shape) < share
  stretched = stretch(np.where(hot, value, image.astype(np.int32)))
  expected = stretch(image)
  assert np.abs(stretched.astype(int) - expected)[~hot].max() < 25
  assert (stretched[hot] == (255 if value > 0 else 0)).all()


@pytest.mark.parametrize(
  ('value', 'dtype'), [(-1e6, 'float32'), (-9999, 'int32'), (-32_768, 'int16'), (-3e38, 'float32')]
)
def test_a_border_without_data_does_not_decide_the_contrast(value, dtype):
  image = cells_image(dtype)
  expected = stretch(image[20:])
  image[:20] = value
  stretched = stretch(image)
  assert (stretched[:20] == 0).all()
  np.testing.assert_array_equal(stretched[20:], expected)


def test_small_share_of_bright_objects_is_no_defect():
  image = np.random.default_rng(0).normal(300, 20, (400, 400))
  image[10:20, 10:40] += 5000  # 0.2 % of the pixels
  low, high = grey_limits(image)
  assert high > 4000
  assert low < 300
