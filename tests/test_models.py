"""Shapes of the networks, and every layer against another way to the same answer."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import WIDTHS

from fscs.augmentation import make_augment
from fscs.errors import InputError
from fscs.models import init_params, make_model, with_affine_norms
from fscs.models.convolution import best_lowering, convolve, transposed_convolve
from fscs.models.layers import BatchNorm, max_pool, upsample, upsample_aligned
from fscs.optimizers import inner_optimizer


def random(*shape):
  return jax.random.normal(jax.random.key(sum(shape)), shape)


LOWERINGS = ['patches', 'project', 'winograd']


@pytest.mark.parametrize('lowering', ['auto', *LOWERINGS])
@pytest.mark.parametrize('shape', [(1, 5, 7, 1, 3), (2, 8, 8, 4, 1), (3, 1, 2, 3, 5)])
def test_lowerings_equal_the_platforms_convolution_with_gradients(lowering, shape):
  batch, height, width, channels, features = shape
  images, kernel = random(batch, height, width, channels), random(3, 3, channels, features)

  def loss(images, kernel, lowering):
    return jnp.sum(jnp.sin(convolve(images, kernel, lowering)))

  with jax.default_matmul_precision('float32'):
    outputs, expected = (convolve(images, kernel, name) for name in (lowering, 'xla'))
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
    found, wanted = (jax.grad(loss, (0, 1))(images, kernel, name) for name in (lowering, 'xla'))
  for one, other in zip(found, wanted, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('lowering', LOWERINGS)
def test_lowerings_under_vmap_and_in_a_loop_equal_one_at_a_time(lowering):
  images, kernels = random(2, 1, 5, 4, 3), random(2, 3, 3, 3, 2)

  def gradients(images, kernel):
    return jax.grad(lambda *a: jnp.sum(jnp.sin(convolve(*a, lowering))), (0, 1))(images, kernel)

  together = jax.vmap(gradients)(images, kernels)
  looped = jax.lax.map(lambda pair: gradients(*pair), (images, kernels))
  for i in range(2):
    alone = gradients(images[i], kernels[i])
    for way in (together, looped):
      for one, other in zip(way, alone, strict=True):
        np.testing.assert_allclose(one[i], other, rtol=1e-4, atol=1e-5)


def test_the_lowering_of_a_layer_is_chosen_by_backend_and_channels():
  assert best_lowering((3, 3, 32, 64), 'gpu') == 'xla'
  assert best_lowering((3, 3, 32, 64), 'cpu') == 'winograd'
  assert best_lowering((3, 3, 32, 64), 'cpu', 'bfloat16') == 'patches'
  assert best_lowering((3, 3, 32, 1), 'cpu') == 'project'
  assert best_lowering((3, 3, 1, 32), 'cpu') == 'patches'


def test_unknown_lowering_names_the_choices():
  with pytest.raises(InputError, match="'magic' is unknown: use one of auto, xla, patches"):
    convolve(random(1, 4, 4, 1), random(3, 3, 1, 1), 'magic')


def test_transposed_convolution_puts_one_kernel_position_in_each_pixel_of_a_block():
  images, kernel = random(2, 3, 4, 5), random(2, 2, 5, 6)
  outputs = transposed_convolve(images, kernel)
  assert outputs.shape == (2, 6, 8, 6)
  for a in (0, 1):
    for b in (0, 1):
      np.testing.assert_allclose(outputs[:, a::2, b::2], images @ kernel[a, b], rtol=1e-5)


def test_max_pool_equals_flax_with_gradient_and_drops_odd_lines():
  images = random(2, 5, 7, 3)
  np.testing.assert_array_equal(max_pool(images), nn.max_pool(images, (2, 2), (2, 2)))
  found = jax.grad(lambda x: jnp.sum(max_pool(x) ** 2))(images)
  wanted = jax.grad(lambda x: jnp.sum(nn.max_pool(x, (2, 2), (2, 2)) ** 2))(images)
  np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_max_pool_gives_the_gradient_of_equal_pixels_to_the_first():
  gradient = jax.grad(lambda x: max_pool(x).sum())(jnp.ones((1, 2, 4, 1)))
  np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0, 1, 0], [0, 0, 0, 0]])
  corner = jnp.array([[0.0, 5.0], [5.0, 0.0]])[None, :, :, None]
  gradient = jax.grad(lambda x: max_pool(x).sum())(corner)
  np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 1], [0, 0]])


def test_upsampling_keeps_corners_and_is_linear_between_them():
  image = jnp.asarray([[0.0, 3.0], [6.0, 9.0]])[None, :, :, None]
  wanted = np.arange(4) * 1.0 + np.arange(4)[:, None] * 2.0
  np.testing.assert_allclose(upsample_aligned(image)[0, :, :, 0], wanted, atol=1e-6)


def test_batch_norm_has_zero_mean_and_unit_variance_per_channel():
  outputs = BatchNorm().apply({}, 5 + 3 * random(4, 6, 6, 2))
  np.testing.assert_allclose(outputs.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(outputs.var((0, 1, 2)), 1, atol=1e-4)


def test_batch_norm_of_a_constant_image_is_finite():
  assert jnp.isfinite(BatchNorm().apply({}, jnp.full((1, 4, 4, 1), 7.0))).all()


@pytest.mark.parametrize('arch', ['fcrn', 'unet'])
def test_statistics_of_a_batch_can_be_kept_and_make_images_independent_of_each_other(arch):
  model = make_model(arch, widths=WIDTHS[arch], lowering='xla')
  params = init_params(model, jax.random.key(0))
  images = random(3, 16, 24, 1)
  plain, _ = model.apply({'params': params}, images)
  (logits, _), kept = model.apply({'params': params}, images, mutable=['statistics'])
  np.testing.assert_array_equal(logits, plain)
  assert kept['statistics'][{'fcrn': 'norm4', 'unet': 'down3'}[arch]]
  alone, _ = model.apply({'params': params, **kept}, images[1:2])
  np.testing.assert_allclose(alone, plain[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('arch', ['fcrn', 'unet', 'deep_unet'])
def test_network_shapes(arch):
  model = make_model(arch)
  params = jax.eval_shape(lambda key: init_params(model, key), jax.random.key(0))
  images = jax.ShapeDtypeStruct((2, 32, 48, 1), jnp.float32)
  logits, features = jax.eval_shape(lambda p, x: model.apply({'params': p}, x), params, images)
  assert logits.shape == (2, 32, 48, 1)
  assert (
    features.shape
    == {
      'fcrn': (2, 4, 6, 512),
      'unet': (2, 8, 12, 128),
      'deep_unet': (2, 4, 6, 128),
    }[arch]
  )
  assert not any('norm' in str(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))


@pytest.mark.parametrize('arch', ['fcrn', 'unet'])
def test_half_precision_stays_near_and_keeps_parameters_gradients_and_outputs_in_float32(arch):
  single = make_model(arch, widths=WIDTHS[arch], kernel_init='he', affine=True, norm_scale=1.0)
  half = single.clone(precision='bfloat16')
  params = init_params(half, jax.random.key(1))
  images = random(4, 32, 32, 1)

  def loss(params, model):
    logits, features = model.apply({'params': params}, images)
    return jnp.mean(jnp.square(logits - images)), (logits, features)

  (gradient, outputs), (wanted, wanted_outputs) = (
    jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(params, model)
    for model in (half, single)
  )
  for tree in (params, gradient, outputs):
    assert {leaf.dtype.name for leaf in jax.tree.leaves(tree)} == {'float32'}
  for found, expected in zip(outputs, wanted_outputs, strict=True):
    assert 0 < jnp.abs(found - expected).mean() < 0.02 * jnp.abs(expected).mean()
  found, expected = (jax.flatten_util.ravel_pytree(g)[0] for g in (gradient, wanted))
  assert found @ expected > 0.99 * jnp.linalg.norm(found) * jnp.linalg.norm(expected)


def test_batch_norm_takes_its_statistics_in_float32():
  images = (200 + random(4, 32, 32, 1)).astype(jnp.bfloat16)
  outputs = BatchNorm().apply({}, images)
  exact = np.asarray(images, np.float64)
  wanted = (exact - exact.mean()) / exact.std()
  assert outputs.dtype == jnp.bfloat16
  np.testing.assert_allclose(np.asarray(outputs, np.float64), wanted, rtol=0.02, atol=0.02)


@pytest.mark.parametrize('arch', ['fcrn', 'unet'])
def test_added_norms_start_at_a_tenth_and_keep_the_rest(arch):
  model = make_model(arch, widths=WIDTHS[arch])
  params = init_params(model, jax.random.key(3))
  extended = with_affine_norms(model, params)
  leaves = dict(jax.tree_util.tree_leaves_with_path(extended))
  for path, leaf in jax.tree_util.tree_leaves_with_path(params):
    assert leaves.pop(path) is leaf
  assert leaves
  for path, leaf in leaves.items():
    assert (leaf == (0.1 if path[-1].key == 'scale' else 0)).all()


def test_parameters_of_another_network_are_not_extended():
  key = jax.random.key(0)
  fcrn, unet = (make_model(arch, widths=WIDTHS[arch]) for arch in ('fcrn', 'unet'))
  wider = make_model('fcrn', widths=[2 * width for width in WIDTHS['fcrn']])
  for model, params in (
    (fcrn, init_params(unet, key)),
    (fcrn, init_params(wider, key)),
    (unet, {}),
  ):
    with pytest.raises(InputError, match='parameters of another network: '):
      with_affine_norms(model, params)
  whole = with_affine_norms(fcrn, init_params(fcrn, key))
  assert with_affine_norms(fcrn, whole) == whole


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda: make_model('resnet'), "architecture 'resnet': expected one of fcrn, unet, deep_unet"),
    (lambda: init_params(make_model('fcrn', kernel_init='xavier'), jax.random.key(0)), 'xavier'),
    (lambda: inner_optimizer(name='sgd'), "optimizer 'sgd': expected one of adam, muon"),
    (lambda: make_augment('wild'), "augmentation 'wild': expected one of none, mild, strong"),
  ],
)
def test_names_that_there_are_not_say_what_there_is(make, message):
  with pytest.raises(InputError, match=message):
    make()


def test_paper_kernels_are_standard_normal_and_biases_zero():
  params = init_params(make_model('unet'), jax.random.key(0))
  kernel = params['down3']['conv2']['kernel']
  assert abs(kernel.std() - 1) < 0.01
  assert abs(kernel.mean()) < 0.01
  assert (params['down3']['conv2']['bias'] == 0).all()


@pytest.mark.parametrize('arch', ['fcrn', 'unet'])
def test_wrong_number_of_widths_says_how_many(arch):
  with pytest.raises(
    InputError, match={'fcrn': 'fcrn needs 4 ', 'unet': 'unet needs 2 to 5 '}[arch]
  ):
    make_model(arch, widths=(4,))


@pytest.mark.parametrize(
  ('arch', 'num_levels', 'reach'), [('fcrn', 4, 24), ('unet', 3, 26), ('deep_unet', 4, 58)]
)
def test_a_logit_sees_as_far_as_the_network_says(arch, num_levels, reach):
  """Without batch norm's statistics, which see everything."""
  model = make_model(arch, widths=(4,) * num_levels, kernel_init='he', lowering='xla')
  params = init_params(model, jax.random.key(0))
  images = random(1, 192, 192, 1)
  _, kept = model.apply({'params': params}, images, mutable=['statistics'])

  @jax.jit
  def seen_by(place):
    logit = lambda x: model.apply({'params': params, **kept}, x)[0][0, place, place, 0]  # noqa: E731
    return jnp.abs(jax.grad(logit)(images)).sum((0, 2, 3)) > 0

  places = range(88, 88 + model.stride)  # all that pooling tells apart
  seen = [np.nonzero(seen_by(place))[0] - place for place in places]
  farthest = max(max(-found[0], found[-1]) for found in seen if len(found))
  assert farthest <= model.reach == reach < farthest + 3


def test_up_sampling_of_pixels_with_an_extent_is_that_of_jax_and_depends_on_neighbours_alone():
  images = random(2, 5, 7, 3)
  wanted = jax.image.resize(images, (2, 10, 14, 3), 'linear')
  np.testing.assert_allclose(upsample(images), wanted, atol=1e-6)
  part = upsample(images[:, :, 2:6])
  np.testing.assert_allclose(part[:, :, 1:-1], wanted[:, :, 5:11], atol=1e-6)


def test_initial_parameters_are_those_of_the_network_however_they_are_asked_for():
  model = make_model('fcrn', widths=WIDTHS['fcrn'])
  key = jax.random.key(3)
  params = init_params(model, key)
  images = jnp.zeros((1, 16, 16, 1))
  same = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(same, params, model.init(key, images)['params'])
  jax.tree.map(same, params, jax.jit(lambda key: init_params(model, key))(key))
  jax.tree.map(same, params, jax.jit(lambda: init_params(model, key))())  # a constant of a program
  several = jax.vmap(lambda key: init_params(model, key))(key[None])
  jax.tree.map(same, params, jax.tree.map(lambda leaf: leaf[0], several))
