"""The networks as a whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import TINY_WIDTHS, assert_trees_close

from fscs.errors import InputError
from fscs.models import init_params, make_model, widths_of, with_affine_norms

BOTH = pytest.mark.parametrize('arch', ['fcrn', 'unet'])


def tiny(arch, **attributes):
  return make_model(arch, widths=TINY_WIDTHS[arch], lowering='xla', **attributes)


def random(*shape):
  return jax.random.normal(jax.random.key(sum(shape)), shape)


@pytest.mark.parametrize(
  ('arch', 'features'),
  [('fcrn', (2, 4, 6, 512)), ('unet', (2, 8, 12, 128)), ('deep_unet', (2, 4, 6, 128))],
)
def test_shapes(arch, features):
  model = make_model(arch)
  params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
  images = jax.ShapeDtypeStruct((2, 32, 48, 1), jnp.float32)
  outputs = jax.eval_shape(lambda p, x: model.apply({'params': p}, x), params, images)
  assert [output.shape for output in outputs] == [(2, 32, 48, 1), features]
  assert widths_of(arch, params) == model.widths
  assert not any('norm' in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))


@BOTH
def test_kept_statistics_make_images_independent_of_each_other(arch):
  model = tiny(arch)
  params, images = init_params(model, jax.random.key(0)), random(3, 16, 24, 1)
  apply = jax.jit(model.apply)
  plain, _ = apply({'params': params}, images)
  _, kept = jax.jit(lambda v, x: model.apply(v, x, mutable=['statistics']))(
    {'params': params}, images
  )
  alone, _ = apply({'params': params, **kept}, images[1:2])
  np.testing.assert_allclose(alone, plain[1:2], rtol=1e-4, atol=1e-4)


@BOTH
def test_half_precision_stays_near_and_keeps_parameters_gradients_and_outputs_in_float32(arch):
  single = tiny(arch, kernel_init='he', affine=True, norm_scale=1.0)
  half = single.clone(precision='bfloat16')
  params, images = init_params(half, jax.random.key(1)), random(4, 32, 32, 1)

  def gradient_and_outputs(model):
    def loss(params):
      logits, features = model.apply({'params': params}, images)
      return jnp.mean(jnp.square(logits - images)), (logits, features)

    return jax.jit(jax.grad(loss, has_aux=True))(params)

  (gradient, outputs), (exact, exact_outputs) = map(gradient_and_outputs, (half, single))
  assert {leaf.dtype.name for leaf in jax.tree.leaves((params, gradient, outputs))} == {'float32'}
  for found, expected in zip(outputs, exact_outputs, strict=True):
    assert 0 < jnp.abs(found - expected).mean() < 0.02 * jnp.abs(expected).mean()
  found, expected = (jax.flatten_util.ravel_pytree(g)[0] for g in (gradient, exact))
  assert found @ expected > 0.99 * jnp.linalg.norm(found) * jnp.linalg.norm(expected)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('arch', 'num_levels', 'radius'), [('fcrn', 4, 24), ('unet', 3, 26), ('deep_unet', 4, 58)]
)
def test_a_logit_depends_on_pixels_within_the_receptive_radius(arch, num_levels, radius):
  """With fixed batch-norm statistics; those of the image depend on every pixel."""
  model = make_model(arch, widths=(4,) * num_levels, kernel_init='he', lowering='xla')
  params, images = init_params(model, jax.random.key(0)), random(1, 144, 144, 1)

  @jax.jit
  def compute_statistics(params):
    return model.apply({'params': params}, images, mutable=['statistics'])[1]

  kept = compute_statistics(params)

  @jax.jit
  def depends_on(place):
    def logit(images):
      return model.apply({'params': params, **kept}, images)[0][0, place, place, 0]

    return jnp.abs(jax.grad(logit)(images)).sum((0, 2, 3)) > 0

  farthest = 0
  for place in range(64, 64 + model.stride):  # all places that pooling tells apart
    rows = np.nonzero(depends_on(place))[0]
    if len(rows):
      farthest = max(farthest, place - rows[0], rows[-1] - place)
  assert farthest <= model.receptive_radius == radius < farthest + 3


@BOTH
def test_added_norms_start_at_their_scale_and_keep_the_rest(arch):
  model = tiny(arch)
  params = init_params(model, jax.random.key(3))
  extended = with_affine_norms(model, params)
  leaves = dict(jax.tree_util.tree_leaves_with_path(extended))
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    assert leaves.pop(path) is leaf
  assert leaves
  for path, leaf in leaves.items():
    assert (leaf == (0.1 if path[-1].key == 'scale' else 0)).all()
  assert with_affine_norms(model, extended) == extended


def test_parameters_of_another_network_are_refused():
  fcrn, unet = tiny('fcrn'), tiny('unet')
  wider = make_model('fcrn', widths=[2 * width for width in TINY_WIDTHS['fcrn']])
  of_unet = init_params(unet, jax.random.key(0))
  for model, params in (
    (fcrn, of_unet),
    (fcrn, init_params(wider, jax.random.key(0))),
    (unet, {}),
  ):
    with pytest.raises(InputError, match='parameters of another network: '):
      with_affine_norms(model, params)
  with pytest.raises(InputError, match='not of fcrn'):
    widths_of('fcrn', of_unet)


def test_networks_and_widths_that_there_are_not_are_refused():
  with pytest.raises(InputError, match=r"architecture 'resnet': .*fcrn, unet, deep_unet"):
    make_model('resnet')
  with pytest.raises(InputError, match='unet needs 2 to 5 '):
    make_model('unet', widths=(4,))
  with pytest.raises(InputError, match='xavier'):
    init_params(tiny('fcrn', kernel_init='xavier'), jax.random.key(0))


def test_paper_kernels_are_standard_normal_and_biases_zero():
  layer = init_params(make_model('unet'), jax.random.key(0))['down3']['conv2']
  assert abs(layer['kernel'].std() - 1) < 0.01
  assert abs(layer['kernel'].mean()) < 0.01
  assert (layer['bias'] == 0).all()


def test_initial_parameters_are_those_of_flax_however_they_are_asked_for():
  model, key = tiny('fcrn'), jax.random.key(3)
  expected = model.init(key, jnp.zeros((1, 16, 16, 1)))['params']
  assert_trees_close(init_params(model, key), expected)
  assert_trees_close(jax.jit(lambda key: init_params(model, key))(key), expected)
  assert_trees_close(jax.jit(lambda: init_params(model, key))(), expected)
  several = jax.vmap(lambda key: init_params(model, key))(key[None])
  assert_trees_close(jax.tree.map(lambda leaf: leaf[0], several), expected)
