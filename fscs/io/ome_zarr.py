"""Opens OME-Zarr of versions 0.4 and 0.5: folders, zip archives and addresses.

A file holds one image, or several: a plate (every field of every well) or a collection as
bioformats2raw writes it. Images are read at full resolution. Chunks that are not stored have the
fill value, mostly 0, as Zarr defines it; writers leave out chunks without signal.
"""

import contextlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import zarr
from zarr.storage import FsspecStore, LocalStore, ZipStore

from fscs.errors import InputError
from fscs.io import files
from fscs.io.pixel_size import PixelSize, micrometres
from fscs.io.rasters import Raster

VERSIONS = ('0.4', '0.5')
MAX_CHUNK = 2**31  # bytes that are decoded to read one pixel
MAX_COUNTED = 100_000  # chunks of which is counted how many are stored

_LETTERS = {'time': 'T', 'channel': 'C'}  # by the type of an axis
_SPACE = {'x': 'X', 'y': 'Y', 'z': 'Z'}


class _Level(NamedTuple):
  """Where the pixels of an image are."""

  path: str  # of the array in the group of the image
  axes: str
  pixel_size: PixelSize | None
  channel_names: tuple[str, ...]


def scenes(path: Path) -> list[str]:
  """Names of the images; see `fscs.io.opening`."""
  with _opened(path) as root:
    return list(_image_groups(path, root))


def open_ome_zarr(path: Path, scene: int) -> Raster:
  """Open one of the images.

  Raises:
    InputError: this is no OME-Zarr of a known version, or its pixels are not where it says.
  """
  with contextlib.ExitStack() as stack:
    root = stack.enter_context(_opened(path))
    group = _group(root, list(_image_groups(path, root).values())[scene])
    level = _full_resolution(path, group)
    array = group[level.path]
    if not isinstance(array, zarr.Array) or array.ndim != len(level.axes):
      raise _no_ome_zarr(path, f'{level.path} has no array of the axes {level.axes}')
    if array.dtype.kind in 'biufc' and _chunk_size(array) > MAX_CHUNK:
      raise InputError(
        f'{path}: found chunks of {_chunk_size(array):,} bytes, expected at most {MAX_CHUNK:,};'
        ' save it with smaller ones'
      )
    channels = array.shape[level.axes.index('C')] if 'C' in level.axes else 1
    return Raster(
      path,
      array,
      level.axes,
      pixel_size=level.pixel_size,
      channel_names=level.channel_names if len(level.channel_names) == channels else (),
      notes=_missing_chunks(path, array),
      close=stack.pop_all().close,
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zarr.Group]:
  """The outermost group, closed at the end."""
  store: Any
  if address := files.address_of(path):
    store = _store_at(path, address)
  elif path.is_dir():
    store = LocalStore(path, read_only=True)
  else:
    store = ZipStore(path, mode='r')
  try:
    try:
      yield zarr.open_group(store, path=_folder_in_zip(path), mode='r')
    except (FileNotFoundError, zarr.errors.GroupNotFoundError) as error:
      raise _no_ome_zarr(path, 'there is no group of Zarr') from error
  finally:
    store.close()


def _store_at(path: Path, address: str) -> FsspecStore:
  try:
    return FsspecStore.from_url(address, read_only=True)
  except (ImportError, ValueError) as error:  # of fsspec, which names what is missing
    raise InputError(
      f'{path}: this address cannot be opened ({error}); install aiohttp for https or s3fs for s3,'
      ' or copy the folder'
    ) from error


def _folder_in_zip(path: Path) -> str:
  """Where the group is in an archive of a whole folder; '' elsewhere."""
  if files.address_of(path) or path.is_dir():
    return ''
  with zipfile.ZipFile(path) as archive:
    names = archive.namelist()
  roots = {name.split('/')[0] for name in names}
  inside = len(roots) == 1 and all('/' in name for name in names)
  return roots.pop() if inside else ''


def _image_groups(path: Path, root: zarr.Group) -> dict[str, str]:
  """{name of an image: where its group is}."""
  facts = _facts(root)
  if 'multiscales' in facts:
    return {'': ''}
  if 'plate' in facts:
    wells = [str(well['path']) for well in facts['plate']['wells']]
    fields = {
      f'{well}/{field["path"]}': f'{well}/{field["path"]}'
      for well in wells
      for field in _facts(_group(root, well))['well']['images']
    }
    if fields:
      return fields
  if 'bioformats2raw.layout' in facts:
    series = _facts(_group(root, 'OME')).get('series') if 'OME' in root else None
    if series is None:
      series = []
      while str(len(series)) in root:
        series.append(str(len(series)))
    if series:
      return {str(name): str(name) for name in series}
  raise _no_ome_zarr(path, 'its metadata name no image')


def _facts(group: zarr.Group) -> Mapping[str, Any]:
  """The metadata of OME: of version 0.5 under a key of their own."""
  facts: dict[str, Any] = dict(group.attrs)
  return facts.get('ome', facts)


def _group(root: zarr.Group, path: str) -> zarr.Group:
  found = root[path] if path else root
  if not isinstance(found, zarr.Group):
    raise ValueError(f'{path} is no group')
  return found


def _full_resolution(path: Path, group: zarr.Group) -> _Level:
  """The first level of the first pyramid."""
  facts = _facts(group)
  if 'multiscales' not in facts:
    raise _no_ome_zarr(path, f'{group.path or "the group"} is no image')
  image = facts['multiscales'][0]
  version = facts.get('version', image.get('version'))
  if version is not None and version not in VERSIONS:
    raise _no_ome_zarr(path, f'its version is {version}')
  axes = image.get('axes') or ()
  if not axes or not all(isinstance(axis, Mapping) for axis in axes):
    raise _no_ome_zarr(path, 'its axes have no names')
  level = image['datasets'][0]
  return _Level(
    level['path'],
    _letters(path, axes),
    _pixel_size(axes, [level, image]),
    tuple(str(c.get('label') or '') for c in facts.get('omero', {}).get('channels', ())),
  )


def _letters(path: Path, axes: Sequence[Mapping[str, Any]]) -> str:
  """One letter per axis, as in `Raster`."""
  letters = ''
  for axis in axes:
    name = str(axis['name']).lower()
    kind = axis.get('type')
    letter = _LETTERS.get(str(kind)) or (_SPACE.get(name) if kind in ('space', None) else None)
    letter = letter or {'t': 'T', 'c': 'C'}.get(name)
    if letter is None or letter in letters:
      letter = next(free for free in 'QPRIHVBMN' if free not in letters)
    letters += letter
  if not {'Y', 'X'} <= set(letters):
    raise _no_ome_zarr(path, 'it has no axes y and x')
  return letters


def _pixel_size(
  axes: Sequence[Mapping[str, Any]], scaled: Sequence[Mapping[str, Any]]
) -> PixelSize | None:
  """Of a level whose scale is the product of all that are stated; None without units."""
  sizes = {str(axis['name']).lower(): micrometres(str(axis.get('unit') or '')) for axis in axes}
  for stated in scaled:
    for transformation in stated.get('coordinateTransformations') or ():
      if transformation.get('type') == 'scale':
        for axis, factor in zip(axes, transformation.get('scale') or (), strict=True):
          sizes[str(axis['name']).lower()] *= float(factor)
  return PixelSize.of(sizes.get('y'), sizes.get('x'))


def _chunk_size(array: zarr.Array) -> int:
  size = array.dtype.itemsize
  for length in array.shards or array.chunks:
    size *= length
  return size


def _missing_chunks(path: Path, array: zarr.Array) -> tuple[str, ...]:
  """A note if some chunks are not stored."""
  if files.address_of(path) or array.nchunks > MAX_COUNTED or 0 in array.shape:
    return ()
  missing = array.nchunks - array.nchunks_initialized
  if not missing:
    return ()
  return (f'{missing} of {array.nchunks} chunks are not stored, and are {array.fill_value}',)


def _no_ome_zarr(path: Path, found: str) -> InputError:
  return InputError(
    f'{path}: {found}, expected an image, plate or collection of OME-Zarr {" or ".join(VERSIONS)};'
    ' convert it, or save its pixels as TIFF'
  )
