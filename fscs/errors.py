"""The one error that a user is meant to read."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')


class InputError(ValueError):
  """A file, option or data set that cannot be used as given.

  The message is one line: it names the file or option, what was found, what was expected and what
  to do about it. Commands print it without a traceback and exit with status 2.
  """


def named(table: Mapping[str, T], name: str, what: str) -> T:
  """What a table has under a name; raises InputError, which names what there is, for others."""
  if name not in table:
    raise InputError(f'{what} {name!r}: expected one of {", ".join(table)}')
  return table[name]
