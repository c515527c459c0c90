"""Few-shot cell segmentation: networks that adapt to new images from a few annotated ones.

  segmenter = fscs.finetune(images, masks)  # lists of NumPy arrays
  labels = segmenter.predict(image)

Research: `fscs.meta` (inner loop, episodes, Reptile), `fscs.losses`, `fscs.models`,
`fscs.optimizers`, `fscs.metrics`, `fscs.data` and `fscs.io`. Importing `fscs` imports none of them;
they are loaded when they are first used.
"""

import lazy_loader as _lazy

__version__ = '0.2.0'

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
