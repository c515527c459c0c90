"""Programs of PyTorch: the same arithmetic in efficient PyTorch.

Data are in memory, Adam is fused, and decoders are skipped where no loss needs them. `layout` is
channels first or last; `compiled` is eager or `torch.compile`. A GPU is used if there is one, with
TF32 products as in JAX's default.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from experiments.benchmark import jobs, torch_mirror
from experiments.benchmark.jobs import Job
from fscs.training import crop_stream

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True


def _format(layout: str) -> torch.memory_format:
  return {'first': torch.contiguous_format, 'last': torch.channels_last}[layout]


def _network(arch: str, layout: str, *, affine: bool = False) -> nn.Module:
  model = torch_mirror.NETWORKS[arch](affine=affine)
  state = jobs.kernels(arch, affine=affine)
  model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
  return model.to(DEVICE, memory_format=_format(layout))


def _adam(model: nn.Module, learning_rate: float = jobs.INNER_LR) -> torch.optim.Adam:
  return torch.optim.Adam(
    model.parameters(), lr=learning_rate, weight_decay=jobs.WEIGHT_DECAY, fused=True
  )


def _nchw(array: np.ndarray, layout: str) -> Tensor:
  on_device = torch.from_numpy(array).to(DEVICE)
  return on_device.float()[:, None].contiguous(memory_format=_format(layout))


def _objective(model: nn.Module, episode: torch_mirror.Episode, objective: str) -> Tensor:
  return torch_mirror.objective_loss(model, episode, objective, jobs.ALPHA, jobs.BETA)


def _restart(model: nn.Module, start: dict[str, Tensor]) -> torch.optim.Adam:
  """Reset the parameters; returns a new optimizer."""
  with torch.no_grad():
    for name, parameter in model.named_parameters():
      parameter.copy_(start[name])
  return _adam(model)


def step(
  arch: str, objective: str, crop_size: int, num_steps: int, layout: str, compiled: bool
) -> Job:
  """Inner steps on one episode."""
  model = _network(arch, layout)
  start = {name: value.detach().clone() for name, value in model.named_parameters()}
  fields = {name: _nchw(x, layout) for name, x in jobs.episode(0, crop_size).items()}
  episode = torch_mirror.Episode(**fields)

  def loss_of() -> Tensor:
    return _objective(model, episode, objective)

  if compiled:
    loss_of = torch.compile(loss_of)

  def run() -> float:
    optimizer = _restart(model, start)
    for _ in range(num_steps):
      optimizer.zero_grad(set_to_none=True)
      loss = loss_of()
      loss.backward()
      optimizer.step()
    return loss.item()

  return Job(run, num_steps)


class _Crops(torch.utils.data.Dataset):
  """Crops on disk, decoded at every access, as in the published code."""

  def __init__(self, paths: list[tuple[Path, Path]]):
    self.paths = paths

  def __len__(self) -> int:
    return len(self.paths)

  def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
    image, mask = (np.asarray(Image.open(path)) for path in self.paths[index])
    return (
      torch.from_numpy(image.astype(np.float32))[None] / 127.5 - 1,
      torch.from_numpy((mask > 0).astype(np.float32))[None],
    )


def _write_crops(folder: Path, seed: int, count: int, size: int) -> list[tuple[Path, Path]]:
  """Crops as PNG files: image and mask."""
  pairs = []
  shape = (count, size, size)
  drawn = zip(jobs.images(seed, *shape), jobs.masks(seed, *shape), strict=True)
  for index, (image, mask) in enumerate(drawn):
    pair = tuple(folder / f'{kind}-{seed}-{index}.png' for kind in ('image', 'mask'))
    for path, pixels in zip(pair, (image, 255 * mask), strict=True):
      Image.fromarray(pixels).save(path)
    pairs.append(pair)
  return pairs


def meta_epoch(arch: str, objective: str, crop_size: int, num_steps: int, num_tasks: int) -> Job:
  """One meta-epoch as in the published code.

  A Python loop over tasks. Three loaders decode PNG crops again at every inner step. Channels come
  first, nothing is compiled, and the decoder runs for every group of images.
  """
  folder = tempfile.TemporaryDirectory()
  sources = [_write_crops(Path(folder.name), i, 20, crop_size) for i in range(num_tasks)]
  model = _network(arch, 'first')
  start = {name: value.detach().clone() for name, value in model.named_parameters()}
  random = np.random.default_rng(0)

  def loader(source: int) -> torch.utils.data.DataLoader:
    chosen = random.integers(0, len(sources[source]), jobs.NUM_CROPS)
    crops = _Crops([sources[source][i] for i in chosen])
    return torch.utils.data.DataLoader(crops, batch_size=jobs.NUM_CROPS)

  def task(source: int) -> dict[str, Tensor]:
    others = [i for i in range(num_tasks) if i != source] or [source]
    loaders = [loader(i) for i in (source, *random.choice(others, 2))]
    optimizer = _restart(model, start)
    for _ in range(num_steps):
      for (images, masks), (positive, _), (negative, _) in zip(*loaders, strict=True):
        optimizer.zero_grad()
        fields = (x.to(DEVICE) for x in (images, masks, positive, negative))
        _objective(model, torch_mirror.Episode(*fields), objective).backward()
        optimizer.step()
    return {name: value.detach().clone() for name, value in model.named_parameters()}

  def run(keep: tempfile.TemporaryDirectory = folder) -> float:  # the folder lives as long as run
    adapted = [task(source) for source in range(num_tasks)]
    for name, value in start.items():
      value + torch.stack([parameters[name] - value for parameters in adapted]).mean(0)
    return math.nan  # its crops are not those of fscs

  return Job(run, 1)


def finetune(
  arch: str, crop_size: int, num_steps: int, batch_size: int, layout: str, compiled: bool
) -> Job:
  """Fine-tuning on five images, in the same batches as fscs."""
  model = _network(arch, layout, affine=True)
  start = {name: value.detach().clone() for name, value in model.named_parameters()}
  shape = (5, *jobs.FOLDER_SHAPE)
  pixels = torch.from_numpy(jobs.images(0, *shape)).to(DEVICE)
  masks = torch.from_numpy(jobs.masks(0, *shape)).to(DEVICE)
  corners = _corners(jobs.masks(0, *shape), crop_size)
  stream = crop_stream(0, np.arange(len(corners), dtype=np.int32), batch_size, num_steps)

  def loss_of(x: Tensor, y: Tensor) -> Tensor:
    return torch_mirror.weighted_bce(model(x)[0], y)

  if compiled:
    loss_of = torch.compile(loss_of)

  def batch(of: Tensor, crops: np.ndarray) -> Tensor:
    cut = [of[i, r : r + crop_size, c : c + crop_size] for i, r, c in corners[crops]]
    return torch.stack(cut)[:, None].float().contiguous(memory_format=_format(layout))

  def run() -> float:
    with torch.no_grad():
      for name, parameter in model.named_parameters():
        parameter.copy_(start[name])
    optimizer = _adam(model, 1e-4)
    for crops in stream:
      optimizer.zero_grad(set_to_none=True)
      loss = loss_of(batch(pixels, crops) / 127.5 - 1, batch(masks, crops))
      loss.backward()
      optimizer.step()
    return loss.item()

  return Job(run, num_steps)


def _corners(masks: np.ndarray, crop_size: int) -> np.ndarray:
  from fscs.data.crops import crop_corners

  return crop_corners(masks, crop_size, (32, 32), 1)


def predict(arch: str, num_images: int, layout: str, compiled: bool) -> Job:
  """Foreground probabilities of many images, one after the other."""
  model = _network(arch, layout, affine=True)
  folder = jobs.images(0, num_images, *jobs.FOLDER_SHAPE)
  height, width = jobs.FOLDER_SHAPE
  padding = ((0, 0), (0, -height % 8), (0, -width % 8))
  padded = np.pad(folder, padding, mode='symmetric')

  def probability(x: Tensor) -> Tensor:
    return torch.sigmoid(model(x)[0])

  if compiled:
    probability = torch.compile(probability)

  def run() -> float:
    with torch.inference_mode():
      outputs = [
        probability(_nchw(image[None], layout) / 127.5 - 1)[..., :height, :width].cpu().numpy()
        for image in padded
      ]
    return float(np.mean(outputs))

  return Job(run, folder.size / 1e6)


def matmul(size: int | None = None) -> Job:
  """A product of two square float32 matrices, for the peak rate of the machine."""
  size = size or jobs.matrix_size(accelerator=DEVICE.type != 'cpu')
  one = torch.from_numpy(jobs.images(0, 1, size, size)[0]).float().to(DEVICE)
  return Job(lambda: float((one @ one)[0, 0]), 2 * size**3 / 1e9)


WORK = {
  'step': step,
  'meta_epoch': meta_epoch,
  'finetune': finetune,
  'predict': predict,
  'matmul': matmul,
}
