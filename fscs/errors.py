"""The one error that a user is meant to read."""


class InputError(ValueError):
  """A file, option or data set that cannot be used as given.

  The message is one line: it names the file or option, what was found, what was expected and what
  to do about it. Commands print it without a traceback and exit with status 2.
  """
