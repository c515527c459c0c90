"""`python -m experiments.study`; worker processes import the command by its own name."""

from experiments.common.options import run
from experiments.study.run import Config, study

if __name__ == '__main__':
  run(study, Config)
