"""Mitochondria in FIB-SEM of the hippocampus, EPFL (EM)."""

from fscs.data.datasets import paired_builder
from fscs.data.datasets.sources import Archive, Source

_ADDRESS = (
  'https://documents.epfl.ch/groups/c/cv/cvlab-unit/www/data/%20ElectronMicroscopy_Hippocampus/'
)


class Builder(paired_builder.PairedImagesBuilder):
  """See README.md beside this file."""

  homepage = 'https://www.epfl.ch/labs/cvlab/data/data-em/'
  source = Source(
    code='EM',
    folder='EM',
    archives=(
      Archive('training.tif', _ADDRESS + 'training.tif'),
      Archive('training_groundtruth.tif', _ADDRESS + 'training_groundtruth.tif'),
    ),
    image_pattern=r'(?:^|/)(training)\.tif$',
    mask_pattern=r'(?:^|/)(training)_groundtruth\.tif$',
    stack=True,
  )
