"""Downloads published archives once, whole or not at all."""

import os
import zipfile
from pathlib import Path

from fscs.data.datasets.sources import Archive, Source
from fscs.errors import InputError

_BLOCK = 1 << 20  # bytes


def fetch(source: Source, downloads: Path) -> Path:
  """Downloads those archives of a source that are not there yet.

  Run it again after an interruption: finished archives are kept, the unfinished one starts anew.

  Args:
    source: what to download.
    downloads: folder to download to; files go to `<downloads>/<source.folder>/<archive name>`.

  Returns:
    `downloads`, laid out as a raw folder.

  Raises:
    InputError: if an archive cannot be downloaded, or is not what is known to be published.
  """
  for archive in source.archives:
    destination = downloads / source.folder / archive.name
    if not destination.exists():
      _download(source, archive, destination)
  return downloads


def _download(source: Source, archive: Archive, destination: Path) -> None:
  """Downloads to a temporary name beside the destination, checks, then renames."""
  import pooch  # brings in requests, which only downloads need
  from requests import RequestException
  from tqdm.auto import tqdm

  # The process id keeps two processes that download at once from writing to one file.
  partial = destination.with_name(f'{destination.name}.{os.getpid()}.partial')
  try:
    destination.parent.mkdir(parents=True, exist_ok=True)
    # disable=None: no bar where standard error is not a terminal. A bar of unknown length is
    # false to pooch, which sets the length itself, hence the 1.
    title = f'{source.code}: downloading {archive.name}'
    with tqdm(total=1, desc=title, unit='B', unit_scale=True, disable=None) as progress:
      download = pooch.HTTPDownloader(progressbar=progress, chunk_size=_BLOCK)
      download(archive.address, str(partial), None)
    check(partial, archive)
    partial.replace(destination)
  except (RequestException, OSError) as error:
    if getattr(error, 'response', None) is not None:
      error.response.close()  # pooch leaves it open when the server refuses
    reason = ' '.join(str(error).split())
    raise InputError(
      f'{archive.address}: cannot be downloaded to {destination} ({reason}); check the network and '
      'the disk and run again, or put the file there by hand; --data=simulated needs no download'
    ) from error
  finally:
    partial.unlink(missing_ok=True)


def check(path: Path, archive: Archive) -> None:
  """Compares a downloaded file with what is known about the published one.

  Raises:
    InputError: if size or SHA-256 differ from the known ones or if a zip archive is incomplete.
  """
  size = path.stat().st_size
  if archive.size is not None and size != archive.size:
    raise InputError(_mismatch(archive, f'{size:,} bytes', f'{archive.size:,}'))
  if archive.sha256 is not None:
    import pooch

    found = pooch.file_hash(str(path), alg='sha256')
    if found != archive.sha256:
      raise InputError(_mismatch(archive, f'SHA-256 {found}', archive.sha256))
  if archive.is_zip and not zipfile.is_zipfile(path):
    raise InputError(_mismatch(archive, f'{size:,} bytes that are no complete zip archive', 'one'))


def _mismatch(archive: Archive, found: str, expected: str) -> str:
  return (
    f'{archive.name} from {archive.address}: found {found}, expected {expected}; the download was '
    'dropped; run again, and if it stays so, get the file from elsewhere and give its folder as '
    '--raw-dir'
  )
