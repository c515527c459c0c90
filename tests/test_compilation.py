"""Compiling in the background."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fscs.compilation import compile_ahead


def test_a_program_is_traced_once_and_gives_what_the_function_gives():
  traces = []

  @jax.jit
  def scaled(tree, factor):
    traces.append(1)
    return jax.tree.map(lambda leaf: leaf * factor, tree)

  program = compile_ahead(scaled, {'a': jnp.ones((2, 3))}, np.float32(1))
  given = {'a': jnp.arange(6.0).reshape(2, 3)}
  for factor in (2.0, 3.0):
    np.testing.assert_array_equal(program(given, np.float32(factor))['a'], factor * given['a'])
  assert len(traces) == 1


def test_the_example_may_be_donated_before_the_program_is_compiled():
  grow = jax.jit(lambda state: state + 1, donate_argnums=0)
  example = jnp.zeros(3)
  assert compile_ahead(grow, example)(example)[0] == 1
  assert example.is_deleted()
  assert compile_ahead(grow, example)(jnp.ones(3))[0] == 2


def test_errors_of_tracing_are_raised_at_once():
  with pytest.raises(TypeError, match='shapes'):
    compile_ahead(jax.jit(jnp.add), jnp.zeros(3), jnp.zeros(4))
