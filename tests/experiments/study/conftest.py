"""Small data sets in place of the published ones, a study of them, and results made up."""

from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY_WIDTHS, cells

from experiments.common import data
from experiments.common.options import NetworkOptions
from experiments.study import methods, protocols, run
from experiments.study.methods import METHODS
from experiments.study.protocols import PROTOCOLS
from experiments.study.store import Result, Run
from fscs.data.image_sets import ImageSet


def small_set(code: str, _options=None) -> ImageSet:
  """Twelve images of bright disks; every data set has others."""
  seeds = [1000 * sum(code.encode()) + i for i in range(12)]
  pairs = [cells(seed, shape=(256, 256), count=8, radius=24) for seed in seeds]
  images = tuple((image // 5).clip(0, 255).astype(np.uint8) for image, _ in pairs)
  labels = tuple(image for _, image in pairs)
  masks = tuple(image > 0 for image in labels)
  return ImageSet(code, images, masks, tuple(f'{i:02}.png' for i in range(12)), labels)


def small_network(name: str, seed: int) -> NetworkOptions:
  """The method's network with few channels. XLA's own convolution compiles fastest."""
  arch, kernel_init = METHODS[name].arch, METHODS[name].kernel_init
  return NetworkOptions(arch, kernel_init, TINY_WIDTHS[arch], lowering='xla', seed=seed)


@pytest.fixture(scope='module')
def small_sets():
  """Commands see `small_set` in place of the published images."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data, 'load_set', small_set)
    protocols.load_target.cache_clear()
    yield
  protocols.load_target.cache_clear()


class InThisProcess:
  """A pool that does its jobs at once, without a process, which takes seconds to start."""

  def __init__(self, *_) -> None:
    pass

  def __enter__(self):
    return self

  def __exit__(self, *_) -> None:
    pass

  def submit(self, function, job, *arguments) -> Future:
    future: Future = Future()
    future.set_result(function(job, *arguments))
    return future


@pytest.fixture(scope='module')
def do_study(small_sets):
  """A function that runs `study` on small data sets, and returns the runs that it did."""
  done: list[Run] = []
  do_job = run.do_job

  def noted(job, *arguments) -> Result:
    done.append(job.run)
    return do_job(job, *arguments)

  def study(workdir: Path, **options) -> list[Run]:
    done.clear()
    run.study(run.Config('smoke', str(workdir), simulated=True, **options))
    return list(done)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(methods, '_network_options', small_network)
    patch.setattr(run, 'ProcessPoolExecutor', InThisProcess)
    patch.setattr(run, 'do_job', noted)
    yield study


@pytest.fixture
def made_up():
  """A function that makes a result: `made_up('otsu', 'EM', [0.5, 0.7], shots=5)`."""

  def make(
    method, target, iou, *, shots=1, selection=1, steps=None, protocol='cpu-small', **fields
  ):
    if steps is None:
      steps = methods.final_steps(method, PROTOCOLS[protocol])
    configuration = methods.configuration(method, protocol, simulated=False)
    standard = {
      'config': methods.digest(configuration),
      'data': 'all' if METHODS[method].training else target,
      'support': ('support',),
      'images': tuple(f'image {i}' for i in range(len(iou))),
      **{'sections': None, 'average_precision': None, 'losses': (1.0, 0.5), 'peak_mb': 100.0},
      **{'seconds': 2.0, 'seconds_per_image': 0.5},
      **{'commit': '0.0', 'machine': '2 x CPU', 'start': ''},
    }
    wanted = Run(protocol, method, target, shots, selection, 0, steps)
    return Result(wanted, iou=tuple(iou), **standard | fields)

  return make
