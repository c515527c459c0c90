"""Short notes for the user, with a few names as examples."""

from collections.abc import Iterable, Sequence
from pathlib import Path

_NUM_EXAMPLES = 3
_MAX_LISTED = 20

Notes = dict[str, list[str]]  # what was noticed, and the names of the files


def examples(names: Iterable[str | Path]) -> str:
  """The first names, without folders.

  >>> examples(['a/1.tif', 'a/2.tif', 'a/3.tif', 'a/4.tif'])
  '1.tif, 2.tif, 3.tif, ...'
  """
  short = [Path(name).name for name in names]
  return ', '.join(short[:_NUM_EXAMPLES]) + (', ...' if len(short) > _NUM_EXAMPLES else '')


def listed(names: Sequence[str]) -> str:
  """All names, or the first of many.

  >>> listed(['DAPI', 'GFP'])
  'DAPI, GFP'
  """
  more = len(names) - _MAX_LISTED
  return ', '.join(names[:_MAX_LISTED]) + (f' and {more} more' if more > 0 else '')


def note(what: str, names: Sequence[str | Path]) -> str:
  """A note about some files or names, or '' if there are none.

  >>> note('images without a mask', ['1.tif'])
  'note: images without a mask: 1 (1.tif)'
  """
  return f'note: {what}: {len(names)} ({examples(names)})' if names else ''


def add_notes(notes: Notes, texts: Iterable[str], name: str) -> None:
  """Add what was noticed in a file; once, however often it is noticed."""
  for text in texts:
    names = notes.setdefault(text, [])
    if name not in names[-1:]:
      names.append(name)


def shortened(name: str, length: int = 40) -> str:
  """A name without its middle if it is longer.

  >>> shortened('a-very-long-name.tif', 12)
  'a-ver...e.tif'
  """
  if len(name) <= length:
    return name
  kept = (length - 2) // 2
  return f'{name[:kept]}...{name[-kept:]}'


def counted(number: int, what: str) -> str:
  """A number with its noun.

  >>> counted(1, 'object'), counted(2, 'object')
  ('1 object', '2 objects')
  """
  return f'{number:,} {what}{"" if number == 1 else "s"}'
