"""Writes the golden values `fcrn.npz`, `unet.npz` and `losses.npz` next to this file.

  python tests/golden/make_golden.py

Needs PyTorch, takes about half a minute. Everything is computed in float64 and rounded to float32
for storage, losses excepted: float64 makes the values independent of the machine and of the order
in which a library sums. As a yardstick the same is computed with PyTorch in float32, and its
distance from float64 is printed.

A ReLU or max-pool input within rounding of its kink sends a gradient one way in float32 and another
in float64, and Adam keeps the difference: with some seeds float32 PyTorch itself ends 1e-2 away.
`inputs.NARROW_SEED` is one without; should a change bring a kink, this script refuses to write.

Keys: forward/<rows>x<columns>/<logits|features>, full networks, NHWC. Of narrow networks:
value/<objective>; gradient/<objective>; update/<objective>, parameters after the inner steps minus
those before; adapted_logits/<objective>, of the adapted network on the task's images, NHWC;
reptile/<meta_lr>, movement of the meta-parameters under 'combined'. Gradients, updates and
movements are vectors in the order of the state dict.
"""

from pathlib import Path

import inputs
import numpy as np
import torch

from experiments.benchmark import torch_mirror

FOLDER = Path(__file__).parent
# Largest admissible distance of PyTorch's float32 from float64: a tenth of the tests' tolerances.
LIMITS = {
  'forward': 1e-5,
  'value': 1e-6,
  'gradient': 1e-4,
  'update': 1e-3,
  'adapted_logits': 1e-3,
  'reptile': 1e-3,
  'losses': 1e-6,
}
HYPERPARAMETERS = {'alpha': inputs.ALPHA, 'beta': inputs.BETA}


def to_nchw(array, dtype):
  return torch.from_numpy(np.ascontiguousarray(array.transpose(0, 3, 1, 2))).to(dtype)


def to_nhwc(tensor):
  return tensor.detach().numpy().transpose(0, 2, 3, 1)


def to_vector(tensors):
  return inputs.flatten({name: value.detach().numpy() for name, value in tensors.items()})


def make_model(architecture, widths, affine, seed, dtype):
  """A mirror network with the seeded parameters, and with every one of them replaced."""
  state = inputs.draw_state_dict(architecture, widths, affine=affine, seed=seed)
  model = torch_mirror.NETWORKS[architecture](widths, affine)
  model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
  names = [name for name, _ in model.named_parameters()]
  if names != list(state):  # the stored vectors are in this order
    raise ValueError(f'order of parameters: found {names}, expected {list(state)}')
  return model.to(dtype)


def make_episode(seed, dtype):
  fields = inputs.draw_episode(seed)
  return torch_mirror.Episode(**{name: to_nchw(value, dtype) for name, value in fields.items()})


def losses(dtype):
  """The three losses on given tensors."""
  values = {}
  for name, case in inputs.draw_loss_cases().items():
    tensors = {key: to_nchw(value, dtype) for key, value in case.items()}
    logits, masks, features, other = tensors.values()
    values[f'{name}/weighted_bce'] = torch_mirror.weighted_bce(logits, masks)
    values[f'{name}/entropy_regularisation'] = torch_mirror.entropy_regularisation(logits)
    values[f'{name}/distillation'] = torch_mirror.distillation(features, other)
  return {name: value.numpy() for name, value in values.items()}


def network(architecture, dtype):
  """Forward passes at full width; gradients, inner loops and a Reptile step at narrow width."""
  values = {}
  for affine, height, width in inputs.FORWARD_CASES:
    widths = inputs.FULL_WIDTHS[architecture]
    model = make_model(architecture, widths, affine, inputs.FULL_SEED, dtype)
    images = inputs.draw_images(inputs.FORWARD_SEED, 2, height, width)
    with torch.no_grad():
      outputs = model(to_nchw(images, dtype))
    for name, output in zip(('logits', 'features'), outputs, strict=True):
      values[f'forward/{height}x{width}/{name}'] = to_nhwc(output)

  widths = inputs.NARROW_WIDTHS[architecture]
  episodes = [make_episode(seed, dtype) for seed in inputs.EPISODE_SEEDS]
  affine = inputs.GRADIENT_AFFINE[architecture]
  model = make_model(architecture, widths, affine, inputs.NARROW_SEED, dtype)
  for objective in inputs.OBJECTIVES:
    options = {'objective': objective, **HYPERPARAMETERS}
    loss = torch_mirror.objective_loss(model, episodes[0], **options)
    values[f'value/{objective}'] = loss.detach().numpy()
    gradient = torch_mirror.gradient(model, episodes[0], **options)
    values[f'gradient/{objective}'] = to_vector(gradient)

  def adapt(model, episode, objective):
    return torch_mirror.adapt(
      model,
      episode,
      objective=objective,
      learning_rate=inputs.INNER_LR,
      weight_decay=inputs.WEIGHT_DECAY,
      num_steps=inputs.NUM_INNER_STEPS,
      **HYPERPARAMETERS,
    )

  model = make_model(architecture, widths, False, inputs.NARROW_SEED, dtype)
  for objective in inputs.OBJECTIVES:
    adapted = adapt(model, episodes[0], objective)
    values[f'update/{objective}'] = to_vector(torch_mirror.reptile_update(model, [adapted], 1.0))
    values[f'adapted_logits/{objective}'] = to_nhwc(adapted(episodes[0].images)[0])

  adapted = [adapt(model, episode, 'combined') for episode in episodes]
  for meta_lr in inputs.META_LRS:
    update = torch_mirror.reptile_update(model, adapted, meta_lr)
    values[f'reptile/{meta_lr}'] = to_vector(update)
  return values


def relative_distance(found, expected):
  return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def main():
  torch.set_num_threads(1)
  groups = {'losses': losses}
  for architecture in inputs.FULL_WIDTHS:
    groups[architecture] = lambda dtype, architecture=architecture: network(architecture, dtype)
  for name, compute in groups.items():
    exact, single = compute(torch.float64), compute(torch.float32)
    print(f'{name}: relative L2 distance of PyTorch float32 from float64')
    for key, value in exact.items():
      distance = relative_distance(single[key], value)
      print(f'  {key:45s} {distance:.1e}')
      limit = LIMITS['losses' if name == 'losses' else key.split('/')[0]]
      if distance > limit:
        raise ValueError(f'{name} {key}: float32 is {distance:.1e} away, limit {limit}: a kink')
    stored = exact
    if name != 'losses':
      stored = {key: value.astype(np.float32) for key, value in exact.items()}
    path = FOLDER / f'{name}.npz'
    np.savez_compressed(path, **stored)
    print(f'{path.name}: {path.stat().st_size:,} bytes')


if __name__ == '__main__':
  main()
