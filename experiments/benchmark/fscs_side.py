"""Programs of fscs: the functions of the commands on the shared inputs."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from experiments.benchmark import jobs
from experiments.benchmark.jobs import Job
from experiments.common.finetuning import make_predict
from fscs.data.bank import make_bank
from fscs.data.image_sets import GreySet
from fscs.devices import over_tasks
from fscs.io.pytorch import params_from_torch
from fscs.losses import Apply
from fscs.meta.inner_loop import InnerLoop
from fscs.meta.reptile import init_state, make_meta_block
from fscs.models import FCRN, UNet, make_model
from fscs.optimizers import inner_optimizer
from fscs.training import Recipe, crop_stream, make_train
from fscs.typing import Episode, Params


def _make_apply(model: FCRN | UNet) -> Apply:
  def apply(params: Params, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    return model.apply({'params': params}, images)

  return apply


def _inner_loop(arch: str, objective: str, num_steps: int, **how: str) -> InnerLoop:
  return InnerLoop(
    apply=_make_apply(make_model(arch, **how)),
    objective=objective,
    optimizer=inner_optimizer(jobs.INNER_LR, jobs.WEIGHT_DECAY),
    num_steps=num_steps,
    alpha=jobs.ALPHA,
    beta=jobs.BETA,
  )


def inner_loop(
  arch: str,
  objective: str,
  crop_size: int,
  num_steps: int,
  num_tasks: int = 1,
  task_axis: str = 'auto',
  lowering: str = 'auto',
  precision: str = 'float32',
) -> tuple[Callable, Params, Episode]:
  """A jitted inner loop, its parameters, and its episode (several tasks: stacked episodes)."""
  inner = _inner_loop(arch, objective, num_steps, lowering=lowering, precision=precision)
  params = params_from_torch(jobs.kernels(arch), arch)
  episodes = [
    Episode(**{name: jnp.asarray(x[..., None]) for name, x in jobs.episode(t, crop_size).items()})
    for t in range(num_tasks)
  ]
  if num_tasks == 1:
    return jax.jit(inner), params, episodes[0]
  tasks = jax.tree.map(lambda *leaves: jnp.stack(leaves), *episodes)

  @jax.jit
  def loop(params: Params, tasks: Episode):
    return over_tasks(functools.partial(inner, params), task_axis, tasks)

  return loop, params, tasks


def step(num_steps: int, num_tasks: int = 1, **options) -> Job:
  """Inner steps of one or several tasks in one compiled call."""
  loop, params, episode = inner_loop(num_steps=num_steps, num_tasks=num_tasks, **options)

  def run() -> float:
    _, history = jax.block_until_ready(loop(params, episode))
    return float(history.loss.reshape(num_tasks, -1)[0, -1])

  return Job(run, num_steps * num_tasks)


def pixels(crop_size: int, num_steps: int, **options) -> Job:
  """`step`, with megapixels of crops as the unit."""
  job = step(num_steps, crop_size=crop_size, **options)
  return Job(job.run, job.units * jobs.NUM_CROPS * crop_size**2 / 1e6)


def _grey_set(code: str, count: int, seed: int) -> GreySet:
  shape = (count, *jobs.FOLDER_SHAPE)
  names = tuple(f'{code}-{i}.png' for i in range(count))
  return GreySet(code, jobs.images(seed, *shape), jobs.masks(seed, *shape), names)


def meta_epoch(
  arch: str,
  objective: str,
  crop_size: int,
  num_steps: int,
  num_tasks: int,
  mesh: Mesh | None = None,
) -> Job:
  """One meta-epoch with one task per source, sampling and outer update included."""
  inner = _inner_loop(arch, objective, num_steps)
  outer = optax.sgd(1.0)
  params = params_from_torch(jobs.kernels(arch), arch)
  bank = make_bank(
    [_grey_set(str(i), 5, i) for i in range(num_tasks)],
    crop_size=crop_size,
    strides=[(32, 32)] * num_tasks,
    min_foreground=1,
  )
  block = make_meta_block(
    inner, outer, num_crops=jobs.NUM_CROPS, crop_size=crop_size, num_epochs=1, mesh=mesh
  )

  def run() -> float:
    state = init_state(params, outer)
    _, history = jax.block_until_ready(block(state, bank, jax.random.key(0)))
    return float(history.loss[0, 0, -1])

  return Job(run, 1)


def finetune(arch: str, crop_size: int, num_steps: int, batch_size: int) -> Job:
  """Fine-tuning on five images: `num_steps` batches of their crops."""
  model = make_model(arch, affine=True)
  bank = make_bank(
    [_grey_set('support', 5, 0)], crop_size=crop_size, strides=[(32, 32)], min_foreground=1
  )
  optimizer = inner_optimizer(1e-4, jobs.WEIGHT_DECAY)
  train = make_train(_make_apply(model), Recipe(optimizer, crop_size))
  params = params_from_torch(jobs.kernels(arch, affine=True), arch)
  crops = np.arange(len(bank.corner), dtype=np.int32)
  stream = crop_stream(0, crops, batch_size, num_steps)

  def run() -> float:
    _, _, losses = train(params, optimizer.init(params), bank, stream)
    return float(losses[-1])

  return Job(run, num_steps)


def predict(arch: str, num_images: int) -> Job:
  """Foreground probabilities of many images."""
  model = make_model(arch, affine=True)
  params = params_from_torch(jobs.kernels(arch, affine=True), arch)
  folder = jobs.images(0, num_images, *jobs.FOLDER_SHAPE)
  probability = make_predict(model)

  def run() -> float:
    return float(probability(params, folder).mean())

  return Job(run, folder.size / 1e6)


def matmul(size: int | None = None) -> Job:
  """A product of two square float32 matrices, for the peak rate of the machine."""
  size = size or jobs.matrix_size(accelerator=jax.default_backend() != 'cpu')
  one = jnp.asarray(jobs.images(0, 1, size, size)[0], jnp.float32)
  product = jax.jit(lambda a: a @ a)
  return Job(lambda: float(jax.block_until_ready(product(one))[0, 0]), 2 * size**3 / 1e9)


WORK = {
  'step': step,
  'pixels': pixels,
  'meta_epoch': meta_epoch,
  'finetune': finetune,
  'predict': predict,
  'matmul': matmul,
}
