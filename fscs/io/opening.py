"""Opens image files of all kinds as arrays that are read region by region."""

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fscs.errors import InputError
from fscs.io import czi, files, lif, nd2, ome_zarr
from fscs.io.axes import axes_of_array, given_axes, require_axes
from fscs.io.image_refs import ImageRef, file_name_of
from fscs.io.pictures import open_picture
from fscs.io.rasters import Raster
from fscs.io.tiff import open_tiff
from fscs.messages import listed


class _Reader(NamedTuple):
  """Of a kind of file that may hold several scenes."""

  scenes: Callable[[Path], Sequence[str]]  # their names, which may be empty or the same
  open: Callable[[Path, int], Raster]  # a scene, counted from 0


_READERS = {  # by suffix
  '.czi': _Reader(czi.scenes, czi.open_czi),
  '.nd2': _Reader(nd2.scenes, nd2.open_nd2),
  '.lif': _Reader(lif.scenes, lif.open_lif),
  **dict.fromkeys(files.ZARR_SUFFIXES, _Reader(ome_zarr.scenes, ome_zarr.open_ome_zarr)),
}


def images_of(paths: Iterable[Path], scene: str | None = None) -> list[ImageRef]:
  """The images in some files: every scene is an image of its own.

  A file that cannot be read counts as one image, and opening it says why.

  Args:
    paths: files.
    scene: the one to take of every file of a kind with scenes: a name, or a number from 0.

  Raises:
    InputError: a file does not have this scene, or none is of a kind with scenes.
  """
  paths = list(paths)
  if scene is not None and not any(files.suffix_of(path) in _READERS for path in paths):
    raise InputError(
      f'scene {scene!r}: expected files of the kinds {", ".join(_READERS)}; other kinds have no'
      ' scenes, leave it out',
      arguments=('scene',),
    )
  images: list[ImageRef] = []
  for path in paths:
    try:
      names = _scene_names(path)
    except InputError:
      names = ()
    if len(names) > 1 and scene is None:
      images += [ImageRef(path, name) for name in names]
    elif names:
      number = _number_of(path, names, scene)
      images.append(ImageRef(path, names[number] if len(names) > 1 else None))
    else:
      images.append(ImageRef(path))
  return images


def _scene_names(path: Path) -> tuple[str, ...]:
  """Names that differ, also as file names; none for kinds without scenes."""
  reader = _READERS.get(files.suffix_of(path))
  if reader is None:
    return ()
  files.require_usable(path, files.IMAGE_SUFFIXES)
  with files.as_input_error(path), warnings.catch_warnings(action='ignore'):
    names = reader.scenes(path)
  if not names:
    raise InputError(f'{path}: found no images; export them again')
  different: dict[str, str] = {}
  for number, name in enumerate(names):
    name = name.strip() or f'scene{number}'
    if file_name_of(name).lower() in different:
      name = f'{name}-{number}'
    different[file_name_of(name).lower()] = name
  return tuple(different.values())


def _number_of(path: Path, names: Sequence[str], scene: str | None) -> int:
  """The number of a scene with a name or number; of the only one by default."""
  if scene is None and len(names) == 1:
    return 0
  for known in (names, [file_name_of(name) for name in names]):
    if scene in known:
      return known.index(scene)
  if scene is not None and scene.isdecimal() and int(scene) < len(names):
    return int(scene)
  wanted = 'one of them' if scene is None else f'{scene!r}'
  raise InputError(
    f'{path}: found the scenes {listed(names)}, expected {wanted}; choose one by its name, or by'
    ' its number from 0',
    arguments=('scene',),
  )


def open_raster(
  path: str | os.PathLike, axes: str | None = None, scene: str | None = None
) -> Raster:
  """Open an image with all its channels.

  PNG, JPEG and other pictures are decoded whole; all others are read in place.

  Args:
    path: the file.
    axes: what the axes of arrays in TIFF and NPY files are, see `fscs.io.axes.require_axes`; by
      default what the file says, or else the rule of `fscs.io.axes`.
    scene: name or number, if the file has several.

  Raises:
    InputError: as `fscs.io.open_image`.
  """
  path = Path(path)
  files.require_usable(path, files.IMAGE_SUFFIXES)
  if axes is not None:
    require_axes(axes)
  suffix = files.suffix_of(path)
  names = _scene_names(path)
  number = _number_of(path, names, scene) if names else 0
  # Libraries warn of odd metadata, which makes no difference to the pixels.
  with files.as_input_error(path), warnings.catch_warnings(action='ignore'):
    if suffix in _READERS:
      raster = _READERS[suffix].open(path, number)
      raster = dataclasses.replace(raster, scene=names[number] if len(names) > 1 else None)
    elif suffix in files.TIFF_SUFFIXES:
      raster = open_tiff(path, axes)
    elif suffix == '.npy':
      raster = _open_npy(path, axes)
    else:
      raster = open_picture(path)
  shape, dtype = raster.pixels.shape, raster.pixels.dtype
  if 0 not in shape and dtype.kind in 'biuf' and dtype.itemsize <= 8:
    return raster
  raster.close()
  raise InputError(
    f'{path}: found {"no" if 0 in shape else dtype} pixels (shape {shape}), expected integers or '
    'floats of up to 64 bits; save the grey values in one of these types'
  )


def _open_npy(path: Path, axes: str | None) -> Raster:
  try:
    pixels = np.load(path, mmap_mode='r', allow_pickle=False)
  except ValueError as error:
    if 'Python objects' not in str(error):
      raise
    raise InputError(
      f'{path}: found Python objects, expected an array of numbers; save the pixels as TIFF'
    ) from error
  found = given_axes(path, pixels.shape, axes) if axes else axes_of_array(pixels.shape)
  if found is None or (len(found.removesuffix('S')) > 3 and not axes):
    raise InputError(
      f'{path}: found an array of shape {pixels.shape}, expected (H, W) or (N, H, W), perhaps with '
      'a last axis of channels; transpose or split it, or say what its axes are',
      arguments=('axes',),
    )
  samples = pixels.shape[-1] if found.endswith('S') else 1
  return Raster(path, pixels, found, colour=samples in (3, 4))
