"""Parses the command line of `fscs`; `python -m fscs` is the same."""

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from fscs.cli.console import RESUMES, closed_output_allowed, run_command
from fscs.cli.demo import Demo, demo
from fscs.cli.evaluate import Evaluate, evaluate
from fscs.cli.finetune import Finetune, finetune
from fscs.cli.parsing import parse
from fscs.cli.predict import Predict, predict

# XLA otherwise asks users to file a bug if the machine is slow; JAX reads this when it is imported.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

_COMMANDS: dict[type, Callable[[Any], Any]] = {
  Finetune: finetune,
  Predict: predict,
  Evaluate: evaluate,
  Demo: demo,
}
_RESTARTS = 'nothing is kept: the same command begins anew'
_KEEPS_MODEL = 'a first model that was announced is kept; the same command begins anew'

Command = (
  Annotated[Finetune, tyro.conf.subcommand('finetune')]
  | Annotated[Predict, tyro.conf.subcommand('predict')]
  | Annotated[Evaluate, tyro.conf.subcommand('evaluate')]
  | Annotated[Demo, tyro.conf.subcommand('demo')]
)


def main(arguments: Sequence[str] | None = None) -> None:
  """Run the command that the arguments (by default those of the process) name."""
  with closed_output_allowed():
    config: Any = parse(
      Command,
      prog='fscs',
      description='Few-shot cell segmentation: from a few annotated images to segmented cells.',
      args=arguments,
    )
    interrupted = {Predict: RESUMES, Finetune: _KEEPS_MODEL}.get(type(config), _RESTARTS)
    run_command(_COMMANDS[type(config)], config, interrupted=interrupted)
