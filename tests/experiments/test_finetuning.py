"""The paper's fine-tuning, and prediction with the statistics of an image or of a batch."""

import jax
import numpy as np
import pytest
from helpers import TINY_WIDTHS, assert_trees_close, disk_set

from experiments.common.finetuning import (
  FineTuning,
  make_finetune,
  make_predict,
  score_images,
)
from fscs.data.preprocessing import prepare, select_images
from fscs.losses import bce_dice
from fscs.models import init_params, make_model, with_affine_norms
from fscs.optimizers import inner_optimizer

MODEL = make_model('fcrn', widths=TINY_WIDTHS['fcrn'], affine=True, norm_scale=1.0, lowering='xla')


@pytest.fixture(scope='module')
def params():
  return with_affine_norms(MODEL, init_params(MODEL, jax.random.key(0)))


@pytest.fixture(scope='module')
def grey_set():
  return prepare(disk_set(num_images=6))


@pytest.fixture(scope='module')
def predict():
  return make_predict(MODEL)


def fine_tuning(**options) -> FineTuning:
  return FineTuning(
    inner_optimizer(1e-2), crop_size=32, stride=(8, 8), min_foreground=20, **options
  )


def test_fine_tuning_learns_bright_disks_from_two_images(params, grey_set, predict):
  finetune = make_finetune(MODEL, fine_tuning(batch_size=8, max_steps=40))
  (tuned,) = finetune(params, [select_images(grey_set, [0, 1])])
  assert tuned.losses[-5:].mean() < tuned.losses[0] / 2
  before, after = (
    score_images(lambda images, p=p: predict(p, images), grey_set, [2, 3, 4, 5])[0].iou.mean()
    for p in (params, tuned.params)
  )
  assert after > 3 * before


def test_support_sets_at_once_equal_one_after_the_other_without_another_program(params, grey_set):
  traced = []

  def counted(*arguments):
    traced.append(1)
    return bce_dice(*arguments)

  finetune = make_finetune(MODEL, fine_tuning(batch_size=16, num_epochs=2, pixel_loss=counted))
  blank = grey_set._replace(masks=np.zeros_like(grey_set.masks))
  supports = [select_images(*of) for of in ((grey_set, [0, 1, 2]), (blank, [2]), (grey_set, [3]))]
  together = finetune(params, supports)
  assert len(together[1].losses) == 0  # no crop has foreground
  assert together[1].params is params
  assert len(together[0].losses) > len(together[2].losses) > 0
  for support, tuned in zip(supports, together, strict=True):
    (alone,) = finetune(params, [support])
    np.testing.assert_allclose(tuned.losses, alone.losses, rtol=1e-4)
    assert_trees_close(tuned.params, alone.params, rtol=1e-3, atol=1e-4)
  before = len(traced)
  finetune(params, [select_images(grey_set, [0, 1, 4])])  # another number of crops
  assert len(traced) == before


def test_predictions_do_not_depend_on_other_images_unless_asked_to(params, grey_set, predict):
  images = grey_set.images  # six, predicted four at a time
  own = predict(params, images)
  among_others = predict(params, np.concatenate([255 - images[:3], images[3:]]))
  np.testing.assert_array_equal(own[3], among_others[3])
  for number in (0, 5):
    alone = predict(params, images[number : number + 1])[0]
    np.testing.assert_allclose(own[number], alone, atol=1e-5)
  batched = make_predict(MODEL, statistics='batch', batch_size=4)(params, images)
  assert np.abs(batched[3] - own[3]).max() > 1e-4
  assert predict(params, images[:1, :37, :51]).shape == (1, 37, 51)  # no multiples of the stride
