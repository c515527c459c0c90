"""The study as a command: every method runs in a process of its own."""

import numpy as np
import pytest

from experiments.study import run, store


@pytest.mark.slow
def test_a_method_runs_in_a_process_of_its_own(tmp_path):
  config = run.Config('smoke', str(tmp_path), simulated=True, methods=('otsu',), shots=(1,))
  run.study(config)
  (result,) = store.read_all(tmp_path)
  assert 0.2 < np.mean(result.iou) < 0.9
