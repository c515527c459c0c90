"""The console command `fscs`."""

import sys


def main() -> None:
  """Run the command line; says what to install if a package of the extra `cli` is missing."""
  try:
    from fscs.cli.main import main as run
  except ModuleNotFoundError as error:
    print(f"error: {error.name} is not installed: pip install 'fscs[cli]'", file=sys.stderr)
    raise SystemExit(2) from None
  run()
