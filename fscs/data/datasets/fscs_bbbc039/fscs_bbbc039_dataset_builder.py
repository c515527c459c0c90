"""BBBC039: nuclei of U2OS cells in fluorescence (B39)."""

from fscs.data.datasets import paired_builder
from fscs.data.datasets.sources import Archive, Source

_ADDRESS = 'https://data.broadinstitute.org/bbbc/BBBC039/'


class Builder(paired_builder.PairedImagesBuilder):
  """See README.md beside this file."""

  homepage = 'https://bbbc.broadinstitute.org/BBBC039'
  source = Source(
    code='B39',
    folder='BBBC039',
    archives=(
      Archive('images.zip', _ADDRESS + 'images.zip', size=77_915_748),
      Archive('masks.zip', _ADDRESS + 'masks.zip', size=2_753_811),
    ),
    image_pattern=r'(?:^|/)images/([^/]+)\.tif$',
    mask_pattern=r'(?:^|/)masks/([^/]+)\.png$',
    image_dtype='uint16',
    # Masks are RGBA. Their red values 1, 2 and 3 separate touching nuclei and are reused elsewhere.
    labels='regions',
  )
