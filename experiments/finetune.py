"""Moved to `fscs finetune`; this forwards for one release."""

import sys

from fscs.cli.main import main

if __name__ == '__main__':
  print('note: use `fscs finetune`; this module will be removed', file=sys.stderr)
  main(['finetune', *sys.argv[1:]])
