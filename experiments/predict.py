"""Moved to `fscs predict`; this forwards for one release."""

import sys

from fscs.cli.main import main

if __name__ == '__main__':
  print('note: use `fscs predict`; this module will be removed', file=sys.stderr)
  main(['predict', *sys.argv[1:]])
