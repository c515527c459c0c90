"""What the axes of an array are: rows, columns, channels or pages.

Files of ImageJ and OME name them. For other arrays of three or more axes, and NPY files, there is
one rule: the last axis holds channels if its length is 1, 3 or 4, or at most an eighth of the two
before it. All others before rows and columns are pages.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from fscs.errors import InputError

MIN_ASPECT = 8  # rows and columns are this many times longer than an axis of channels


def axes_of_array(shape: Sequence[int]) -> str | None:
  """One letter per axis by the rule above; None if there are fewer than two.

  >>> axes_of_array((2, 40, 60)), axes_of_array((40, 60, 2))
  ('QYX', 'YXS')
  """
  if len(shape) < 2:
    return None
  named = 'YXS' if _holds_channels(shape) else 'YX'
  return 'Q' * (len(shape) - len(named)) + named


def _holds_channels(shape: Sequence[int]) -> bool:
  if len(shape) < 3:
    return False
  *_, height, width, last = shape
  return last in (1, 3, 4) or MIN_ASPECT * last <= min(height, width)


def require_axes(axes: str) -> None:
  """Check what a user says about axes.

  Args:
    axes: one letter per axis: Y, X, C or S for channels, and any others for pages.

  Raises:
    InputError: Y or X is missing, or a letter is there twice.

  >>> require_axes('CYX')
  """
  letters = axes.isascii() and axes.isalpha() and axes.isupper()
  if not letters or len(set(axes)) < len(axes) or not {'Y', 'X'} <= set(axes) or 'CS' in axes:
    raise InputError(
      f'axes is {axes!r}: expected one letter per axis, with Y, X and at most one C for channels,'
      ' such as CYX, YXC or ZYX',
      arguments=('axes',),
    )


def given_axes(path: Path, shape: Sequence[int], axes: str) -> str:
  """One letter per axis of a file, from those that a user gave.

  Axes of length 1 need no letter. An array of rows and columns alone is one.

  Args:
    path: the file, for the message.
    shape: of its array.
    axes: as for `require_axes`.

  Raises:
    InputError: the array has another number of axes.

  >>> given_axes(Path('a.tif'), (1, 2, 40, 60, 1), 'CYX')
  'QCYXQ'
  """
  long = [size for size in shape if size > 1]
  if len(long) == len(axes):
    letters = iter(axes)
    return ''.join(next(letters) if size > 1 else 'Q' for size in shape)
  if len(shape) == len(axes):
    return axes
  found = axes_of_array(shape)
  if len(long) <= 2 and found and math.prod(shape[:-2]) == 1:
    return found
  raise InputError(
    f'{path}: found an array of shape {" x ".join(map(str, shape))}, expected {len(axes)} axes as'
    f' in {axes}; correct the axes, or save the file as the others',
    arguments=('axes',),
  )
