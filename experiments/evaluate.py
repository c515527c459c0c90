"""Moved to `fscs evaluate`; this forwards for one release."""

import sys

from fscs.cli.main import main

if __name__ == '__main__':
  print('note: use `fscs evaluate`; this module will be removed', file=sys.stderr)
  main(['evaluate', *sys.argv[1:]])
