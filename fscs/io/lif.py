"""Opens LIF files of Leica with the library liffile: every image of a file is a scene."""

import contextlib
from pathlib import Path

import numpy as np

from fscs.io import files
from fscs.io.pixel_size import PixelSize, micrometres
from fscs.io.rasters import Raster

_PAGES = 'TZQRIHVBMNAJ'  # letters for axes that are pages


def scenes(path: Path) -> list[str]:
  """Names of the images with those of their folders; see `fscs.io.opening`."""
  import liffile

  with files.logged_errors('liffile'), liffile.LifFile(path) as file:
    return [image.path for image in file.images]


def open_lif(path: Path, scene: int) -> Raster:
  """Open one of the images.

  Raises:
    InputError: it is no plain image, or its pixels are not in the file.
  """
  import liffile

  with contextlib.ExitStack() as stack:
    with files.logged_errors('liffile'):
      file = stack.enter_context(liffile.LifFile(path, squeeze=False))
      image = file.images[scene]
      if not isinstance(image, liffile.LifImage):
        raise files.undecodable(path, f'{image.name} has lifetimes instead of pixels')
      sizes = dict(image.sizes)
      if not {'Y', 'X'} <= sizes.keys():
        raise files.undecodable(path, f'{image.name} has no rows and columns')
      # Colours are stored blue first: a private copy can be turned round.
      mode = 'c' if 'S' in sizes else 'r'
      pixels: np.ndarray = image.asarray(mode=mode, out='memmap')
    axes = _letters(sizes)
    names = _channel_names(image.xml_element)
    samples = sizes.get('S', 1)
    return Raster(
      path,
      pixels,
      axes,
      colour=samples in (3, 4),
      pixel_size=_pixel_size(image.xml_element),
      channel_names=names if len(names) == sizes.get('C', 1) and samples == 1 else (),
      close=stack.pop_all().close,
    )


def _letters(sizes: dict[str, int]) -> str:
  """One letter per axis, as in `Raster`."""
  letters = ''
  for axis in sizes:
    if len(axis) == 1 and axis in f'YXCS{_PAGES}':
      letters += axis
    else:
      letters += next(free for free in _PAGES if free not in letters and free not in sizes)
  return letters


def _channel_names(image) -> tuple[str, ...]:
  """The dyes, or else the colours in which the channels are shown."""
  channels = image.findall('./Data/Image/ImageDescription/Channels/ChannelDescription')
  channels.sort(key=lambda channel: int(channel.get('BytesInc', 0)))
  names = [_dye(channel) or channel.get('LUTName', '') for channel in channels]
  return tuple(names) if all(names) else ()


def _dye(channel) -> str:
  for stated in channel.findall('ChannelProperty'):
    if stated.findtext('Key') == 'DyeName':
      return stated.findtext('Value') or ''
  return ''


def _pixel_size(image) -> PixelSize | None:
  """Lengths are from the middle of the first pixel to that of the last."""
  sizes: dict[str, float] = {}
  for axis in image.findall('./Data/Image/ImageDescription/Dimensions/DimensionDescription'):
    count, length = int(axis.get('NumberOfElements', 0)), float(axis.get('Length', 'nan'))
    if count > 1:
      sizes[axis.get('DimID', '')] = length / (count - 1) * micrometres(axis.get('Unit', ''))
  return PixelSize.of(sizes.get('2'), sizes.get('1'))
