"""Moved to the console command: `fscs predict`."""

from fscs.cli.predict import Config, predict, run

if __name__ == '__main__':
  run(predict, Config, lambda _: Config())
