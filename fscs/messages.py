"""Short notes for the user, with a few names as examples."""

from collections.abc import Iterable, Sequence
from pathlib import Path

_NUM_EXAMPLES = 3


def examples(names: Iterable[str | Path]) -> str:
  """The first names, without folders.

  >>> examples(['a/1.tif', 'a/2.tif', 'a/3.tif', 'a/4.tif'])
  '1.tif, 2.tif, 3.tif, ...'
  """
  short = [Path(name).name for name in names]
  return ', '.join(short[:_NUM_EXAMPLES]) + (', ...' if len(short) > _NUM_EXAMPLES else '')


def note(what: str, names: Sequence[str | Path]) -> str:
  """A note about some files or names, or '' if there are none.

  >>> note('images without a mask', ['1.tif'])
  'note: images without a mask: 1 (1.tif)'
  """
  return f'note: {what}: {len(names)} ({examples(names)})' if names else ''
