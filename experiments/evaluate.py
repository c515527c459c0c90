"""Moved to the console command: `fscs evaluate`."""

from fscs.cli.evaluate import Config, evaluate, run

if __name__ == '__main__':
  run(evaluate, Config, lambda _: Config())
