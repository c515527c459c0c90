"""Moved to the console command: `fscs finetune`."""

from fscs.cli.finetune import Config, finetune, run

if __name__ == '__main__':
  run(finetune, Config, lambda _: Config())
