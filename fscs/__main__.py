"""`python -m fscs`, the same as the command `fscs`."""

from fscs.cli.main import main

main()
