"""Reads masks from files: label images, binary and colour masks, and outlines.

What values and colours mean says `fscs.io.mask_values`. Palettes of PNG, BMP and GIF files give
colours, or the indices where several indices in use have one colour; those of TIFF files give the
indices. Every ImageJ ROI (`fscs.io.rois`) and every polygon of GeoJSON (`fscs.io.geojson`) is an
object. Of the file in which Cellpose keeps its own data, NAME_seg.npy, the masks are read.
"""

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fscs.errors import InputError
from fscs.io import cellpose
from fscs.io.files import (
  GEOJSON_SUFFIX,
  MASK_SUFFIXES,
  OUTLINE_SUFFIXES,
  TIFF_SUFFIXES,
  as_input_error,
  require_usable,
)
from fscs.io.geojson import read_geojson
from fscs.io.mask_values import MAX_OBJECTS, Mask, mask_of_colours, mask_of_values
from fscs.io.opening import open_raster
from fscs.io.outlines import draw_outlines
from fscs.io.pictures import palette_indices
from fscs.io.rasters import Raster
from fscs.io.rois import read_rois
from fscs.messages import counted


def require_pages(path: str | os.PathLike, pages: int, image: str | os.PathLike) -> None:
  """Check that a mask file has as many pages as its image; files of outlines always pass.

  Args:
    path: the mask file.
    pages: of the image.
    image: name of the image, for the message.

  Raises:
    InputError: the numbers differ, or the file cannot be read.
  """
  path = Path(path)
  require_usable(path, MASK_SUFFIXES)
  if path.suffix.lower() in OUTLINE_SUFFIXES:
    return
  with contextlib.closing(_open(path)) as raster:
    found = raster.shape[0]
  if found != pages:
    raise InputError(
      f'{path}: found {counted(found, "page")}, expected {pages} as in {image}; give the mask of'
      ' this image,'
      ' or, if one of the two has channels that are read as pages, say what its axes are',
      arguments=('axes',),
    )


def read_mask(
  path: str | os.PathLike,
  shape: tuple[int, int],
  page: int = 0,
  *,
  pages: int = 1,
  place: Mapping[str, int] | None = None,
  foreground: int | None = None,
  allow_empty: bool = False,
  predicted: bool = False,
) -> Mask:
  """Read one page of a mask file.

  Args:
    path: an image file as for `open_image`; an ImageJ ROI (.roi) or an archive of ROIs (.zip);
      GeoJSON (.geojson), as QuPath exports it; or NAME_seg.npy of Cellpose.
    shape: (height, width) of the image.
    page: the page of the image that the mask is for, from 0.
    pages: of the image. If it has one, the positions of ROIs are ignored.
    place: of the page along the axes Z and T of the image, see `ImageFile.place_of`; for ROIs.
    foreground: the value of the foreground. By default the larger of two values; labels tell
      objects apart.
    allow_empty: accept a mask without foreground.
    predicted: the mask is a prediction: any number of objects, and nothing or all may be found.

  Raises:
    InputError: the file does not exist, is damaged or of an unknown kind; it has no such page, or
      another size than the image; it is all background or all foreground; it has more than
      `MAX_OBJECTS` objects; or its values are of none of the kinds of `fscs.io.mask_values`.

  Examples:
    mask = read_mask('cells_mask.tif', shape=(512, 512))
    num_objects = mask.labels.max()
  """
  path = Path(path)
  require_usable(path, MASK_SUFFIXES)
  suffix = path.suffix.lower()
  if suffix in OUTLINE_SUFFIXES:
    _require_page(path, page, pages)
    outlines, notes = read_geojson(path) if suffix == GEOJSON_SUFFIX else read_rois(path)
    with as_input_error(path):
      mask = Mask(draw_outlines(path, outlines, shape, page, pages, place), True, notes)
  else:
    mask = _read_raster(path, shape, page, foreground)
  return mask if predicted else _checked(path, mask, allow_empty)


def _open(path: Path) -> Raster:
  if cellpose.is_own_file(path):
    return Raster(path, cellpose.read_masks(path), 'YX')
  return open_raster(path)


def _read_raster(path: Path, shape: tuple[int, int], page: int, foreground: int | None) -> Mask:
  with contextlib.closing(_open(path)) as raster:
    found, height, width = raster.shape
    _require_page(path, page, found)
    if (height, width) != tuple(shape):
      raise InputError(
        f'{path}: found a mask of {height} x {width} pixels (height x width), expected {shape[0]} '
        f'x {shape[1]} like its image; give the mask of this image'
      )
    if raster.channels > 1 and not raster.colour:
      raise InputError(
        f'{path}: found {raster.channels} channels, expected one value or one colour per pixel; '
        'save the channel that holds the mask'
      )
    values = raster.read(page, slice(None), slice(None), 0, raster.channels, fill=0)
    indices = _shared_colours(raster, values) if raster.colour else None
  if indices is not None:
    mask = mask_of_values(path, indices, foreground)
    mask = mask._replace(notes=(*mask.notes, 'its palette has one colour for several values'))
  elif raster.colour:
    mask = mask_of_colours(path, values, foreground)
  else:
    mask = mask_of_values(path, values[..., 0], foreground)
  notes = raster.notes
  if raster.nodata:
    notes = (*notes, f'{raster.nodata:g} means no data by its GDAL tag, and is background')
  return mask._replace(notes=(*notes, *mask.notes))


def _shared_colours(raster: Raster, colours: np.ndarray) -> np.ndarray | None:
  """(H, W) indices into the palette if several that are used have one colour; else None."""
  if raster.path.suffix.lower() in (*TIFF_SUFFIXES, '.npy'):
    return None
  with as_input_error(raster.path):
    stored = palette_indices(raster.path)
  if stored is None:
    return None
  indices = dataclasses.replace(raster, pixels=stored, axes='YX', colour=False)
  values = indices.read(0, slice(None), slice(None), 0, 1)[..., 0]
  num_colours = len(np.unique(colours.reshape(-1, colours.shape[-1]), axis=0))
  return values if num_colours < len(np.unique(values)) else None


def _require_page(path: Path, page: int, pages: int) -> None:
  if not 0 <= page < pages:
    raise InputError(
      f'{path}: found {counted(pages, "page")}, expected page {page + 1}; give a mask with as many'
      ' pages as the image'
    )


def _checked(path: Path, mask: Mask, allow_empty: bool) -> Mask:
  """The same mask, if it has background and an acceptable number of objects."""
  count = mask.labels.max()
  if count > MAX_OBJECTS:
    raise InputError(
      f'{path}: found {count:,} objects, expected at most {MAX_OBJECTS:,}; if these are specks, '
      'remove them, else cut image and mask into parts'
    )
  if mask.labels.all() or not (count or allow_empty):
    raise InputError(
      f'{path}: found {"foreground" if count else "background"} only, expected objects and '
      'background (0, black or transparent); draw both, or leave this image out'
    )
  return mask
