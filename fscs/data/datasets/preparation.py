"""Prepares data sets with TFDS, once, and reads them back; without TensorFlow."""

import contextlib
import importlib
import io
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import tqdm_utils

from fscs.data.datasets.paired_builder import PairedImagesBuilder
from fscs.data.datasets.raw_files import raw_fingerprint
from fscs.data.image_sets import ImageSet
from fscs.errors import InputError

_BUILDERS = {
  'B5': 'fscs_bbbc005',
  'B39': 'fscs_bbbc039',
  'ssTEM': 'fscs_sstem',
  'EM': 'fscs_em_hippocampus',
  'TNBC': 'fscs_tnbc',
}


def builder_class(code: str) -> type[PairedImagesBuilder]:
  """The TFDS builder of a data set."""
  name = _BUILDERS[code]
  return importlib.import_module(f'fscs.data.datasets.{name}.{name}_dataset_builder').Builder


def prepare(code: str, data_dir: Path, raw_dir: Path | None) -> PairedImagesBuilder:
  """Prepare a data set, unless that is done already.

  Args:
    code: one of `fscs.data.datasets.CODES`.
    data_dir: absolute. Downloads go to its subfolder `downloads`. Prepared data lie beside that, or
      in `raw-<fingerprint>` if they come from `raw_dir`.
    raw_dir: absolute; None downloads.

  Returns:
    The builder, ready to be read.

  Raises:
    InputError: files are missing, damaged or not as published, or data_dir cannot be written.
  """
  make_builder = builder_class(code)
  prepared_dir = data_dir
  if raw_dir is not None:
    prepared_dir = data_dir / f'raw-{raw_fingerprint(make_builder.source, raw_dir)}'
  builder = _open(make_builder, prepared_dir)
  if _is_prepared(builder):
    return builder
  try:
    _write(builder, data_dir / 'downloads', raw_dir)
  except OSError as error:
    # If another process has prepared the same data meanwhile, TFDS fails to rename.
    if not _is_prepared(_open(make_builder, prepared_dir)):
      reason = ' '.join(str(error).split())
      raise InputError(
        f'{prepared_dir}: {code} cannot be prepared there ({reason}); free space on the disk, or '
        'give another data_dir',
        arguments=('data_dir',),
      ) from error
  # A builder opened before the preparation does not see its result.
  return _open(make_builder, prepared_dir)


def is_prepared(code: str, prepared_dir: Path) -> bool:
  """Whether a folder holds the complete prepared data set."""
  return prepared_dir.is_dir() and _is_prepared(_open(builder_class(code), prepared_dir))


def read(builder: PairedImagesBuilder) -> ImageSet:
  """Read a prepared data set into memory, sorted by name.

  Raises:
    InputError: the prepared files are damaged.
  """
  source = builder.source
  try:
    examples = list(builder.as_data_source(split='train'))
  except Exception as error:
    reason = ' '.join(str(error).split())
    raise InputError(
      f'{builder.data_dir}: found damaged prepared data of {source.code} ({reason}); delete that'
      ' folder and run again',
      arguments=('data_dir',),
    ) from error
  examples.sort(key=lambda example: example['name'])
  _warn_of_left_out(source.code, builder.info.metadata or {})
  labels = None
  if source.labels:
    labels = tuple(example['labels'].astype(np.int32) for example in examples)
  return ImageSet(
    code=source.code,
    images=tuple(example['image'] for example in examples),
    masks=tuple(example['mask'] for example in examples),
    names=tuple(example['name'].decode() for example in examples),
    labels=labels,
  )


def _open(make_builder: type[PairedImagesBuilder], folder: Path) -> PairedImagesBuilder:
  try:
    return make_builder(data_dir=str(folder), file_format='array_record')
  except OSError as error:
    raise InputError(
      f'{folder}: cannot be used ({error}); give another data_dir', arguments=('data_dir',)
    ) from error


def _input_error(error: BaseException) -> InputError | None:
  """The InputError inside an exception of TFDS, which wraps what builders raise."""
  seen: BaseException | None = error
  while seen is not None:
    if isinstance(seen, InputError):
      return seen
    seen = seen.__cause__ or seen.__context__
  return None


def _write(builder: PairedImagesBuilder, downloads: Path, raw_dir: Path | None) -> None:
  """Prepare without the log of TFDS; an InputError of the builder is raised as it is."""
  config = tfds.download.DownloadConfig(
    manual_dir=None if raw_dir is None else str(raw_dir), try_download_gcs=False
  )
  try:
    with _quiet_tfds():
      builder.download_and_prepare(download_dir=str(downloads), download_config=config)
  except Exception as error:
    if (cause := _input_error(error)) is not None:
      raise cause from None
    raise


def _is_prepared(builder: PairedImagesBuilder) -> bool:
  """True after a complete preparation: TFDS writes elsewhere and renames the folder at the end."""
  return (Path(builder.data_dir) / 'dataset_info.json').is_file()


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
  """Keep TFDS from printing its log to standard output, and from drawing progress bars.

  Its bars do not know the number of images, and are drawn even without a terminal.
  """
  was_active = tqdm_utils._active  # the public interface only sets it
  tqdm_utils.display_progress_bar(False)
  try:
    with contextlib.redirect_stdout(io.StringIO()):
      yield
  finally:
    tqdm_utils.display_progress_bar(was_active)


def _warn_of_left_out(code: str, counts: Mapping[str, Any]) -> None:
  parts = []
  for key, one, many in (
    ('images_without_mask', 'image without a mask', 'images without a mask'),
    ('masks_without_image', 'mask without an image', 'masks without an image'),
  ):
    if counts[key]:
      parts.append(f'{counts[key]} {one if counts[key] == 1 else many}')
  if parts:
    verb = 'was' if sum(counts.values()) == 1 else 'were'
    # stacklevel: the caller of fscs.data.datasets.load
    warnings.warn(f'{code}: {" and ".join(parts)} {verb} left out', stacklevel=4)
