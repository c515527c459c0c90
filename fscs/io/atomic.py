"""Files that appear whole or not at all."""

import contextlib
import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
  """A path beside `path` to write to; the file takes its place at the end, or is removed on error.

  Args:
    path: the file to replace.

  Examples:
    with atomic_path(Path('page.html')) as temporary:
      temporary.write_text(page)
  """
  temporary = path.with_name(f'.{os.getpid()}-{path.name}')  # keeps the suffix
  try:
    yield temporary
    temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
  """Write a UTF-8 file; file names with undecodable bytes are kept as they are."""
  write_bytes(path, text.encode(errors='surrogateescape'))


def write_bytes(path: Path, content: bytes) -> None:
  """Write a file."""
  with atomic_path(path) as temporary:
    temporary.write_bytes(content)


def write_csv(path: Path, rows: Sequence[Sequence[object]], columns: Sequence[str]) -> None:
  """Write a table; floats with six significant digits."""
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow(columns)
  for row in rows:
    writer.writerow([f'{value:.6g}' if isinstance(value, float) else value for value in row])
  write_text(path, text.getvalue())
