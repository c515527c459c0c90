"""Presets: one file each, with the values of all options that it decides.

An option that is given on the command line comes before the preset.
"""

from typing import Any, Literal

from experiments.configs import cpu, demo, paper, recommended, smoke

Preset = Literal['paper', 'cpu', 'recommended', 'demo', 'smoke']

PRESETS: dict[str, dict[str, Any]] = {
  'paper': paper.CONFIG,
  'cpu': cpu.CONFIG,
  'recommended': recommended.CONFIG,
  'demo': demo.CONFIG,
  'smoke': smoke.CONFIG,
}
