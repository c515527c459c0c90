"""Write the report of a study; see `experiments.study.report`."""

from experiments.common.options import run
from experiments.study.report import Config, report

if __name__ == '__main__':
  run(report, Config)
