"""Time of an inner step by layer, from the profiler of JAX on a CPU.

  python -m experiments.benchmark.profile --arch fcrn --objective bce

Prints a Markdown table of milliseconds per inner step. It runs on one core, as the profiler
attributes only one thread's work to an instruction.
"""

import collections
import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import jax

from experiments.benchmark import fscs_side
from experiments.common.options import run
from fscs.losses import Objective

_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%(\S+) = .*op_name="([^"]*)"', re.MULTILINE)
_LAYER = re.compile(r'jvp\(\w+\)\)?/(\w+?)/')  # follows the network's name, as in jvp(FCRN)/conv1/
PRODUCTS = ('dot_general', 'conv_general_dilated')
COLUMNS = ('products, forward', 'rest, forward', 'products, gradients', 'rest, gradients')
ELSEWHERE = 'between layers, losses, update'


@dataclasses.dataclass(frozen=True)
class Config:
  """Options of the profile."""

  arch: Literal['fcrn', 'unet'] = 'fcrn'
  """Network."""
  objective: Objective = 'bce'
  """Objective of the step."""
  crop_size: int = 128
  """Side of the crops in pixels."""
  num_steps: int = 5
  """Inner steps to average over."""


def profile(config: Config) -> None:
  """Print the time of a step by layer."""
  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts its threads
  loop, params, episode = fscs_side.inner_loop(**dataclasses.asdict(config))
  program = loop.lower(params, episode).compile()
  jax.block_until_ready(program(params, episode))
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      begin = time.perf_counter()
      jax.block_until_ready(program(params, episode))
      seconds = (time.perf_counter() - begin) / config.num_steps
    busy = _seconds_of_instructions(next(Path(folder).rglob('*.xplane.pb')))
  names = dict(_INSTRUCTION.findall(program.as_text()))
  layers = by_layer([(n, names[n], s / config.num_steps) for n, s in busy.items() if n in names])
  print(table(layers, seconds))


def _seconds_of_instructions(path: Path) -> dict[str, float]:
  """Seconds in every compiled instruction, summed over threads."""
  seconds = collections.Counter()
  for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
    for line in plane.lines:
      for event in line.events:
        seconds[event.name] += event.duration_ns / 1e9
  return seconds


def by_layer(recorded: Iterable[tuple[str, str, float]]) -> dict[str, dict[str, float]]:
  """Seconds by layer and column.

  Args:
    recorded: (compiled instruction, JAX's name of its operation, seconds).
  """
  layers: dict[str, dict[str, float]] = {}
  for instruction, name, seconds in recorded:
    found = _LAYER.search(name)
    layer = found[1] if found else ELSEWHERE
    is_product = instruction.startswith('dot') or name.rpartition('/')[2] in PRODUCTS
    kind = 'products' if is_product else 'rest'
    way = 'gradients' if 'transpose(jvp(' in name else 'forward'
    row = layers.setdefault(layer, dict.fromkeys(COLUMNS, 0.0))
    row[f'{kind}, {way}'] += seconds
  return layers


def table(layers: Mapping[str, Mapping[str, float]], seconds: float) -> str:
  """A row per layer, with its share of the step's seconds; the rest to 100 % is idle time."""
  lines = [f'| layer | {" | ".join(COLUMNS)} | share |', '|---|' + '---:|' * (len(COLUMNS) + 1)]

  def add(name: str, cells: Sequence[float]) -> None:
    shown = ' | '.join(f'{cell * 1e3:.1f}' for cell in cells)
    lines.append(f'| {name} | {shown} | {sum(cells) / seconds:.0%} |')

  for layer in sorted(layers, key=lambda name: (name == ELSEWHERE, name)):
    add(layer, [layers[layer][column] for column in COLUMNS])
  add('all', [sum(row[column] for row in layers.values()) for column in COLUMNS])
  return '\n'.join(lines)


if __name__ == '__main__':
  run(profile, Config)
