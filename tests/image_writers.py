"""Writes small files of the formats that hold several scenes."""

import shutil
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import zarr


def axes_of(letters: str) -> list[dict[str, str]]:
  """Axes of OME-Zarr in micrometres: t, c, z, y, x."""
  kinds = {'t': {'type': 'time'}, 'c': {'type': 'channel'}}
  space = {'type': 'space', 'unit': 'micrometer'}
  return [{'name': letter, **kinds.get(letter, space)} for letter in letters]


def write_multiscale(
  group: zarr.Group,
  pixels: np.ndarray,
  letters: str = 'yx',
  scale=None,
  names=(),
  side=16,
  **options,
) -> None:
  """Write an image of two levels with the metadata of the version of Zarr."""
  lower = pixels[..., ::2, ::2]
  datasets = []
  for level, values in enumerate((pixels, lower)):
    chunks = (1,) * (values.ndim - 2) + (side, side)
    array = group.create_array(
      str(level), shape=values.shape, chunks=chunks, dtype=values.dtype, **options
    )
    array[:] = values
    factors = [float(f) for f in (scale or [1] * values.ndim)]
    factors[-2:] = [factor * 2**level for factor in factors[-2:]]
    transformation = {'type': 'scale', 'scale': factors}
    datasets.append({'path': str(level), 'coordinateTransformations': [transformation]})
  facts = {'multiscales': [{'axes': axes_of(letters), 'datasets': datasets}]}
  if names:
    facts['omero'] = {'channels': [{'label': name} for name in names]}
  write_facts(group, facts)


def write_facts(group: zarr.Group, facts: dict) -> None:
  """Write metadata of OME-Zarr: 0.4 in version 2 of Zarr, 0.5 in version 3."""
  if group.metadata.zarr_format == 2:
    for image in facts.get('multiscales', ()):
      image['version'] = '0.4'
    group.attrs.update(facts)
  else:
    group.attrs.update({'ome': {'version': '0.5', **facts}})


def write_ome_zarr(
  path: Path, pixels: np.ndarray, letters: str = 'yx', *, zarr_format=3, **options
):
  """Write a file with one image: a folder, or an archive of its contents."""
  folder = path.with_suffix('.folder') if path.suffix in ('.zip', '.ozx') else path
  write_multiscale(open_for_writing(folder, zarr_format), pixels, letters, **options)
  if folder != path:
    with zipfile.ZipFile(path, 'w') as archive:
      for file in sorted(folder.rglob('*')):
        if file.is_file():
          archive.write(file, file.relative_to(folder))
    shutil.rmtree(folder)


def open_for_writing(path: Path, zarr_format: int = 3) -> zarr.Group:
  """The empty outermost group of a folder."""
  shutil.rmtree(path, ignore_errors=True)
  return zarr.open_group(path, mode='w', zarr_format=zarr_format)


def write_plate(path: Path, fields: dict[str, np.ndarray], zarr_format: int = 3) -> None:
  """Write a plate; keys are row/column/field."""
  root = open_for_writing(path, zarr_format)
  wells = dict.fromkeys(key.rpartition('/')[0] for key in fields)
  write_facts(root, {'plate': {'wells': [{'path': well} for well in wells]}})
  for well in wells:
    names = [key.rpartition('/')[2] for key in fields if key.startswith(f'{well}/')]
    group = root.create_group(well)
    write_facts(group, {'well': {'images': [{'path': name} for name in names]}})
    for name in names:
      write_multiscale(group.create_group(name), fields[f'{well}/{name}'])


# ND2 and LIF have no writers that can be installed. What follows is the least that readers need.

ND2_MAGIC, ND2_MAP = 0x0ABECEDA, b'ND2 CHUNK MAP SIGNATURE 0000001!'


def write_nd2(path, pixels, positions=(), names=('DAPI',), *, compressed=False, size=0.25) -> None:
  """Write a file of version 3.

  Args:
    path: file.
    pixels: (position, time, z, channel, row, column) uint16.
    positions: names of the positions.
    names: of the channels.
    compressed: whether frames are compressed.
    size: of a pixel in micrometres.
  """
  num_positions, num_times, num_sections, channels, height, width = pixels.shape
  frames = pixels.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
  experiment = _loop(4, {'uiCount': num_sections, 'dZStep': 1.0}, {})
  times = {'uiCount': num_times, 'dStart': 0.0, 'dPeriod': 1.0, 'dDuration': 1.0}
  experiment = _loop(1, times, experiment)
  points = {
    f'i{i:010}': {'dPosX': float(i), 'dPosY': 0.0, 'dPosName': name}
    for i, name in enumerate(positions or [''] * num_positions)
  }
  experiment = _loop(2, {'Points': points}, experiment)
  plane = {'uiCompCount': 1, 'pFluorescentProbe': {'m_ExcitationSpectrum': {'uiCount': 0}}}
  planes = {f'a{i}': {'sDescription': name, **plane} for i, name in enumerate(names)}
  chunks = {
    'ImageAttributesLV!': {
      'SLxImageAttributes': {
        'uiWidth': width,
        'uiHeight': height,
        'uiWidthBytes': 2 * width * channels,
        'uiComp': channels,
        'uiBpcInMemory': 16,
        'uiBpcSignificant': 16,
        'uiSequenceCount': len(frames),
        'eCompression': 0 if compressed else 2,
      }
    },
    'ImageMetadataSeqLV|0!': {
      'SLxPictureMetadata': {
        'bCalibrated': True,
        'dCalibration': size,
        'sPicturePlanes': {'uiCount': channels, 'sPlaneNew': planes},
      }
    },
    'ImageMetadataLV!': {'SLxExperiment': experiment},
  }
  content = _nd2_chunk(b'ND2 FILE SIGNATURE CHUNK NAME01!', b'Ver3.0'.ljust(64, b'\0'))
  places = {}
  for name, facts in chunks.items():
    ((key, value),) = facts.items()
    places[name] = len(content)
    content += _nd2_chunk(name.encode(), _variant(key, value))
  for number, frame in enumerate(frames):
    plain = np.ascontiguousarray(frame).astype('<u2').tobytes()
    name = f'ImageDataSeq|{number}!'
    places[name] = len(content)
    stored = zlib.compress(plain) if compressed else plain
    content += _nd2_chunk(name.encode().ljust(4072, b'\0'), bytes(8) + stored)
  where = len(content)
  entries = b''.join(name.encode() + struct.pack('<QQ', place, 0) for name, place in places.items())
  ending = ND2_MAP + struct.pack('<Q', where)
  content += _nd2_chunk(b'ND2 FILEMAP SIGNATURE NAME 0001!', entries + ending)
  path.write_bytes(content)


def _loop(kind: int, parameters: dict, inner: dict) -> dict:
  loop = {'eType': kind, 'uLoopPars': parameters}
  return loop | ({'ppNextLevelEx': {'i0000000000': inner}} if inner else {})


def _nd2_chunk(name: bytes, content: bytes) -> bytes:
  return struct.pack('<IIQ', ND2_MAGIC, len(name), len(content)) + name + content


def _variant(name: str, value) -> bytes:
  """A named value in the binary tree of ND2."""
  kinds = {bool: (1, '<B'), int: (3, '<I'), float: (6, '<d')}
  label = (name + '\0').encode('utf-16-le')
  header = bytes([len(label) // 2]) + label
  if isinstance(value, dict):
    items = b''.join(_variant(key, item) for key, item in value.items())
    length = 1 + len(header) + 12 + len(items)
    return b'\x0b' + header + struct.pack('<IQ', len(value), length) + items + bytes(8 * len(value))
  if isinstance(value, str):
    return b'\x08' + header + (value + '\0').encode('utf-16-le')
  kind, layout = kinds[type(value)]
  return bytes([kind]) + header + struct.pack(layout, value)


class LifImage(NamedTuple):
  """An image to write to a LIF file."""

  name: str
  pixels: np.ndarray  # of the axes
  axes: str  # such as TCZYX; S last for colours, blue first
  names: tuple[str, ...] = ()  # of the channels
  size: tuple[float, float] = (0.5, 0.25)  # of a pixel in micrometres


def write_lif(path: Path, images: Sequence[LifImage], folder: str = '') -> None:
  """Write a file of version 2."""
  elements = ''.join(_lif_element(number, image) for number, image in enumerate(images))
  if folder:
    inside = f'<Data><Collection/></Data><Children>{elements}</Children>'
    elements = f'<Element Name="{folder}">{inside}</Element>'
  xml = (
    '<LMSDataContainerHeader Version="2"><Element Name="file"><Children>'
    f'{elements}</Children></Element></LMSDataContainerHeader>'
  ).encode('utf-16-le')
  content = struct.pack('<IIBI', 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml
  for number, image in enumerate(images):
    name = f'MemBlock_{number}'.encode('utf-16-le')
    plain = np.ascontiguousarray(image.pixels).tobytes()
    content += struct.pack('<IIBQBI', 0x70, 14, 0x2A, len(plain), 0x2A, len(name) // 2)
    content += name + plain
  path.write_bytes(content)


def _lif_element(number: int, image: LifImage) -> str:
  kinds = {'X': 1, 'Y': 2, 'Z': 3, 'T': 4}
  strides = dict(zip(image.axes, image.pixels.strides, strict=True))
  sizes = dict(zip(image.axes, image.pixels.shape, strict=True))
  channel_axis = 'S' if 'S' in image.axes else 'C'
  channels = ''.join(
    f'<ChannelDescription DataType="0" ChannelTag="{3 - i if channel_axis == "S" else 0}"'
    f' Resolution="{8 * image.pixels.itemsize}" NameOfMeasuredQuantity="" Min="0" Max="1" Unit=""'
    f' LUTName="Gray" IsLUTInverted="0" BytesInc="{i * strides.get(channel_axis, 0)}" BitInc="0">'
    + ''.join(
      f'<ChannelProperty><Key>DyeName</Key><Value>{name}</Value></ChannelProperty>'
      for name in image.names[i : i + 1]
    )
    + '</ChannelDescription>'
    for i in range(sizes.get(channel_axis, 1))
  )
  lengths = {'Y': image.size[0], 'X': image.size[1]}
  dimensions = ''.join(
    f'<DimensionDescription DimID="{kinds[axis]}" NumberOfElements="{sizes[axis]}" Origin="0"'
    f' Length="{1e-6 * lengths.get(axis, 1) * (sizes[axis] - 1)}" Unit="m"'
    f' BytesInc="{strides[axis]}" BitInc="0"/>'
    for axis in reversed(image.axes)
    if axis in kinds
  )
  return (
    f'<Element Name="{image.name}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
    f'<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>'
    f'<Memory Size="{image.pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
  )
