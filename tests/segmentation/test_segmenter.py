"""Segmenters: prediction of any image, and saving."""

import dataclasses

import numpy as np
import pytest
from helpers import assert_trees_equal, cells, noise, small_initialisation, tiny_segmenter

from fscs.errors import InputError
from fscs.io.checkpoints import load_arrays, save_arrays, save_init
from fscs.segmentation.instances import Watershed, find_objects
from fscs.segmentation.segmenter import Segmenter


def test_labels_are_the_objects_of_the_probability(trained):
  segmenter = trained.result.segmenter
  image, truth = cells(200)
  labels = segmenter.predict(image)
  np.testing.assert_array_equal(
    labels, find_objects(segmenter.predict_proba(image), segmenter.watershed)
  )
  assert labels.dtype == np.int32
  assert 0 < labels.max() <= truth.max() + 1


def test_the_unit_of_grey_values_does_not_matter(trained):
  segmenter = trained.result.segmenter
  image, _ = cells(200)
  expected = segmenter.predict_proba(image)
  for other in (image / 65535, image.astype(np.float64) * 3 + 7, image[..., None]):
    np.testing.assert_allclose(segmenter.predict_proba(other), expected, atol=0.02)


@pytest.mark.parametrize('shape', [(1, 1), (3, 400), (200, 130)])
def test_images_of_any_size_are_predicted(shape):
  probability = tiny_segmenter(scale=0.7).predict_proba(noise(shape))
  assert probability.shape == shape
  assert probability.dtype == np.float32
  assert ((probability >= 0) & (probability <= 1)).all()


def test_turned_images_have_turned_predictions_with_all_orientations():
  segmenter = tiny_segmenter(orientations=8)
  grey = noise((72, 104))
  expected = np.rot90(segmenter.predict_proba(grey))
  np.testing.assert_allclose(segmenter.predict_proba(np.rot90(grey)), expected, atol=1e-5)
  with pytest.raises(InputError, match='orientations is 16') as caught:
    dataclasses.replace(segmenter, orientations=16).predict(grey)
  assert caught.value.arguments == ('orientations',)


@pytest.fixture
def elaborate():
  """A segmenter none of whose attributes is a default."""
  watershed = Watershed(0.35, 3.5, 7)
  weights = (0.5, -0.25, 0.25)
  return tiny_segmenter(
    scale=0.5, channel=weights, watershed=watershed, expected_iou=0.7, orientations=4
  )


def assert_same_segmenter(found, expected):
  for field in dataclasses.fields(Segmenter):
    if field.name != 'network':
      assert getattr(found, field.name) == getattr(expected, field.name)
  for name in ('architecture', 'widths'):
    assert getattr(found.network, name) == getattr(expected.network, name)
  for name in ('params', 'batch_statistics'):
    assert_trees_equal(getattr(found.network, name), getattr(expected.network, name))
  image = noise((60, 90, 3))
  np.testing.assert_array_equal(found.predict_proba(image), expected.predict_proba(image))


def test_a_loaded_segmenter_is_the_saved_one(elaborate, tmp_path):
  elaborate.save(tmp_path / 'model')
  assert_same_segmenter(Segmenter.load(tmp_path / 'model'), elaborate)


def save_format_1(segmenter, folder):
  """Write the folder that version 0.1 wrote."""
  segmenter.save(folder)
  arrays, facts = load_arrays(folder)
  splitting = facts.pop('watershed')
  splitting['distance'] = splitting.pop('min_distance')
  facts |= {'format': 1, 'splitting': splitting, 'estimate': facts.pop('expected_iou')}
  save_arrays(folder, arrays, facts)


def test_folders_of_format_1_are_read(elaborate, tmp_path):
  save_format_1(elaborate, tmp_path / 'old')
  assert_same_segmenter(Segmenter.load(tmp_path / 'old'), elaborate)


def test_folders_without_a_segmenter_are_refused(tmp_path):
  segmenter = tiny_segmenter()
  segmenter.save(tmp_path / 'model')
  arrays, facts = load_arrays(tmp_path / 'model')
  incomplete = {name: value for name, value in facts.items() if name != 'support'}
  save_arrays(tmp_path / 'newer', arrays, facts | {'format': 99})
  save_arrays(tmp_path / 'plain', {'params': arrays['params']}, facts | {'format': 1})
  save_arrays(tmp_path / 'incomplete', arrays, incomplete)
  save_init(tmp_path / 'init', small_initialisation().params, {'architecture': 'fcrn'})
  for name, message in (
    ('nowhere', 'no such folder'),
    ('newer', 'format 99, and this version reads 2'),
    ('plain', 'format 1, and this version reads 2'),
    ('incomplete', 'damaged'),
    ('init', 'no fine-tuned model'),
  ):
    with pytest.raises(InputError, match=f'{name}.*{message}'):
      Segmenter.load(tmp_path / name)
