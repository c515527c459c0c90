"""What the rows of the tables are, in words."""

from collections.abc import Iterator, Sequence

from experiments.study.cells import Result
from experiments.study.contestants import OURS
from experiments.study.document import Heading, Part, Table, Text
from experiments.study.sections import labels_of

_PAPER = "adapts with the paper's loss and optimizer, weighted cross-entropy and Adam"
WORDS = {
  'otsu': "Otsu's threshold of every image; bright or dark, as fits the annotated images",
  'forest': 'random forest of pixels on multiscale intensity, edges and texture (scikit-image)',
  'forest-tuned': 'such a forest, at the threshold of highest IoU on annotated pixels held out',
  'scratch': "FCRN from He's kernels, with batch-norm scale 1, cross-entropy + Dice, augmentation"
  ' and a cosine schedule (with all of the recipe: ours, from random parameters)',
  'transfer': f'FCRN, supervised training on the sources; {_PAPER}',
  'bce': f"FCRN, the paper's meta-learning with cross-entropy alone; {_PAPER}",
  'bce_entropy': 'meta-learned alike, with entropy regularisation',
  'bce_distillation': 'meta-learned alike, with distillation',
  'combined': "meta-learned alike, with both: the paper's method, at the length above",
  'combined-tuned': 'the same, at the threshold of highest IoU on the annotated images',
  'random-normal': f"FCRN without any training on sources, the paper's kernels; {_PAPER}",
  'random-he': f"FCRN without any training on sources, He's kernels; {_PAPER}",
  'unet-normal': "the paper's U-Net without any training on sources, the paper's kernels",
  'unet-he': "the paper's U-Net without any training on sources, He's kernels",
  'ours-random': 'the recommended recipe without training on sources',
  OURS: 'the recommended recipe (`--preset=recommended`, docs/recipe.md)',
  'ours-adam': 'the recipe before this one: Adam in both loops, and kernels whose norms may shrink',
}


def legend(results: Sequence[Result]) -> Iterator[Part]:
  """A row for each that competes, in the order of the tables."""
  rows = [(label, WORDS[name]) for name, label in labels_of(results).items() if name in WORDS]
  if rows:
    yield Heading('What is compared')
    yield Text('K is the number of annotated images.')
    yield Table(('', 'what it is'), rows)
