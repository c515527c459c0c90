"""Opens image files of all kinds as arrays that are read region by region."""

import os
import warnings
from pathlib import Path

import numpy as np

from fscs.errors import InputError
from fscs.io import files
from fscs.io.axes import axes_of_array, given_axes, require_axes
from fscs.io.pictures import open_picture
from fscs.io.rasters import Raster
from fscs.io.tiff import open_tiff


def open_raster(path: str | os.PathLike, axes: str | None = None) -> Raster:
  """Open an image file with all its channels.

  TIFF and NPY files are read in place, all others are decoded whole.

  Args:
    path: the file.
    axes: what the axes of arrays in TIFF and NPY files are, see `fscs.io.axes.require_axes`; by
      default what the file says, or else the rule of `fscs.io.axes`.

  Raises:
    InputError: as `fscs.io.open_image`.
  """
  path = Path(path)
  files.require_usable(path, files.IMAGE_SUFFIXES)
  if axes is not None:
    require_axes(axes)
  suffix = path.suffix.lower()
  # Libraries warn of odd metadata, which makes no difference to the pixels.
  with files.as_input_error(path), warnings.catch_warnings(action='ignore'):
    if suffix in files.TIFF_SUFFIXES:
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
