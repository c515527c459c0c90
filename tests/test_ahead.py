"""Compiling in the background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fscs.compilation import compile_ahead


def test_the_function_is_traced_once_and_gives_what_it_gives_without():
  traces = []

  def scaled(tree, factor):
    traces.append(1)
    return jax.tree.map(lambda leaf: leaf * factor, tree)

  ahead = compile_ahead(jax.jit(scaled), {'a': jnp.ones((2, 3))}, np.float32(1))
  assert len(traces) == 1
  for factor in (2.0, 3.0):
    given = {'a': jnp.arange(6.0).reshape(2, 3)}
    result = ahead(given, np.float32(factor))
    np.testing.assert_array_equal(result['a'], factor * given['a'])
  assert len(traces) == 1


def test_an_example_may_be_given_away_before_the_next_program_is_made():
  grow = jax.jit(lambda state: state + 1, donate_argnums=0)
  example = jnp.zeros(3)
  first = compile_ahead(grow, example)
  assert first(example)[0] == 1
  assert example.is_deleted()
  assert compile_ahead(grow, example)(jnp.ones(3))[0] == 2


def test_other_shapes_than_those_of_the_examples_are_refused():
  ahead = compile_ahead(jax.jit(jnp.sum), jnp.zeros(3))
  with pytest.raises(TypeError, match=r'float32\[3\] and called with float32\[4\]'):
    ahead(jnp.zeros(4))


def test_an_error_of_tracing_is_raised_at_once():
  with pytest.raises(TypeError, match='shapes'):
    compile_ahead(jax.jit(jnp.add), jnp.zeros(3), jnp.zeros(4))
