"""What several test modules need: images, tiny networks, annotated folders, the console command."""

import collections
import contextlib
import csv
import errno
import io
import os
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
import pytest
import tifffile
from skimage.draw import disk

from fscs.cli.main import main
from fscs.data.image_sets import ImageSet
from fscs.io import open_image
from fscs.io.checkpoints import save_init
from fscs.io.initialisations import Initialisation
from fscs.models import init_params, make_model
from fscs.models.layers import BatchNorm, Convolution
from fscs.segmentation.instances import Watershed
from fscs.segmentation.prediction import with_batch_statistics
from fscs.segmentation.segmenter import Segmenter, SupportSummary
from fscs.typing import Params

REPOSITORY = Path(__file__).resolve().parents[1]

TINY_WIDTHS = {'fcrn': (4, 4, 8, 8), 'unet': (4, 4, 8), 'deep_unet': (4, 4, 4, 8)}


def disk_labels(*places: tuple[float, float, float], shape=(100, 100)) -> np.ndarray:
  """Labels of disks: (row, column, radius) each."""
  labels = np.zeros(shape, np.int32)
  for number, (row, column, radius) in enumerate(places, 1):
    labels[disk((row, column), radius, shape=shape)] = number
  return labels


@contextlib.contextmanager
def compilations() -> Iterator[collections.Counter]:
  """Counts programs that are compiled and were not on disk."""
  counted: collections.Counter = collections.Counter()

  def listen(event: str, **_) -> None:
    if event == '/jax/compilation_cache/compile_requests_use_cache':
      counted['compiled'] += 1
    elif event == '/jax/compilation_cache/cache_hits':
      counted['compiled'] -= 1

  jax.monitoring.register_event_listener(listen)
  try:
    yield counted
  finally:
    jax.monitoring.unregister_event_listener(listen)


def peak_memory(function: Callable[[], Any]) -> tuple[Any, int]:
  """What the function returns, and the bytes that Python and NumPy held at most."""
  tracemalloc.start()
  try:
    result = function()
    return result, tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def read_pages(path, scene: str | None = None, channel=None) -> np.ndarray:
  """(N, H, W): all pages of an image."""
  with open_image(path, channel, scene=scene) as image:
    return np.stack([image.read(n, slice(None), slice(None)) for n in range(image.shape[0])])


def read_region(path, rows: slice, columns: slice) -> np.ndarray:
  """A region of the first page."""
  with open_image(path) as image:
    return image.read(0, rows, columns)


def cells(seed: int, shape=(72, 96), count=6, radius=8) -> tuple[np.ndarray, np.ndarray]:
  """Bright disks on a noisy ramp: (H, W) uint16, and a label for each."""
  random = np.random.default_rng(seed)
  centres = random.uniform(radius, np.array(shape) - radius, (count, 2))
  labels = disk_labels(*((row, column, radius) for row, column in centres), shape=shape)
  image = 300 + 3 * np.arange(shape[1]) + random.normal(0, 40, shape) + 500 * (labels > 0)
  return image.astype(np.uint16), labels


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
  """Uniform noise, uint8."""
  return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def small_initialisation() -> Initialisation:
  """Random parameters of a network that learns `cells` in a few dozen steps."""
  model = make_model('fcrn', widths=(8, 8, 16, 16), kernel_init='he')
  return Initialisation('fcrn', model.widths, init_params(model, jax.random.key(0)), (16.0, 16.0))


def tiny_segmenter(architecture='fcrn', **changes) -> Segmenter:
  """A segmenter with random parameters, for what does not depend on how good it is."""
  widths = TINY_WIDTHS[architecture]
  model = make_model(architecture, widths=widths, kernel_init='he', affine=True, norm_scale=1.0)
  params = init_params(model, jax.random.key(3))
  attributes = {
    'network': with_batch_statistics(architecture, widths, params, noise((1, 64, 64))),
    'scale': 1.0,
    'channel': None,
    'watershed': Watershed(min_area=4),
    'support': SupportSummary((1.0, 8.0, 40.0), (0.0, 120.0, 255.0), (1.0, 60.0, 120.0)),
  }
  return Segmenter(**attributes | changes)


def save_small_initialisation(folder: Path) -> None:
  """Write `small_initialisation` as the folder of a training run."""
  start = small_initialisation()
  facts = {'architecture': start.architecture, 'diameter_range': start.diameter_range}
  save_init(folder, start.params, facts)


def write_pair(images: Path, masks: Path, name: str, seed: int, **options) -> None:
  """Write NAME.tif of `cells` and NAME_mask.tif with its labels."""
  image, labels = cells(seed, **options)
  tifffile.imwrite(images / f'{name}.tif', image)
  tifffile.imwrite(masks / f'{name}_mask.tif', labels.astype(np.uint16))


def write_ome_set(folder: Path, planes: np.ndarray, parts: int) -> None:
  """OME-TIFF files s0, s1, ... of one set, each with some sections and the metadata of all."""
  count, (height, width) = len(planes) // parts, planes.shape[1:]
  ids = [f'urn:uuid:00000000-0000-0000-0000-00000000000{part}' for part in range(parts)]
  data = ''.join(
    f'<TiffData FirstZ="{count * part}" IFD="0" PlaneCount="{count}">'
    f'<UUID FileName="s{part}.ome.tif">{ids[part]}</UUID></TiffData>'
    for part in range(parts)
  )
  for part in range(parts):
    description = (
      '<?xml version="1.0" encoding="UTF-8"?>'
      f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{ids[part]}">'
      '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16"'
      f' SizeX="{width}" SizeY="{height}" SizeZ="{len(planes)}" SizeC="1" SizeT="1">'
      f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )
    tifffile.imwrite(
      folder / f's{part}.ome.tif',
      planes[count * part : count * (part + 1)],
      description=description,
      metadata=None,
      photometric='minisblack',
    )


def full_disk() -> OSError:
  """As writing to a file raises it."""
  return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk_in_tensorstore() -> ValueError:
  """As writing a checkpoint raises it."""
  return ValueError("RESOURCE_EXHAUSTED: Failed writing [os_error_code='28']")


def fails_after(
  patch: pytest.MonkeyPatch,
  owner: Any,
  name: str,
  room: int,
  error: Callable[[], Exception] = full_disk,
) -> None:
  """From the call after the next `room` ones, a function or method raises an error."""
  original, calls = getattr(owner, name), []

  def fail(*arguments, **keywords):
    calls.append(name)
    if len(calls) > room:
      raise error()
    return original(*arguments, **keywords)

  patch.setattr(owner, name, fail)


def read_table(path: Path) -> list[dict[str, str]]:
  """The rows of a CSV file."""
  with path.open(newline='', encoding='utf-8', errors='surrogateescape') as file:
    return list(csv.DictReader(file))


class RecordedProgress:
  """A progress that keeps what is reported."""

  def __init__(self) -> None:
    self.stages: dict[str, tuple[int, int]] = {}  # title: units announced and done

  @contextlib.contextmanager
  def __call__(self, title: str, total: int):
    """A stage; see `fscs.progress.Progress`."""
    self.stages[title] = (total, 0)

    def advance(count=1, /, **_figures):
      self.stages[title] = (total, self.stages[title][1] + count)

    yield advance


class Outcome(NamedTuple):
  """How a command ended."""

  status: int
  out: str
  err: str


def run_fscs(*arguments: object) -> Outcome:
  """Run the console command in this process."""
  out, err, status = io.StringIO(), io.StringIO(), 0
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      main([str(argument) for argument in arguments])
    except SystemExit as stop:
      status = stop.code or 0
  return Outcome(status, out.getvalue(), err.getvalue())


def refusal(arguments: Sequence[object]) -> str:
  """The one line with which the console command refuses its arguments."""
  outcome = run_fscs(*arguments)
  assert outcome.status == 2, outcome
  line = outcome.err.splitlines()[-1]
  assert line.startswith('error: '), outcome.err
  return line.removeprefix('error: ')


class TwoLayers(nn.Module):
  """The layers of the networks once; it compiles in a fraction of their time."""

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = nn.relu(BatchNorm(name='norm1')(Convolution(4, name='conv1')(images)))
    return Convolution(1, use_bias=True, name='conv8')(features), features


def apply_two_layers(params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Logits and features of `TwoLayers`."""
  return TwoLayers().apply({'params': params}, images)


def two_layer_params(seed: int = 0) -> Params:
  """Random parameters of `TwoLayers`."""
  return TwoLayers().init(jax.random.key(seed), np.zeros((1, 8, 8, 1), np.float32))['params']


def disk_image(seed: int, size: int = 64, radius: int = 12) -> tuple[np.ndarray, np.ndarray]:
  """A bright disk on noise: image (size, size) uint8 and mask (size, size) bool."""
  rng = np.random.default_rng(seed)
  centre = rng.integers(radius, size - radius, 2)
  mask = disk_labels((*centre, radius), shape=(size, size)) > 0
  image = rng.integers(20, 80, (size, size)) + mask * 120
  return image.astype(np.uint8), mask


def disk_set(code: str = 'B5', num_images: int = 12, size: int = 64) -> ImageSet:
  """Annotated images of one disk each; every code has other images."""
  seeds = [1000 * sum(code.encode()) + i for i in range(num_images)]
  images, masks = zip(*(disk_image(seed, size) for seed in seeds), strict=True)
  return ImageSet(code, images, masks, tuple(f'{i:02}.png' for i in range(num_images)))


def displacement(start: Params, end: Params) -> np.ndarray:
  """The way from one tree of parameters to another, as one vector."""
  leaves = jax.tree.leaves(jax.tree.map(lambda a, b: np.ravel(b - a), start, end))
  return np.concatenate(leaves)


def assert_trees_equal(one: Any, other: Any) -> None:
  """Every array equals the other tree's, bit for bit."""
  jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_trees_close(one: Any, other: Any, *, rtol: float = 1e-5, atol: float = 1e-6) -> None:
  """Every array is close to the other tree's."""
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), one, other)
