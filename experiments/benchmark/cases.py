"""The cases to measure: in each, several programs do the same work."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from experiments.benchmark import arithmetic
from experiments.benchmark.jobs import NUM_CROPS
from experiments.benchmark.rounds import Program
from fscs.models.convolution import Lowering

Section = Literal[
  'step',
  'meta_epoch',
  'finetune',
  'predict',
  'lowerings',
  'tasks',
  'pixels',
  'devices',
  'startup',
]

OBJECTIVES = ('bce', 'combined')
NUM_STEPS = 10  # inner steps per timed run of FCRN at 128 pixels; fewer where a step takes longer
META_TASKS, META_STEPS = 4, 20
FINETUNE_STEPS, FINETUNE_BATCH = 30, 8
MIN_STEPS = 5  # so that the constant cost of a call matters little
LOWERING_STEPS = 2  # XLA's own convolution takes seconds per step in a loop on a CPU
FOLDER_IMAGES = 50
TASKS = (1, 2, 4, 8)
SIZES = (64, 128, 256, 512)
DEVICES = (1, 2, 4)
GROWTH_CROP = 128

# Matrix products measure the peak rate of the machine.
MATMUL = [Program(f'matmul {side}', side, 'matmul', {}) for side in ('fscs', 'torch')]


def _torch(*layouts: str) -> dict[str, dict[str, Any]]:
  return {
    f'PyTorch {"compiled" if compiled else "eager"}, channels {layout}': {
      'layout': layout,
      'compiled': compiled,
    }
    for compiled in (False, True)
    for layout in layouts
  }


EVERY_TORCH = _torch('first', 'last')
BEST_TORCH = _torch('last')  # the faster layout in the section `step` at 128 pixels


class Case(NamedTuple):
  """Programs to compare; times are relative to the first."""

  section: Section
  arch: str
  crop_size: int
  variant: str
  unit: str
  operations: float | None  # floating-point operations in a unit of work
  programs: tuple[Program, ...]

  @property
  def key(self) -> tuple[str, ...]:
    """Identifies the case in the table."""
    return (self.section, self.arch, str(self.crop_size), self.variant)


def _num_steps(most: int, arch: str, crop_size: int, least: int = MIN_STEPS) -> int:
  """Steps that take about as long as `most` steps of FCRN at 128 pixels; at least `least`."""
  work = arithmetic.inner_step(arch, 'bce', crop_size**2)
  return max(least, round(most * arithmetic.inner_step('fcrn', 'bce', 128**2) / work))


def _both_sides(
  work: str, options: Mapping[str, Any], torch: Mapping[str, Mapping[str, Any]] = BEST_TORCH
) -> list[Program]:
  others = [Program(name, 'torch', work, {**options, **how}) for name, how in torch.items()]
  return [Program('fscs', 'fscs', work, options), *others]


def _step(arch: str, crop_size: int) -> Iterator[Case]:
  for objective in OBJECTIVES:
    options = {
      'arch': arch,
      'objective': objective,
      'crop_size': crop_size,
      'num_steps': _num_steps(NUM_STEPS, arch, crop_size),
    }
    operations = arithmetic.inner_step(arch, objective, NUM_CROPS * crop_size**2)
    if crop_size == GROWTH_CROP:
      fscs, *torch = _both_sides('step', options, EVERY_TORCH)
      tasks = Program('fscs, 4 tasks', 'fscs', 'step', {**options, 'num_tasks': 4})
      programs = (fscs, tasks, *torch, *MATMUL)
    else:
      programs = (*_both_sides('step', options), *MATMUL)
    yield Case('step', arch, crop_size, objective, 'inner step', operations, programs)


def _meta_epoch(arch: str, crop_size: int) -> Iterator[Case]:
  steps = _num_steps(META_STEPS, arch, crop_size, least=2)  # per task
  options = {
    'arch': arch,
    'objective': 'combined',
    'crop_size': crop_size,
    'num_steps': steps,
    'num_tasks': META_TASKS,
  }
  programs = (
    Program('fscs', 'fscs', 'meta_epoch', options),
    Program('published code', 'torch', 'meta_epoch', options),
  )
  operations = arithmetic.inner_step(arch, 'combined', NUM_CROPS * crop_size**2)
  operations *= steps * META_TASKS
  variant = f'{META_TASKS} tasks, {steps} steps, combined'
  yield Case('meta_epoch', arch, crop_size, variant, 'meta-epoch', operations, programs)


def _finetune(arch: str, crop_size: int) -> Iterator[Case]:
  options = {
    'arch': arch,
    'crop_size': crop_size,
    'num_steps': _num_steps(FINETUNE_STEPS, arch, crop_size),
    'batch_size': FINETUNE_BATCH,
  }
  operations = arithmetic.inner_step(arch, 'bce', FINETUNE_BATCH * crop_size**2)
  programs = tuple(_both_sides('finetune', options))
  variant = f'5 images, batches of {FINETUNE_BATCH}'
  yield Case('finetune', arch, crop_size, variant, 'step', operations, programs)


def _predict(arch: str) -> Iterator[Case]:
  programs = tuple(_both_sides('predict', {'arch': arch, 'num_images': FOLDER_IMAGES}))
  operations = arithmetic.forward(arch, 1e6)
  variant = f'{FOLDER_IMAGES} images of 520 x 696'
  yield Case('predict', arch, 0, variant, 'megapixel', operations, programs)


def _tasks(arch: str) -> Iterator[Case]:
  """Time per inner step of one task over the number of tasks in a call."""
  options = {
    'arch': arch,
    'objective': 'bce',
    'crop_size': GROWTH_CROP,
    'num_steps': _num_steps(NUM_STEPS, arch, GROWTH_CROP),
  }
  programs = tuple(
    Program(f'{count} tasks', 'fscs', 'step', {**options, 'num_tasks': count}) for count in TASKS
  )
  yield Case('tasks', arch, GROWTH_CROP, 'bce', 'inner step', None, programs)


def _pixels(arch: str) -> Iterator[Case]:
  """Time per megapixel over the size of the crops."""

  def options(size: int) -> dict[str, Any]:
    steps = _num_steps(NUM_STEPS, arch, size)
    return {'arch': arch, 'objective': 'bce', 'crop_size': size, 'num_steps': steps}

  programs = tuple(Program(f'{size} px', 'fscs', 'pixels', options(size)) for size in SIZES)
  yield Case('pixels', arch, 0, 'bce', 'megapixel', None, programs)


def _lowerings(arch: str) -> Iterator[Case]:
  """The same inner steps with other convolutions, task axes and precisions."""
  options = {
    'arch': arch,
    'objective': 'bce',
    'crop_size': GROWTH_CROP,
    'num_steps': LOWERING_STEPS,
  }
  four = {'num_tasks': 4}
  ways = {
    'auto': {},
    **{name: {'lowering': name} for name in get_args(Lowering) if name != 'auto'},
    '4 tasks in turn': {**four, 'task_axis': 'map'},
    '4 tasks at once': {**four, 'task_axis': 'vmap'},
    '4 tasks at once, xla': {**four, 'task_axis': 'vmap', 'lowering': 'xla'},
    'bfloat16': {'precision': 'bfloat16'},
  }
  programs = tuple(Program(name, 'fscs', 'step', {**options, **way}) for name, way in ways.items())
  yield Case('lowerings', arch, GROWTH_CROP, 'bce', 'inner step', None, programs)


def _devices(arch: str) -> Iterator[Case]:
  """The same meta-epoch over the number of devices; they are virtual on a CPU."""
  options = {
    'arch': arch,
    'objective': 'bce',
    'crop_size': GROWTH_CROP,
    'num_steps': 5,
    'num_tasks': META_TASKS,
  }
  shares = {f'{count} of {max(DEVICES)} devices': {'devices': count} for count in DEVICES}
  shares['2 processes'] = {'processes': 2}
  programs = tuple(
    Program(
      name,
      'devices',
      'meta_epoch',
      {**options, **share},
      {'XLA_FLAGS': f'--xla_force_host_platform_device_count={max(DEVICES)}'},
    )
    for name, share in shares.items()
  )
  variant = f'{META_TASKS} tasks, 5 steps, bce'
  yield Case('devices', arch, GROWTH_CROP, variant, 'meta-epoch', None, programs)


def _startup(arch: str) -> Iterator[Case]:
  """From the start of the command to the end of its first step."""
  programs = (
    Program(
      'with compiled programs on disk',
      'commands',
      'first_step',
      {'arch': arch, 'keep_programs': True},
    ),
    Program('without', 'commands', 'first_step', {'arch': arch, 'keep_programs': False}),
    Program('imports alone', 'commands', 'imports', {}),
  )
  yield Case('startup', arch, 128, 'first step of the cpu preset', 'command', None, programs)


_BY_CROP = {'step': _step, 'meta_epoch': _meta_epoch, 'finetune': _finetune}
_BY_NETWORK = {
  'predict': _predict,
  'lowerings': _lowerings,
  'tasks': _tasks,
  'pixels': _pixels,
  'devices': _devices,
  'startup': _startup,
}


def cases(
  sections: Sequence[Section], archs: Sequence[str], crop_sizes: Sequence[int]
) -> Iterator[Case]:
  """The cases of those sections, networks and crop sizes."""
  for section in sections:
    for arch in archs:
      if section in _BY_NETWORK:
        yield from _BY_NETWORK[section](arch)
        continue
      for crop_size in crop_sizes:
        yield from _BY_CROP[section](arch, crop_size)
