"""Converts state dicts of the published PyTorch networks to Flax parameters.

PyTorch is not needed: a state dict is a mapping from names to arrays.

A convolution kernel (O, I, kH, kW) becomes (kH, kW, I, O). A transposed convolution kernel
(I, O, 2, 2) becomes (2, 2, I, O), not flipped: out[2i+a, 2j+b, o] = sum_c x[i, j, c] K[a, b, c, o].
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fscs.errors import InputError, lookup
from fscs.models import Architecture
from fscs.typing import Params

# The networks normalise with the statistics of the current batch, so these are not used.
_RUNNING_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


class _Layer(NamedTuple):
  """A convolution: its name in PyTorch and the place of its parameters in Flax."""

  name: str  # in PyTorch, as in '<name>.weight'
  path: tuple[str, ...]  # in Flax, to the dictionary with 'kernel' and 'bias'
  inputs: tuple[str, ...]  # layers whose outputs are concatenated as its input
  outputs: str | None  # a layer with the same number of output channels; None: any number
  size: int  # height and width of the kernel
  transposed: bool = False
  bias: bool = True
  norm: str | None = None  # in PyTorch: name of the batch norm that follows
  norm_path: tuple[str, ...] = ()  # in Flax


_ONE_CHANNEL = 'one channel'  # stands for the input image and for the logit map


def _fcrn_layers() -> Iterator[_Layer]:
  mirrored = {5: 'conv3.0', 6: 'conv2.0', 7: 'conv1.0'}  # decoder layers: widths of the encoder
  for i in range(1, 8):
    yield _Layer(
      f'conv{i}.0',
      (f'conv{i}',),
      inputs=(f'conv{i - 1}.0' if i > 1 else _ONE_CHANNEL,),
      outputs=mirrored.get(i),
      size=2 if i in mirrored else 3,
      transposed=i in mirrored,
      bias=False,
      norm=f'conv{i}.1',
      norm_path=(f'norm{i}',),
    )
  yield _Layer('conv8', ('conv8',), inputs=('conv7.0',), outputs=_ONE_CHANNEL, size=3)


def _unet_layers() -> Iterator[_Layer]:
  down1, down2, down3 = (f'dconv_down{i}.3' for i in (1, 2, 3))
  blocks = {
    'down1': ((_ONE_CHANNEL,), None),
    'down2': ((down1,), None),
    'down3': ((down2,), None),
    'up2': ((down3, down2), down2),
    'up1': (('dconv_up2.3', down1), down1),
  }
  for block, (inputs, outputs) in blocks.items():
    first, second = f'dconv_{block}.0', f'dconv_{block}.3'
    yield _Layer(
      first,
      (block, 'conv1'),
      inputs=inputs,
      outputs=outputs,
      size=3,
      norm=f'dconv_{block}.1',
      norm_path=(block, 'norm1'),
    )
    yield _Layer(
      second,
      (block, 'conv2'),
      inputs=(first,),
      outputs=first,
      size=3,
      norm=f'dconv_{block}.4',
      norm_path=(block, 'norm2'),
    )
  yield _Layer('conv_last', ('conv_last',), inputs=('dconv_up1.3',), outputs=_ONE_CHANNEL, size=1)


_LAYERS = {'fcrn': tuple(_fcrn_layers()), 'unet': tuple(_unet_layers())}


def params_from_torch(state_dict: Mapping[str, Any], architecture: Architecture) -> Params:
  """Convert a state dict of the published PyTorch `FCRN` or `UNet` to Flax parameters.

  The model must have the widths of the state dict, and `affine=True` exactly if the state dict has
  batch-norm weights and biases.

  Args:
    state_dict: names to arrays, or to anything that `np.asarray` takes. The prefix 'module.' of
      `DataParallel` is removed. Running statistics of batch norm are ignored.
    architecture: 'fcrn' or 'unet'.

  Returns:
    Nested dictionaries of float32 arrays, for `model.apply({'params': params}, images)`.

  Raises:
    InputError: entries are missing, unexpected or unreadable, or their shapes do not match.

  Examples:
    state_dict = torch.load('authors.pt', map_location='cpu', weights_only=True)
    params = params_from_torch(state_dict, 'fcrn')
    model = fscs.models.make_model('fcrn')
    logits, features = model.apply({'params': params}, images)
  """
  layers = lookup(_LAYERS, architecture, 'architecture')
  entries = _entries(state_dict)
  affine = any(f'{layer.norm}.{part}' in entries for layer in layers for part in ('weight', 'bias'))
  _check_names(entries, architecture, affine)

  params: dict[str, Any] = {}
  channels = {_ONE_CHANNEL: 1}
  for layer in layers:
    kernel = _kernel(entries, layer, channels)
    width = channels[layer.name] = kernel.shape[3]
    _insert(params, layer.path, 'kernel', kernel)
    if layer.bias:
      _insert(params, layer.path, 'bias', _vector(entries, f'{layer.name}.bias', width))
    if affine and layer.norm:
      scale, bias = (_vector(entries, f'{layer.norm}.{part}', width) for part in ('weight', 'bias'))
      _insert(params, layer.norm_path, 'scale', scale)
      _insert(params, layer.norm_path, 'bias', bias)
  return params


def _entries(state_dict: Mapping[str, Any]) -> dict[str, Any]:
  """The entries by name without 'module.'; running statistics are left out."""
  if not isinstance(state_dict, Mapping):
    raise _unfit(
      f'state_dict has the type {type(state_dict).__name__}, expected a mapping: pass'
      ' model.state_dict()'
    )
  entries = {}
  for original, value in state_dict.items():
    name = str(original).removeprefix('module.')
    if name.rpartition('.')[2] in _RUNNING_STATISTICS:
      continue
    if name in entries:
      raise _unfit(f"entry '{name}': found with and without 'module.', expected it once")
    entries[name] = value
  return entries


def _unfit(message: str) -> InputError:
  return InputError(message, arguments=('state_dict',))


def _names(architecture: Architecture, affine: bool) -> list[str]:
  """Names of all entries, in the order of the layers."""
  names = []
  for layer in _LAYERS[architecture]:
    names.append(f'{layer.name}.weight')
    if layer.bias:
      names.append(f'{layer.name}.bias')
    if affine and layer.norm:
      names += [f'{layer.norm}.weight', f'{layer.norm}.bias']
  return names


def _check_names(entries: Mapping[str, Any], architecture: Architecture, affine: bool) -> None:
  expected = _names(architecture, affine)
  missing = [name for name in expected if name not in entries]
  unexpected = [name for name in entries if name not in expected]
  if not missing and not unexpected:
    return
  other: Architecture = 'unet' if architecture == 'fcrn' else 'fcrn'
  if unexpected and len(missing) == len(expected) and unexpected[0] in _names(other, True):
    raise InputError(
      f"entry '{unexpected[0]}': found a state dict of '{other}', "
      f"expected one of '{architecture}': pass architecture='{other}'",
      arguments=('architecture',),
    )
  if unexpected:
    hint = f", expected '{missing[0]}' and others" if missing else ', expected no such name'
    raise _unfit(f"entry '{unexpected[0]}': found in the state dict{hint} in '{architecture}'")
  reason = ''
  if affine and missing[0] not in _names(architecture, False):
    reason = ': every batch norm needs a weight and a bias, or none does'
  raise _unfit(
    f"entry '{missing[0]}': found {len(entries)} entries without it, "
    f"expected {len(expected)} in '{architecture}'{reason}"
  )


def _read(entries: Mapping[str, Any], name: str) -> np.ndarray:
  value = entries[name]
  try:
    array = np.asarray(value, dtype=np.float32)
  except (TypeError, ValueError, RuntimeError):  # tensors on a GPU, or with gradients
    raise _unfit(
      f"entry '{name}': found a {type(value).__name__} that NumPy cannot read, "
      'expected an array: pass value.detach().float().cpu().numpy()'
    ) from None
  if not np.all(np.isfinite(array)):
    raise _unfit(f"entry '{name}': found NaN or infinity, expected finite numbers")
  return array


def _kernel(entries: Mapping[str, Any], layer: _Layer, channels: Mapping[str, int]) -> np.ndarray:
  """The kernel of a layer, (kH, kW, I, O).

  Args:
    entries: the state dict.
    layer: the layer.
    channels: number of output channels of the layers before it, by name.
  """
  name = f'{layer.name}.weight'
  array = _read(entries, name)
  c_in = sum(channels[source] for source in layer.inputs)
  c_out = channels[layer.outputs] if layer.outputs else 'any'
  first, second = (c_in, c_out) if layer.transposed else (c_out, c_in)
  expected = (first, second, layer.size, layer.size)
  fits = array.ndim == 4 and all(
    want in ('any', have) for want, have in zip(expected, array.shape, strict=True)
  )
  if not fits or array.size == 0:
    wanted = ', '.join(map(str, expected))
    raise _unfit(f"entry '{name}': found shape {array.shape}, expected ({wanted})")
  return array.transpose((2, 3, 0, 1) if layer.transposed else (2, 3, 1, 0))


def _vector(entries: Mapping[str, Any], name: str, width: int) -> np.ndarray:
  array = _read(entries, name)
  if array.shape != (width,):
    raise _unfit(f"entry '{name}': found shape {array.shape}, expected ({width},)")
  return array


def _insert(params: dict[str, Any], path: tuple[str, ...], leaf: str, value: np.ndarray) -> None:
  for key in path:
    params = params.setdefault(key, {})
  params[leaf] = jnp.asarray(value)
