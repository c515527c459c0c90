"""`python -m fscs`, the same as the command `fscs`."""

from fscs.cli import main

if __name__ == '__main__':
  main()
