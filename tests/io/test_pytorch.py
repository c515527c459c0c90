"""State dicts of the published networks become Flax parameters, or are refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import inputs
from helpers import assert_trees_equal

from fscs.errors import InputError
from fscs.io import params_from_torch
from fscs.models import make_model

WIDTHS = inputs.NARROW_WIDTHS


def state_dict(architecture, affine=False):
  return inputs.draw_state_dict(architecture, WIDTHS[architecture], affine=affine, seed=1)


@pytest.mark.parametrize('affine', [False, True])
@pytest.mark.parametrize('architecture', ['fcrn', 'unet'])
def test_the_tree_is_that_of_the_model(architecture, affine):
  params = params_from_torch(state_dict(architecture, affine), architecture)
  model = make_model(architecture, widths=WIDTHS[architecture], affine=affine)
  expected = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 16, 16, 1)))['params']
  found = jax.eval_shape(lambda: params)
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  assert jax.tree.leaves(found) == jax.tree.leaves(expected)


def test_kernels_become_rows_columns_inputs_outputs():
  state = state_dict('fcrn')
  params = params_from_torch(state, 'fcrn')
  kernel, transposed = params['conv2']['kernel'], params['conv5']['kernel']
  assert (kernel.shape, transposed.shape) == ((3, 3, 4, 8), (2, 2, 32, 16))
  assert kernel[0, 2, 1, 5] == state['conv2.0.weight'][5, 1, 0, 2]
  assert transposed[0, 1, 30, 7] == state['conv5.0.weight'][30, 7, 0, 1]


def test_the_weight_of_a_batch_norm_is_its_scale():
  state = state_dict('unet', affine=True)
  block = params_from_torch(state, 'unet')['up2']
  np.testing.assert_array_equal(block['norm2']['scale'], state['dconv_up2.4.weight'])
  np.testing.assert_array_equal(block['norm2']['bias'], state['dconv_up2.4.bias'])
  np.testing.assert_array_equal(block['conv2']['bias'], state['dconv_up2.3.bias'])


def test_prefix_running_statistics_and_array_types_make_no_difference():
  plain = state_dict('fcrn', affine=True)
  wrapped = {f'module.{name}': value.astype(np.float64) for name, value in plain.items()}
  wrapped['module.conv8.bias'] = plain['conv8.bias'].tolist()
  for name in ('running_mean', 'running_var', 'num_batches_tracked'):
    wrapped[f'module.conv1.1.{name}'] = np.ones(4)
  params = params_from_torch(wrapped, 'fcrn')
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype('float32')}
  assert_trees_equal(params, params_from_torch(plain, 'fcrn'))


class TensorOnAnotherDevice:
  def __array__(self, dtype=None, copy=None):
    raise TypeError("can't convert cuda:0 device type tensor to numpy")


FCRN, UNET = state_dict('fcrn'), state_dict('unet')
AFFINE = state_dict('fcrn', affine=True)


def without(state, name):
  return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
  ('state', 'architecture', 'named'),
  [
    (UNET, 'fcrn', "architecture='unet'"),
    (FCRN, 'unet', "architecture='fcrn'"),
    (FCRN, 'resnet', 'architecture'),
    ([FCRN], 'fcrn', 'state_dict'),
    ({'model': FCRN}, 'fcrn', "'model'"),
    ({}, 'fcrn', "'conv1.0.weight'"),
    (without(UNET, 'dconv_up2.3.bias'), 'unet', "'dconv_up2.3.bias'"),
    (without(AFFINE, 'conv3.1.bias'), 'fcrn', "'conv3.1.bias'"),
    (FCRN | {'conv4.0.bias': np.zeros(32)}, 'fcrn', "'conv4.0.bias'"),
    (FCRN | {'module.conv8.bias': np.zeros(1)}, 'fcrn', "'conv8.bias'"),
    (FCRN | {'conv1.0.weight': np.zeros((4, 3, 3, 3))}, 'fcrn', '(any, 1, 3, 3)'),
    (FCRN | {'conv4.0.weight': np.zeros((32, 16, 5, 5))}, 'fcrn', '(any, 16, 3, 3)'),
    (FCRN | {'conv4.0.weight': np.zeros((32, 16))}, 'fcrn', '(any, 16, 3, 3)'),
    (FCRN | {'conv5.0.weight': np.zeros((16, 32, 2, 2))}, 'fcrn', '(32, 16, 2, 2)'),
    (UNET | {'dconv_up1.0.weight': np.zeros((4, 8, 3, 3))}, 'unet', '(4, 12, 3, 3)'),
    (UNET | {'dconv_down1.0.bias': np.zeros(5)}, 'unet', "'dconv_down1.0.bias'"),
    (UNET | {'conv_last.bias': np.array([np.nan])}, 'unet', "'conv_last.bias'"),
    (UNET | {'conv_last.bias': TensorOnAnotherDevice()}, 'unet', "'conv_last.bias'"),
  ],
)
def test_what_does_not_fit_is_named_in_one_line(state, architecture, named):
  with pytest.raises(InputError) as error:
    params_from_torch(state, architecture)
  assert named in str(error.value)
  assert '\n' not in str(error.value)
  assert error.value.arguments in (('architecture',), ('state_dict',))
