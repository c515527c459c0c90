"""TFDS builder shared by the five data sets; each subclass only describes its files."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import tensorflow_datasets as tfds
from tqdm.auto import tqdm

from fscs.data.datasets import downloads, reading
from fscs.data.datasets.raw_files import RawFile, RawFiles, find_files
from fscs.data.datasets.sources import Source
from fscs.errors import InputError


# TFDS's base class takes `skip_registration`; mypy, which skips TFDS, does not know that.
class PairedImagesBuilder(  # type: ignore[call-arg]
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """Writes pairs of image and mask, sorted by name, to one split 'train'.

  Features: 'image' (H, W) or (H, W, 3) in its own bit depth; 'mask' (H, W) bool; 'name', the file
  name of the image; 'labels' (H, W) uint16 if the source has instances. Metadata:
  'images_without_mask' and 'masks_without_image', the numbers of files left out.
  """

  # Shared by all data sets, like the code: a new version prepares their data anew.
  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar[dict[str, str]] = {'1.0.0': 'First release.'}

  source: ClassVar[Source]
  homepage: ClassVar[str]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    'Optional: a folder with the published archives, packed or unpacked, in a subfolder of the '
    "data set's name, as for raw_dir of fscs.data.datasets.load. Without it they are downloaded."
  )

  def _info(self) -> tfds.core.DatasetInfo:
    plane = (None, None)
    shape = plane if self.source.channels == 1 else (*plane, self.source.channels)
    features: dict[str, Any] = {
      # Raw bytes: array_record compresses them, and TensorFlow is not needed to decode them.
      'image': tfds.features.Tensor(
        shape=shape, dtype=np.dtype(self.source.image_dtype), encoding='bytes'
      ),
      'mask': tfds.features.Tensor(shape=plane, dtype=np.bool_, encoding='bytes'),
      'name': tfds.features.Text(),
    }
    if self.source.labels:
      features['labels'] = tfds.features.Tensor(shape=plane, dtype=np.uint16, encoding='bytes')
    info = self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      homepage=self.homepage,
      supervised_keys=('image', 'mask'),
      metadata=tfds.core.MetadataDict(),
      disable_shuffling=True,
    )
    # TFDS would look for these among its own data sets, and leave an empty temporary folder behind.
    info.initialize_from_bucket = _do_nothing
    return info

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    try:
      raw_dir = Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS says that no such folder was given
      raw_dir = downloads.fetch(self.source, Path(self.data_dir_root) / 'downloads')
    return {'train': self._generate_examples(raw_dir)}

  def _generate_examples(self, raw_dir: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with contextlib.ExitStack() as archives:
      files = find_files(self.source, raw_dir, archives)
      keys = sorted(files.images.keys() & files.masks.keys())
      metadata = cast(dict[str, int], self.info.metadata)
      metadata['images_without_mask'] = len(files.images) - len(keys)
      metadata['masks_without_image'] = len(files.masks) - len(keys)
      if not keys:
        raise _no_pairs(self.source, raw_dir, files)
      pairs = _stack_pairs(files) if self.source.stack else _file_pairs(files, keys)
      # disable=None: no bar unless standard error is a terminal.
      title = f'{self.source.code}: preparing'
      total = None if self.source.stack else len(keys)
      progress = tqdm(pairs, desc=title, unit=' images', total=total, disable=None)
      any_foreground = False
      for index, pair in enumerate(progress):
        example = _example(self.source, pair)
        any_foreground |= bool(example['mask'].any())
        yield index, example
      if not any_foreground:
        raise InputError(
          f'{raw_dir / self.source.folder}: found no foreground in any mask of {self.source.code}, '
          'expected values above 0; check that the masks are the published ones',
          arguments=('raw_dir',),
        )


def _do_nothing() -> None:
  pass


class _Pair(NamedTuple):
  """An image and its mask as they are on disk."""

  name: str  # of the image
  image_file: RawFile
  image: np.ndarray
  mask_file: RawFile
  mask: np.ndarray


def _file_pairs(files: RawFiles, keys: list[str]) -> Iterator[_Pair]:
  named = sorted((Path(files.images[key].path).name, key) for key in keys)
  for name, key in named:
    image, mask = files.images[key], files.masks[key]
    yield _Pair(name, image, reading.read_image(image), mask, reading.read_image(mask))


def _stack_pairs(files: RawFiles) -> Iterator[_Pair]:
  """Pages in order; the names of `tiffsplit` sort like the pages."""
  (image_file,), (mask_file,) = files.images.values(), files.masks.values()
  images, masks = reading.read_pages(image_file), reading.read_pages(mask_file)
  if len(images) != len(masks):
    raise InputError(
      f'{mask_file.location}: found {len(masks)} pages, expected {len(images)} as in '
      f'{image_file.location}; copy or download the shorter one again'
    )
  for page, (image, mask) in enumerate(zip(images, masks, strict=True)):
    yield _Pair(reading.tiffsplit_name(page), image_file, image, mask_file, mask)


def _example(source: Source, pair: _Pair) -> dict[str, Any]:
  """The features of one pair.

  Raises:
    InputError: the image has another type or number of channels than the source, or the mask has
      another size than the image.
  """
  image, mask = pair.image, pair.mask
  if source.channels == 3 and image.ndim == 3:
    image = image[..., :3]  # alpha is opaque everywhere
  channels = image.shape[2] if image.ndim == 3 else 1
  if channels != source.channels or image.dtype != source.image_dtype:
    raise InputError(
      f'{pair.image_file.location}: found {channels} channel(s) of {image.dtype}, expected '
      f'{source.channels} of {source.image_dtype}; replace it by the published file'
    )
  if mask.shape[:2] != image.shape[:2]:
    raise InputError(
      f'{pair.mask_file.location}: found {mask.shape[0]} x {mask.shape[1]} pixels, expected '
      f'{image.shape[0]} x {image.shape[1]} as in {pair.image_file.location}; replace the wrong one'
    )
  # The values of colour masks are in the red channel; their alpha is opaque everywhere.
  values = mask[..., 0] if mask.ndim == 3 else mask
  example = {'name': pair.name, 'image': image, 'mask': values > 0}
  if source.labels:
    example['labels'] = reading.instance_labels(values, source.labels)
  return example


def _no_pairs(source: Source, raw_dir: Path, files: RawFiles) -> InputError:
  image_name = Path(next(iter(files.images.values())).path).name
  mask_name = Path(next(iter(files.masks.values())).path).name
  return InputError(
    f'{raw_dir / source.folder}: found {len(files.images)} images (such as {image_name}) and '
    f'{len(files.masks)} masks (such as {mask_name}) of {source.code} but no pair, expected masks '
    'named as their images; put the masks of these images there',
    arguments=('raw_dir',),
  )
