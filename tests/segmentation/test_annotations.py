"""Annotated images: what masks mean, what is refused, and the crops that are learned from."""

import jax
import numpy as np
import pytest
from helpers import cells, disk_labels

from fscs.errors import InputError
from fscs.segmentation.annotations import at_scale, cut_crops, label_mask, read_annotations


def test_objects_are_the_values_of_a_mask_or_its_components():
  binary = disk_labels((20, 20, 9), (60, 60, 9)) > 0
  labels, instances = label_mask(binary)
  assert (labels.max(), instances) == (2, False)
  labels, instances = label_mask(disk_labels((20, 20, 9), (60, 60, 9)) * 5)
  assert (sorted(np.unique(labels)), instances) == ([0, 1, 2], True)


def test_masks_of_one_object_do_not_say_whether_objects_are_told_apart():
  images, labels = zip(*(cells(seed) for seed in range(3)), strict=True)
  one = np.where(labels[2] == 1, 1, 0)
  for masks, instances in (
    (labels, True),
    ([*labels[:2], one], True),
    ([*labels[:2], one > 0], True),
    ([*labels[:2], labels[2] > 0], False),
    ([one] * 3, False),
  ):
    assert read_annotations(images, masks).instances == instances


def test_arrays_may_be_lists_and_channels_numpy_integers():
  image, labels = cells(0)
  colours = np.stack([image, image[::-1], image], axis=-1)
  for choice in ('learned', np.int64(2)):
    expected = read_annotations([colours], [labels], None, choice)
    listed = read_annotations([colours.tolist()], [labels.tolist()], None, choice)
    np.testing.assert_array_equal(listed.images[0].labels, expected.images[0].labels)
    assert listed[1:] == expected[1:]
  assert type(listed.channel) is int


@pytest.mark.parametrize(
  ('image', 'mask', 'message'),
  [
    (np.zeros((9, 9)), np.eye(9, dtype=int), 'all pixels have the same grey value'),
    (np.zeros((9, 9, 2)), np.eye(9, dtype=int), '2 channels'),
    (np.eye(9), np.ones((9, 9), int), 'no background'),
    (np.eye(9), -np.eye(9, dtype=int), 'negative values, down to -1'),
    (np.eye(9), np.eye(9) / 2, r'mask of shape \(9, 9\) and type float64'),
    (np.eye(8), np.eye(9, dtype=int), r'image is \(8, 8\) and its mask \(9, 9\)'),
  ],
)
def test_arrays_that_cannot_be_learned_from_are_named(image, mask, message):
  good = cells(0)
  channel = 'luma' if np.ndim(image) < 3 else None
  with pytest.raises(InputError, match=f'^b: .*{message}'):
    read_annotations([good[0], image], [good[1], mask], ['a', 'b'], channel)


def test_labels_keep_their_values_and_places_at_another_scale():
  labels = disk_labels((30, 30, 20), (70, 75, 15))
  (image,) = read_annotations([labels * 80], [labels]).images
  small = at_scale(image, 0.5)
  assert small.grey.shape == small.labels.shape == (50, 50)
  np.testing.assert_allclose(
    np.bincount(small.labels.ravel()) * 4, np.bincount(labels.ravel()), rtol=0.05
  )
  assert small.grey[small.labels == 2].mean() > small.grey[small.labels == 1].mean() > 50


def crops_of(image, labels, crop_size):
  return cut_crops(read_annotations([image], [labels]).images, crop_size)


def test_some_crops_hold_no_foreground():
  labels = np.zeros((64, 256), np.int32)
  labels[10:20, 10:20] = 1
  corners = crops_of(labels, labels, 32).corners
  filled = [labels[r : r + 32, c : c + 32].any() for _, r, c in corners]
  assert (sum(filled), len(filled)) == (25, 34)
  assert len({tuple(corner) for corner in corners}) == 34


def test_crops_reach_the_last_pixels_of_an_image():
  (image,) = read_annotations(*([array] for array in cells(0, shape=(45, 61)))).images
  crops = cut_crops([image], 32)
  np.testing.assert_array_equal(crops.images[0][:45, :61], image.grey)
  assert crops.corners[:, 1].max() + 32 >= 45
  assert crops.corners[:, 2].max() + 32 >= 61


def test_similar_images_share_compiled_programs():
  one, other = (crops_of(*cells(0, shape), 32).bank for shape in ((72, 96), (80, 100)))
  assert jax.tree.map(np.shape, one) == jax.tree.map(np.shape, other)


def test_two_values_are_background_and_objects_and_the_user_may_choose():
  mask = np.where(np.eye(9) > 0, 1, 2)
  with pytest.warns(UserWarning, match='here 2 rather than 1'):
    labels, instances = label_mask(mask)
  assert not instances
  np.testing.assert_array_equal(labels > 0, mask == 2)
  np.testing.assert_array_equal(label_mask(mask, foreground=1)[0] > 0, mask == 1)
  classes = np.arange(9).reshape(3, 3) % 3 * 127
  np.testing.assert_array_equal(label_mask(classes, foreground=254)[0] > 0, classes == 254)
  with pytest.raises(InputError, match='no value 3'):
    label_mask(mask, foreground=3)


def test_masks_of_floats_may_hold_whole_numbers():
  labels, instances = label_mask(np.array([[0.0, 1.0], [2.0, 0.0]]))
  assert instances
  np.testing.assert_array_equal(labels, [[0, 1], [2, 0]])


def test_images_without_objects_give_as_many_crops_as_others():
  image, labels = cells(0)
  read = read_annotations([image, image], [labels, np.zeros_like(labels)])
  crops = cut_crops(read.images, 32)
  of_image = np.bincount(crops.corners[:, 0])
  assert of_image[1] > 0.5 * of_image[0]
  with pytest.raises(InputError, match='no object is marked'):
    read_annotations([image], [np.zeros_like(labels)])
