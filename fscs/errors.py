"""The one error that a user is meant to read."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar('T')


class InputError(ValueError):
  """A file, argument or data set that cannot be used as given.

  The message is one line. It names the file or argument, what was found, what was expected and what
  to do about it. Commands print it without a traceback and exit with status 2.

  Attributes:
    arguments: names of the arguments to change. A command adds the options of these names.

  >>> str(InputError('crop_size is 300: larger than the images', arguments=('crop_size',)))
  'crop_size is 300: larger than the images'
  """

  def __init__(self, message: str, *, arguments: tuple[str, ...] = ()):
    super().__init__(one_line(message))
    self.arguments = arguments


def one_line(text: str) -> str:
  """A text on one line; names of files may have line breaks.

  >>> one_line('cells\\n1.tif')
  'cells\\\\n1.tif'
  """
  return text.replace('\r', r'\r').replace('\n', r'\n')


def lookup(table: Mapping[str, T], name: str, argument: str) -> T:
  """The entry of a table of choices.

  Args:
    table: the choices by name.
    name: the one wanted.
    argument: what the choice is called in the message.

  Raises:
    InputError: there is no such choice. The message lists those that there are.

  >>> lookup({'adam': 1, 'muon': 2}, 'muon', 'optimizer')
  2
  """
  if name not in table:
    raise InputError(
      f'{argument} {name!r}: expected one of {", ".join(table)}', arguments=(argument,)
    )
  return table[name]
