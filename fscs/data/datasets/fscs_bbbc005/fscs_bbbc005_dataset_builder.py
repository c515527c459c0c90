"""BBBC005: simulated fluorescent cells, in focus (B5)."""

from fscs.data.datasets import paired_builder
from fscs.data.datasets.sources import Archive, Source

_ADDRESS = 'https://data.broadinstitute.org/bbbc/BBBC005/'


class Builder(paired_builder.PairedImagesBuilder):
  """See README.md beside this file."""

  homepage = 'https://bbbc.broadinstitute.org/BBBC005'
  source = Source(
    code='B5',
    folder='BBBC005',
    archives=(
      Archive('BBBC005_v1_images.zip', _ADDRESS + 'BBBC005_v1_images.zip'),
      Archive('BBBC005_v1_ground_truth.zip', _ADDRESS + 'BBBC005_v1_ground_truth.zip'),
    ),
    # F1 is the focus level. Images at other levels have no masks and are not part of the data set.
    image_pattern=r'(?:^|/)BBBC005_v1_images/([^/]+_F1_[^/]+)\.tif$',
    mask_pattern=r'(?:^|/)BBBC005_v1_ground_truth/([^/]+_F1_[^/]+)\.tif$',
  )
