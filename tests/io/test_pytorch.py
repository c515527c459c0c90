"""State dicts of the published networks become parameters of ours, or are refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import inputs

from fscs.errors import InputError
from fscs.io.pytorch import params_from_torch
from fscs.models import make_model

WIDTHS = inputs.NARROW_WIDTHS
ARCHITECTURES = ('fcrn', 'unet')


def state_dict(architecture, affine=False):
  return inputs.draw_state_dict(architecture, WIDTHS[architecture], affine=affine, seed=1)


def changed(state, name, value):
  return {**state, name: value}


def without(state, *names):
  return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize('affine', [False, True])
@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_tree_is_that_of_the_initialised_model(architecture, affine):
  params = params_from_torch(state_dict(architecture, affine), architecture)
  model = make_model(architecture, widths=WIDTHS[architecture], affine=affine)
  images = jnp.zeros((1, 16, 16, 1))
  expected = jax.eval_shape(model.init, jax.random.key(0), images)['params']
  found = jax.eval_shape(lambda: params)
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  assert jax.tree.leaves(found) == jax.tree.leaves(expected)


def test_convolution_kernels_become_row_column_input_output():
  state = state_dict('fcrn')
  kernel = params_from_torch(state, 'fcrn')['conv2']['kernel']
  assert kernel.shape == (3, 3, 4, 8)
  assert kernel[0, 2, 1, 5] == state['conv2.0.weight'][5, 1, 0, 2]


def test_transposed_kernels_become_row_column_input_output_unflipped():
  state = state_dict('fcrn')
  kernel = params_from_torch(state, 'fcrn')['conv5']['kernel']
  assert kernel.shape == (2, 2, 32, 16)
  assert kernel[0, 1, 30, 7] == state['conv5.0.weight'][30, 7, 0, 1]


def test_batch_norm_weight_is_the_scale():
  state = state_dict('unet', affine=True)
  block = params_from_torch(state, 'unet')['up2']
  np.testing.assert_array_equal(block['norm2']['scale'], state['dconv_up2.4.weight'])
  np.testing.assert_array_equal(block['norm2']['bias'], state['dconv_up2.4.bias'])
  np.testing.assert_array_equal(block['conv2']['bias'], state['dconv_up2.3.bias'])


def test_data_parallel_prefix_and_running_statistics_make_no_difference():
  plain = state_dict('fcrn', affine=True)
  wrapped = {f'module.{name}': value for name, value in plain.items()}
  wrapped['module.conv1.1.running_mean'] = np.ones(4)
  wrapped['module.conv1.1.running_var'] = np.ones(4)
  wrapped['module.conv1.1.num_batches_tracked'] = np.int64(3)
  jax.tree.map(
    np.testing.assert_array_equal,
    params_from_torch(wrapped, 'fcrn'),
    params_from_torch(plain, 'fcrn'),
  )


def test_float64_and_lists_become_float32():
  state = {name: value.astype(np.float64) for name, value in state_dict('unet').items()}
  state['conv_last.bias'] = [0.5]
  params = params_from_torch(state, 'unet')
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype('float32')}
  assert params['conv_last']['bias'] == 0.5


class TensorOnAnotherDevice:
  def __array__(self, dtype=None, copy=None):
    raise TypeError("can't convert cuda:0 device type tensor to numpy")


FCRN, UNET = state_dict('fcrn'), state_dict('unet')


@pytest.mark.parametrize(
  ('state', 'architecture', 'message'),
  [
    (UNET, 'fcrn', "'dconv_down1.0.weight': found a state dict of 'unet', .* 'fcrn'"),
    (FCRN, 'unet', "'conv1.0.weight': found a state dict of 'fcrn', .* 'unet'"),
    (FCRN, 'resnet', "architecture: found 'resnet', expected .*'fcrn', 'unet'"),
    ([FCRN], 'fcrn', 'state_dict: found list, expected a mapping'),
    ({'model': FCRN}, 'fcrn', "'model': found .*, expected 'conv1.0.weight'"),
    ({}, 'fcrn', "'conv1.0.weight': found 0 entries without it, expected 9"),
    (without(UNET, 'dconv_up2.3.bias'), 'unet', "'dconv_up2.3.bias': found .* expected 22"),
    (changed(FCRN, 'conv4.0.bias', np.zeros(32)), 'fcrn', "'conv4.0.bias': found .* no such name"),
    (changed(FCRN, 'module.conv8.bias', np.zeros(1)), 'fcrn', "'conv8.bias': .* expected it once"),
    (
      without(state_dict('fcrn', affine=True), 'conv3.1.bias'),
      'fcrn',
      "'conv3.1.bias': .* every layer or for none",
    ),
    (
      changed(FCRN, 'conv3.0.weight', np.zeros((16, 7, 3, 3))),
      'fcrn',
      r"'conv3.0.weight': found shape \(16, 7, 3, 3\), expected \(any, 8, 3, 3\)",
    ),
    (
      changed(FCRN, 'conv1.0.weight', np.zeros((4, 3, 3, 3))),
      'fcrn',
      r"'conv1.0.weight': found shape \(4, 3, 3, 3\), expected \(any, 1, 3, 3\)",
    ),
    (
      changed(FCRN, 'conv5.0.weight', np.zeros((16, 32, 2, 2))),
      'fcrn',
      r"'conv5.0.weight': found shape \(16, 32, 2, 2\), expected \(32, 16, 2, 2\)",
    ),
    (
      changed(FCRN, 'conv4.0.weight', np.zeros((32, 16, 5, 5))),
      'fcrn',
      r"'conv4.0.weight': found shape \(32, 16, 5, 5\), expected \(any, 16, 3, 3\)",
    ),
    (
      changed(FCRN, 'conv4.0.weight', np.zeros((32, 16))),
      'fcrn',
      r"'conv4.0.weight': found shape \(32, 16\), expected",
    ),
    (
      changed(UNET, 'dconv_up1.0.weight', np.zeros((4, 8, 3, 3))),
      'unet',
      r"'dconv_up1.0.weight': found shape \(4, 8, 3, 3\), expected \(4, 12, 3, 3\)",
    ),
    (
      changed(UNET, 'dconv_down1.0.bias', np.zeros(5)),
      'unet',
      r"'dconv_down1.0.bias': found shape \(5,\), expected \(4,\)",
    ),
    (
      changed(UNET, 'conv_last.bias', np.array([np.nan])),
      'unet',
      "'conv_last.bias': found NaN or infinity",
    ),
    (
      changed(UNET, 'conv_last.bias', TensorOnAnotherDevice()),
      'unet',
      "'conv_last.bias': found a TensorOnAnotherDevice .*cpu",
    ),
  ],
)
def test_what_does_not_fit_is_refused_in_one_line(state, architecture, message):
  with pytest.raises(InputError, match=message) as error:
    params_from_torch(state, architecture)
  assert '\n' not in str(error.value)
