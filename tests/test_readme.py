"""The README's Python example runs as it stands there."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).resolve().parents[1] / 'README.md'


def test_the_python_example_runs():
  (example,) = re.findall(r'```python\n(.*?)```', README.read_text(), flags=re.DOTALL)
  names = {}
  exec(compile(example, 'README.md', 'exec'), names)
  assert np.isfinite(names['history'].loss).all()
  assert names['history'].loss.shape == (5,)
