"""Mitochondria in serial-section TEM of the Drosophila ventral nerve cord (ssTEM)."""

from fscs.data.datasets import paired_builder
from fscs.data.datasets.sources import Archive, Source


class Builder(paired_builder.PairedImagesBuilder):
  """See README.md beside this file."""

  homepage = 'https://github.com/unidesigner/groundtruth-drosophila-vnc'
  source = Source(
    code='ssTEM',
    folder='ssTEM',
    archives=(
      Archive(
        'master.zip',
        'https://github.com/unidesigner/groundtruth-drosophila-vnc/archive/master.zip',
        aliases=('groundtruth-drosophila-vnc-master.zip',),
      ),
    ),
    # Only the first of the two stacks is annotated.
    image_pattern=r'(?:^|/)stack1/raw/([^/]+)\.tif$',
    mask_pattern=r'(?:^|/)stack1/mitochondria/([^/]+)\.png$',
  )
