"""TNBC: nuclei in H&E-stained breast cancer (TNBC)."""

from fscs.data.datasets import paired_builder
from fscs.data.datasets.sources import Archive, Source


class Builder(paired_builder.PairedImagesBuilder):
  """See README.md beside this file."""

  homepage = 'https://zenodo.org/records/1175282'
  source = Source(
    code='TNBC',
    folder='TNBC',
    archives=(
      Archive(
        'TNBC_NucleiSegmentation.zip',
        'https://zenodo.org/records/1175282/files/TNBC_NucleiSegmentation.zip',
        sha256='da708c3a988f4ad4b9bbb9283b387faf703f0bc0e5e689927306bd27ea13a57f',
      ),
    ),
    image_pattern=r'(?:^|/)Slide_\d+/([^/]+)\.png$',
    mask_pattern=r'(?:^|/)GT_\d+/([^/]+)\.png$',
    channels=3,
    labels='instances',
  )
