"""Opens ND2 files of Nikon with the library nd2: every stage position is a scene."""

import contextlib
import functools
import math
from pathlib import Path

import numpy as np

from fscs.io.pixel_size import PixelSize
from fscs.io.rasters import Raster

_FRAME = 'CYXS'  # axes within what is stored together
_LETTERS = {'T': 'T', 'Z': 'Z', 'P': 'P'}


def scenes(path: Path) -> list[str]:
  """Names of the positions; see `fscs.io.opening`."""
  import nd2

  with nd2.ND2File(path) as file:
    count = file.sizes.get('P', 1)
    names = [
      point.name or ''
      for loop in file.experiment
      if loop.type == 'XYPosLoop'
      for point in loop.parameters.points
    ]
  return names if len(names) == count else [''] * count


def open_nd2(path: Path, scene: int) -> Raster:
  """Open one of the positions."""
  import nd2

  with contextlib.ExitStack() as stack:
    file = stack.enter_context(nd2.ND2File(path))
    pixels = _Nd2Pixels(file, scene)
    colour = file.sizes.get('S', 1) > 1
    names = tuple(channel.channel.name or '' for channel in file.metadata.channels or ())
    expected = math.prod(size for axis, size in file.sizes.items() if axis not in _FRAME)
    missing = expected - (file.attributes.sequenceCount or expected)
    return Raster(
      path,
      pixels,
      pixels.axes,
      colour=colour,
      pixel_size=_pixel_size(file),
      channel_names=names if len(names) == pixels.shape[-4] and not colour and all(names) else (),
      notes=(f'{missing} of {expected} frames were not recorded, and are 0',)
      if missing > 0
      else (),
      close=stack.pop_all().close,
    )


def _pixel_size(file) -> PixelSize | None:
  channels = file.metadata.channels
  if not channels:
    return None
  volume = channels[0].volume
  width, height = volume.axesCalibration[:2]
  return PixelSize.of(height, width) if all(volume.axesCalibrated[:2]) else None


class _Nd2Pixels:
  """The array (..., C, Y, X, S) of a position; frames of all channels are stored together."""

  def __init__(self, file, position: int):
    self._file, self._position = file, position
    self._loops = {axis: size for axis, size in file.sizes.items() if axis not in _FRAME}
    pages = {axis: size for axis, size in self._loops.items() if axis != 'P'}
    self._frame_shape = tuple(file.sizes.get(axis, 1) for axis in _FRAME)
    letters = iter('QRIHVB')
    self._pages = list(pages)
    self.axes = ''.join(a if a in _LETTERS else next(letters) for a in pages) + _FRAME
    self.shape = (*pages.values(), *self._frame_shape)
    self.dtype = file.dtype
    # A compressed frame is decoded whole: it is kept for the next region.
    self._frame = functools.lru_cache(maxsize=1)(self._read_frame)

  def __getitem__(self, index: tuple) -> np.ndarray:
    *pages, channel, rows, columns, samples = index
    place = dict(zip(self._pages, pages, strict=True)) | {'P': self._position}
    number = 0
    for axis, size in self._loops.items():
      number = number * size + place[axis]
    return self._frame(number)[channel, rows, columns, samples]

  def _read_frame(self, number: int) -> np.ndarray:
    return self._file.read_frame(number).reshape(self._frame_shape)
