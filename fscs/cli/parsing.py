"""Parses command lines into dataclasses, with tyro."""

import dataclasses
import functools
import operator
import types
from collections.abc import Callable
from typing import Any, Union, get_args

import tyro
from tyro.constructors import (
  ConstructorRegistry,
  PrimitiveConstructorSpec,
  PrimitiveTypeInfo,
  UnsupportedTypeAnnotationError,
)


def parse(config_class: Any, **options: Any) -> Any:
  """`tyro.cli` whose help shows an option of type `Path | None` as PATH, not {None}|PATH.

  Args:
    config_class: what to make: a dataclass, or a union of them for sub-commands.
    options: of `tyro.cli`.
  """
  registry = ConstructorRegistry()
  registry.primitive_rule(_or_none)
  with registry:
    return tyro.cli(config_class, **options)


def _or_none(
  info: PrimitiveTypeInfo,
) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError | None:
  """Options that may be None are given as if they could not be: None means not given."""
  members = get_args(info.type)
  if info.type_origin not in (Union, types.UnionType) or type(None) not in members:
    return None
  others = functools.reduce(operator.or_, (m for m in members if m is not type(None)))
  spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(others, info.markers))
  if isinstance(spec, UnsupportedTypeAnnotationError):
    return spec
  return dataclasses.replace(
    spec,
    is_instance=_allowing_none(spec.is_instance, True),
    str_from_instance=_allowing_none(spec.str_from_instance, ['None']),
  )


def _allowing_none(function: Callable[[Any], Any], of_none: Any) -> Callable[[Any], Any]:
  return lambda value: of_none if value is None else function(value)
