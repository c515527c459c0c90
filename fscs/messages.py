"""Notes for the user, on what is left out or looks odd, with some names."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_EXAMPLES = 3  # names in a message


def examples(names: Iterable[str | Path]) -> str:
  """The first names, without their folders."""
  names = [Path(name).name for name in names]
  return ', '.join(names[:_EXAMPLES]) + ', ...' * (len(names) > _EXAMPLES)


def note(what: str, names: Sequence[str | Path]) -> None:
  """One line on stderr, if there are any."""
  if names:
    print(f'note: {what}: {len(names)} ({examples(names)})', file=sys.stderr)
