"""Agreement with the reference's arithmetic, computed in float64 by an independent PyTorch mirror.

`golden/make_golden.py` wrote the values; the inputs are drawn again from the same seeds. Ours is
float32 throughout. 'Relative' means the L2 norm of the difference over that of the golden value.
"""

from functools import cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from golden import inputs

from fscs import losses
from fscs.io.pytorch import params_from_torch
from fscs.meta.inner_loop import adapt
from fscs.meta.reptile import reptile_gradient
from fscs.models import make_model
from fscs.optimizers import inner_optimizer
from fscs.typing import Episode

ARCHITECTURES = ('fcrn', 'unet')

# A weight of zero makes another objective of the combined one, so that one compilation, which is
# most of these tests' time, serves all four. What the names choose is tested apart.
WEIGHTS = {
  'bce': (0.0, 0.0),
  'bce_entropy': (inputs.ALPHA, 0.0),
  'bce_distillation': (0.0, inputs.BETA),
  'combined': (inputs.ALPHA, inputs.BETA),
}

# For forward passes: unoptimised machine code, made in half the time.
jit_quickly = partial(jax.jit, compiler_options={'xla_backend_optimization_level': 0})


@cache
def golden(name):
  with np.load(Path(__file__).parent / 'golden' / f'{name}.npz') as values:
    return dict(values)


def relative(found, expected):
  return float(np.linalg.norm(np.ravel(found - expected)) / np.linalg.norm(np.ravel(expected)))


def by_name(params):
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(params)
  }


def stands_before_a_norm(architecture, name):
  """Whether a leaf is one of the biases that batch norm subtracts again: U-Net's, but the last.

  They have no influence on the outputs: their gradient is zero but for weight decay and rounding.
  """
  return architecture == 'unet' and name.rsplit('/', 2)[-2:] in (
    ['conv1', 'bias'],
    ['conv2', 'bias'],
  )


def joined(architecture, leaves):
  """One vector of all leaves that have an influence on the outputs."""
  return np.concatenate(
    [leaf.ravel() for name, leaf in leaves.items() if not stands_before_a_norm(architecture, name)]
  )


def make_narrow(architecture, affine):
  """Returns apply(params, images), the parameters, and a reader of stored vectors as leaves.

  Convolutions are matrix products, which a CPU runs in loops ten times faster than XLA's own
  convolution; the full networks are tested with the default.
  """
  widths = inputs.NARROW_WIDTHS[architecture]
  model = make_model(architecture, widths=widths, affine=affine, lowering='patches')
  state = inputs.draw_state_dict(architecture, widths, affine=affine, seed=inputs.NARROW_SEED)

  def stored(key):
    vector = golden(architecture)[key]
    return by_name(params_from_torch(inputs.unflatten(vector, state), architecture))

  def apply(params, images):
    return model.apply({'params': params}, images)

  return apply, params_from_torch(state, architecture), stored


def make_episode(seed):
  return Episode(**{name: jnp.asarray(value) for name, value in inputs.draw_episode(seed).items()})


def moved(after, before):
  return by_name(jax.tree.map(lambda a, b: a - b, after, before))


@cache
def make_adapt(architecture):
  """Returns adapt(params, episode, alpha, beta) -> params under 'combined', compiled once."""
  apply, _, _ = make_narrow(architecture, affine=False)
  optimizer = inner_optimizer(inputs.INNER_LR, inputs.WEIGHT_DECAY)

  @jax.jit
  def adapt_combined(params, episode, alpha, beta):
    options = {'apply': apply, 'objective': 'combined', 'alpha': alpha, 'beta': beta}
    num_steps = inputs.NUM_INNER_STEPS
    return adapt(params, episode, optimizer=optimizer, num_steps=num_steps, **options)[0]

  return adapt_combined


@pytest.mark.parametrize(('affine', 'height', 'width'), inputs.FORWARD_CASES)
@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_outputs_of_the_full_networks(architecture, affine, height, width):
  widths = inputs.FULL_WIDTHS[architecture]
  state = inputs.draw_state_dict(architecture, widths, affine=affine, seed=inputs.FULL_SEED)
  params = params_from_torch(state, architecture)
  model = make_model(architecture, affine=affine)  # the default widths are the reference's
  images = inputs.draw_images(inputs.FORWARD_SEED, 2, height, width)
  outputs = jit_quickly(model.apply)({'params': params}, images)
  for name, output in zip(('logits', 'features'), outputs, strict=True):
    expected = golden(architecture)[f'forward/{height}x{width}/{name}']
    assert output.shape == expected.shape
    assert relative(output, expected) < 1e-4, name
    largest = np.abs(expected).max()
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * largest, err_msg=name)


@pytest.mark.parametrize('case', ['ordinary', 'large', 'degenerate'])
def test_losses(case):
  given = {name: jnp.asarray(value) for name, value in inputs.draw_loss_cases()[case].items()}
  found = {
    'weighted_bce': losses.weighted_bce(given['logits'], given['masks']),
    'entropy_regularisation': losses.entropy_regularisation(given['logits']),
    'distillation': losses.distillation(given['features'], given['other_features']),
  }
  for name, value in found.items():
    assert value.shape == ()
    np.testing.assert_allclose(value, golden('losses')[f'{case}/{name}'], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize('objective', inputs.OBJECTIVES)
def test_which_terms_an_objective_has(objective):
  given = inputs.draw_loss_cases()['ordinary']
  # A network that answers each group of images with given tensors; others would be seen as NaN.
  outputs = {
    'images': (given['logits'], given['features']),
    'entropy_images': (given['logits'], np.nan),
    'distillation_images': (np.nan, given['other_features']),
  }
  episode = Episode(
    images='images',
    masks=jnp.asarray(given['masks']),
    entropy_images='entropy_images',
    distillation_images='distillation_images',
  )
  alpha, beta = WEIGHTS[objective]
  found, _ = losses.objective_loss(
    lambda params, images: outputs[images],
    {},
    episode,
    objective=objective,
    alpha=inputs.ALPHA,
    beta=inputs.BETA,
  )
  terms = golden('losses')
  expected = (
    terms['ordinary/weighted_bce']
    + alpha * terms['ordinary/entropy_regularisation']
    + beta * terms['ordinary/distillation']
  )
  np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_objectives_and_their_gradients_leaf_by_leaf(architecture):
  apply, params, stored = make_narrow(architecture, inputs.GRADIENT_AFFINE[architecture])
  episode = make_episode(inputs.EPISODE_SEEDS[0])
  loss_of = partial(losses.objective_loss, apply, objective='combined')
  value_and_grad = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
  for objective, (alpha, beta) in WEIGHTS.items():
    (loss, _), gradient = value_and_grad(params, episode, alpha=alpha, beta=beta)
    expected_loss = golden(architecture)[f'value/{objective}']
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5, err_msg=objective)
    found, expected = by_name(gradient), stored(f'gradient/{objective}')
    assert found.keys() == expected.keys()
    whole = np.linalg.norm(joined(architecture, expected))
    for name, value in expected.items():
      if stands_before_a_norm(architecture, name):
        # Truly zero, so that a relative distance has no meaning: rounding alone is left.
        assert np.linalg.norm(found[name]) < 1e-5 * whole, (objective, name)
      else:
        assert relative(found[name], value) < 1e-3, (objective, name)


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_twenty_inner_steps(architecture):
  apply, params, stored = make_narrow(architecture, affine=False)
  episode = make_episode(inputs.EPISODE_SEEDS[0])
  compiled = jit_quickly(apply)
  for objective, (alpha, beta) in WEIGHTS.items():
    adapted = make_adapt(architecture)(params, episode, alpha, beta)
    found, expected = moved(adapted, params), stored(f'update/{objective}')
    # Biases before a norm are left out here: their true gradient is zero but for weight decay,
    # and Adam makes whole steps of rounding noise. That they do not matter, the logits show.
    distance = relative(joined(architecture, found), joined(architecture, expected))
    assert distance < 1e-2, objective
    logits, _ = compiled(adapted, episode.images)
    expected_logits = golden(architecture)[f'adapted_logits/{objective}']
    assert relative(logits, expected_logits) < 1e-2, objective


@pytest.mark.parametrize('architecture', ARCHITECTURES)
def test_one_reptile_step_over_two_tasks(architecture):
  _, params, stored = make_narrow(architecture, affine=False)
  adapted = [
    make_adapt(architecture)(params, make_episode(seed), inputs.ALPHA, inputs.BETA)
    for seed in inputs.EPISODE_SEEDS
  ]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *adapted)
  for meta_lr in inputs.META_LRS:
    optimizer = optax.sgd(meta_lr)
    gradient = reptile_gradient(params, stacked)
    updates, _ = optimizer.update(gradient, optimizer.init(params))
    found = moved(optax.apply_updates(params, updates), params)
    expected = stored(f'reptile/{meta_lr}')
    distance = relative(joined(architecture, found), joined(architecture, expected))
    assert distance < 1e-2, meta_lr
