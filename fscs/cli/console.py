"""How commands end: one line and a status for everything that a user can mend."""

import contextlib
import dataclasses
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from fscs.errors import InputError, one_line

RESUMES = 'the same command goes on from where it was saved last'


def run_command(command: Callable[[Any], Any], config: Any, *, interrupted: str = RESUMES) -> None:
  """Run a command; errors of the user end the program with one line and exit status 2.

  Args:
    command: takes the configuration.
    config: dataclass whose fields are the options.
    interrupted: what to say when the user interrupts the command.
  """
  from fscs.compilation import keep_compiled_programs

  warnings.showwarning = _show_warning
  keep_compiled_programs()
  with input_errors_shown(type(config)):
    try:
      command(config)
    except BrokenPipeError:
      raise  # see `closed_output_allowed`
    except OSError as error:
      _stop(f'error: {error.filename or "a file"}: {error.strerror or error}', 2)
    except KeyboardInterrupt:
      _stop(f'interrupted: {interrupted}', 130)


@contextlib.contextmanager
def input_errors_shown(config_class: type) -> Iterator[None]:
  """Ends the program with one line and exit status 2 at an InputError.

  Args:
    config_class: dataclass whose fields are the options.
  """
  try:
    yield
  except InputError as error:
    _stop(f'error: {error}{_options(error, config_class)}', 2)


@contextlib.contextmanager
def closed_output_allowed() -> Iterator[None]:
  """Ends without a traceback if the reader of the output has gone, as in `fscs --help | head`."""
  try:
    yield
    sys.stdout.flush()
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(1) from None


def _options(error: InputError, config_class: type) -> str:
  """The options that are named as the arguments of an error."""
  fields = {field.name for field in dataclasses.fields(config_class)}
  options = [option_name(name) for name in error.arguments if name in fields]
  return f' ({", ".join(options)})' if options else ''


def option_name(field: str) -> str:
  """The option of a field.

  >>> option_name('crop_size')
  '--crop-size'
  """
  return f'--{field.replace("_", "-")}'


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
  """Our own warnings are one line for the user; others say where they come from."""
  where = '' if category is UserWarning else f' ({category.__name__}, {filename}:{lineno})'
  print(f'warning: {message}{where}', file=file or sys.stderr)


def _stop(line: str, status: int) -> NoReturn:
  print(one_line(line), file=sys.stderr)
  raise SystemExit(status) from None
