"""Files that appear whole or not at all."""

import contextlib
import csv
import errno
import io
import os
from collections.abc import Iterable, Iterator, Sequence
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
    with errors_name(path, temporary):
      yield temporary
      temporary.replace(path)
  finally:
    temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def errors_name(path: Path, temporary: Path | None = None) -> Iterator[None]:
  """An OSError that names no file, as that of a full disk, or the temporary one, names `path`."""
  try:
    yield
  except OSError as error:
    if error.errno is None:  # of a library
      raise OSError(errno.EIO, str(error), str(path)) from error
    if error.filename in (None, str(temporary)):
      error.filename, error.filename2 = str(path), None
    raise


def write_text(path: Path, text: str) -> None:
  """Write a UTF-8 file; file names with undecodable bytes are kept as they are."""
  write_bytes(path, text.encode(errors='surrogateescape'))


def write_bytes(path: Path, content: bytes) -> None:
  """Write a file."""
  with atomic_path(path) as temporary:
    temporary.write_bytes(content)


def append_text(path: Path, text: str) -> None:
  """Add text to a UTF-8 file, all of it or nothing."""
  rest = memoryview(text.encode(errors='surrogateescape'))
  with errors_name(path), path.open('ab', buffering=0) as file:
    size = file.seek(0, os.SEEK_END)
    try:
      while rest:  # a disk that becomes full takes a part first
        rest = rest[file.write(rest) :]
    except OSError:
      file.truncate(size)
      raise


def write_csv(path: Path, rows: Sequence[Sequence[object]], columns: Sequence[str]) -> None:
  """Write a table; floats with six significant digits."""
  rounded = ([f'{v:.6g}' if isinstance(v, float) else v for v in row] for row in rows)
  write_text(path, csv_text([columns, *rounded]))


def csv_text(rows: Iterable[Iterable[object]]) -> str:
  """Rows as lines of a table.

  >>> csv_text([('name', 'iou'), ('a, b', 0.5)])
  'name,iou\\n"a, b",0.5\\n'
  """
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  return text.getvalue()
