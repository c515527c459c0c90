"""Opens CZI files of ZEISS: scenes, mosaics and pyramids, of which the full resolution is read.

A file is a row of segments. The directory lists sub-blocks: planes, or tiles of planes, with their
place on every axis. Where tiles overlap, the one of the highest mosaic index is shown; pixels that
no tile covers are 0.

References:
  ZEISS, libCZI documentation: the CZI file format.
"""

import contextlib
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import imagecodecs
import numpy as np

from fscs.io import files
from fscs.io.pixel_size import PixelSize
from fscs.io.rasters import Raster

_HEADER = struct.Struct('<16sqq')  # of a segment: kind, size on disk, size in use
_FILE = struct.Struct('<4i16s16siqqiq')  # positions of directory and metadata are 7 and 8
_ENTRY = struct.Struct('<2siqii6si')  # of the directory, before its axes
_AXIS = struct.Struct('<4siifi')  # name, start, size, coordinate, stored size
_SUB_BLOCK = struct.Struct('<iiq')  # sizes of metadata, attachment and pixels

_DIRECTORY_START, _METADATA_START = 128, 256  # within their segments
_SUB_BLOCK_START = 256  # of what follows the entry, at least

_TYPES = {  # by number: type and samples of a pixel
  0: ('<u1', 1),
  1: ('<u2', 1),
  2: ('<f4', 1),
  3: ('<u1', 3),
  4: ('<u2', 3),
  8: ('<f4', 3),
  9: ('<u1', 4),
  12: ('<i4', 1),
}
_AXES = tuple('YXCZTSMRIHVB')
_PLAIN, _JPEG_XR, _ZSTD, _ZSTD_SPLIT = 0, 4, 5, 6  # compression
_METRES = 1e6  # micrometres


class _Tile(NamedTuple):
  """A sub-block of full resolution."""

  position: int  # in the file
  pixel_type: int
  compression: int
  start: dict[str, int]  # on every axis
  size: dict[str, int]

  def rows(self) -> slice:
    """Of the plane that the tile covers."""
    return slice(self.start['Y'], self.start['Y'] + self.size['Y'])

  def columns(self) -> slice:
    """Of the plane that the tile covers."""
    return slice(self.start['X'], self.start['X'] + self.size['X'])


class _Metadata(NamedTuple):
  """What the XML says."""

  scenes: dict[int, str]
  channels: tuple[str, ...]
  pixel_size: PixelSize | None


def scenes(path: Path) -> list[str]:
  """Names of the scenes; see `fscs.io.opening`."""
  tiles, metadata = _read(path)
  return [metadata.scenes.get(number, '') for number in _scene_numbers(tiles)]


def open_czi(path: Path, scene: int) -> Raster:
  """Open one of the scenes.

  Raises:
    InputError: the file is damaged, or of a kind that is not read.
  """
  tiles, metadata = _read(path)
  number = _scene_numbers(tiles)[scene]
  tiles = [tile for tile in tiles if tile.start.get('S', 0) == number]
  types = {tile.pixel_type for tile in tiles}
  if len(types) > 1:
    raise files.undecodable(path, 'its channels differ in type')
  (pixel_type,) = types
  if pixel_type not in _TYPES:
    raise files.undecodable(path, f'its pixels are of type {pixel_type}')
  pixels = _CziPixels(path, tiles, *_TYPES[pixel_type])
  planes, found = math.prod(pixels.shape[:-3]), pixels.num_planes
  if 2 * found < planes:
    raise files.undecodable(path, f'it has {found} of {planes} planes')
  names = metadata.channels
  samples = pixels.shape[-1]
  return Raster(
    path,
    pixels,
    pixels.axes,
    colour=samples > 1,
    pixel_size=metadata.pixel_size,
    channel_names=names if len(names) == pixels.shape[-4] and samples == 1 else (),
    notes=(f'{planes - found} of {planes} planes are not stored, and are 0',)
    if found < planes
    else (),
  )


class _CziPixels:
  """The array (..., C, Y, X, S) of a scene."""

  def __init__(self, path: Path, tiles: Sequence[_Tile], dtype: str, samples: int):
    self._path = path
    names = {name for tile in tiles for name in tile.start} - set('YXCSM')
    self._pages = [*sorted(names - set('TZ')), *(name for name in 'TZ' if name in names), 'C']
    self._first, size = {}, {}
    for axis in [*self._pages, 'Y', 'X']:
      self._first[axis] = min(tile.start.get(axis, 0) for tile in tiles)
      ends = (tile.start.get(axis, 0) + tile.size.get(axis, 1) for tile in tiles)
      size[axis] = max(ends) - self._first[axis]
    self._tiles: dict[tuple[int, ...], list[_Tile]] = {}
    for tile in sorted(tiles, key=lambda tile: tile.start.get('M', 0)):
      place = tuple(tile.start.get(axis, 0) - self._first[axis] for axis in self._pages)
      self._tiles.setdefault(place, []).append(tile)
    self.axes = ''.join([*self._pages, 'Y', 'X', 'S'])
    self.shape = (*(size[axis] for axis in [*self._pages, 'Y', 'X']), samples)
    self.dtype = np.dtype(dtype)

  @property
  def num_planes(self) -> int:
    """How many planes have a tile."""
    return len(self._tiles)

  def __getitem__(self, index: tuple) -> np.ndarray:
    *place, rows, columns, samples = index
    region = np.zeros(
      (rows.stop - rows.start, columns.stop - columns.start, self.shape[-1]), self.dtype
    )
    rows = slice(rows.start + self._first['Y'], rows.stop + self._first['Y'])
    columns = slice(columns.start + self._first['X'], columns.stop + self._first['X'])
    for tile in self._tiles.get(tuple(place), ()):
      (to_rows, of_rows), (to_columns, of_columns) = (
        _overlap(rows, tile.rows()),
        _overlap(columns, tile.columns()),
      )
      if to_rows.start < to_rows.stop and to_columns.start < to_columns.stop:
        found = _read_tile(self._path, tile, self.dtype, self.shape[-1])
        region[to_rows, to_columns] = found[of_rows, of_columns]
    return region[..., samples]


def _overlap(wanted: slice, there: slice) -> tuple[slice, slice]:
  """What two spans share, from the start of either."""
  start, stop = max(wanted.start, there.start), min(wanted.stop, there.stop)
  return (
    slice(start - wanted.start, max(stop, start) - wanted.start),
    slice(start - there.start, max(stop, start) - there.start),
  )


def _read_tile(path: Path, tile: _Tile, dtype: np.dtype, samples: int) -> np.ndarray:
  """(h, w, samples), red first; a memory map if it is not compressed."""
  shape = (tile.size['Y'], tile.size['X'], samples)
  with path.open('rb') as file:
    _seek_segment(file, tile.position, b'ZISRAWSUBBLOCK')
    begin = file.tell()
    metadata_size, _, size = _SUB_BLOCK.unpack(file.read(_SUB_BLOCK.size))
    repeated = _read_entry(file)
    if repeated is None or repeated[1:] != tile[1:]:  # its position may be an old one
      raise ValueError('a sub-block is not the one of the directory')
    start = max(begin + _SUB_BLOCK_START, file.tell()) + metadata_size
    if tile.compression == _PLAIN:
      values: np.ndarray = np.memmap(path, dtype, 'r', start, shape)
    else:
      file.seek(start)
      values = _decoded(file.read(size), tile.compression, shape, dtype)
  is_blue_first = samples > 1 and tile.compression != _JPEG_XR
  if not is_blue_first:
    return values
  return values[..., [2, 1, 0, 3][:samples]]


def _decoded(
  content: bytes, compression: int, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
  if compression == _JPEG_XR:
    return imagecodecs.jpegxr_decode(content).astype(dtype, copy=False).reshape(shape)
  size = math.prod(shape) * dtype.itemsize
  if compression == _ZSTD:
    plain = imagecodecs.zstd_decode(content, out=size)
  elif compression == _ZSTD_SPLIT:
    plain = _decoded_split(content, size)
  else:
    raise ValueError(f'compression {compression} is not read')
  return np.frombuffer(plain, dtype).reshape(shape)


def _decoded_split(content: bytes, size: int) -> bytes | bytearray:
  """Zstandard with a header, which may say that low bytes come before high ones."""
  header = content[0]
  split = header >= 3 and content[1] == 1 and bool(content[2] & 1)
  plain = imagecodecs.zstd_decode(content[header:], out=size)
  if not split:
    return plain
  halves = np.frombuffer(plain, np.uint8).reshape(2, -1)
  return np.ascontiguousarray(halves.T).tobytes()


# Directory and metadata


def _read(path: Path) -> tuple[list[_Tile], _Metadata]:
  with path.open('rb') as file:
    _seek_segment(file, 0, b'ZISRAWFILE')
    header = _FILE.unpack(file.read(_FILE.size))
    directory, metadata = header[7:9]
    _seek_segment(file, directory, b'ZISRAWDIRECTORY')
    (count,) = struct.unpack('<i', file.read(4))
    file.seek(_DIRECTORY_START - 4, 1)
    tiles = [tile for tile in (_read_entry(file) for _ in range(count)) if tile]
    if not tiles:
      raise ValueError('it has no pixels')
    facts = _Metadata({}, (), None)
    with contextlib.suppress(ElementTree.ParseError, ValueError, struct.error):
      _seek_segment(file, metadata, b'ZISRAWMETADATA')
      size, _ = struct.unpack('<ii', file.read(8))
      file.seek(_METADATA_START - 8, 1)
      facts = _parse(file.read(size))
  return tiles, facts


def _seek_segment(file, position: int, kind: bytes) -> None:
  """Go to what follows the header of a segment."""
  file.seek(position)
  found, _, _ = _HEADER.unpack(file.read(_HEADER.size))
  if found.rstrip(b'\0') != kind:
    raise ValueError(f'{kind.decode()} is not where it should be')


def _read_entry(file) -> _Tile | None:
  """An entry of the directory; None for levels of a pyramid."""
  kind, pixel_type, position, part, compression, _, count = _ENTRY.unpack(file.read(_ENTRY.size))
  if kind != b'DV' or not 2 <= count <= 16:
    raise ValueError('an entry of the directory is damaged')
  if part:
    raise ValueError('its pixels are in other files')
  start, size, reduced = {}, {}, False
  for name, first, length, _, stored in _AXIS.iter_unpack(file.read(count * _AXIS.size)):
    axis = name.rstrip(b'\0').decode()
    start[axis], size[axis] = first, length
    if axis not in _AXES or length < 1 or (axis not in ('Y', 'X', 'M') and length > 1):
      raise ValueError('an entry of the directory is damaged')
    reduced = reduced or (axis in ('Y', 'X') and stored not in (0, length))
  if not {'Y', 'X'} <= start.keys():
    raise ValueError('a sub-block has no rows and columns')
  return None if reduced else _Tile(position, pixel_type, compression, start, size)


def _scene_numbers(tiles: Sequence[_Tile]) -> list[int]:
  return sorted({tile.start.get('S', 0) for tile in tiles})


def _parse(xml: bytes) -> _Metadata:
  root = ElementTree.fromstring(xml.rstrip(b'\0'))
  image = './/Information/Image/Dimensions'
  names = {
    int(scene.get('Index', -1)): scene.get('Name') or ''
    for scene in root.findall(f'{image}/S/Scenes/Scene')
  }
  channels = root.findall(f'{image}/Channels/Channel')
  shown = root.findall('.//DisplaySetting/Channels/Channel')
  channels = channels if all(channel.get('Name') for channel in channels) else shown
  sizes = {
    distance.get('Id'): float(distance.findtext('Value') or 'nan') * _METRES
    for distance in root.findall('.//Scaling/Items/Distance')
  }
  return _Metadata(
    names,
    tuple(channel.get('Name') or '' for channel in channels),
    PixelSize.of(sizes.get('Y'), sizes.get('X')),
  )
