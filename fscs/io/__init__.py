"""Files: images, masks, ROIs and how they belong together; checkpoints and initialisations.

`find_files` lists a folder, `separate` tells masks from images, `match` pairs them, `open_image`
reads grey values region by region and `read_mask` reads objects. Files that cannot be used raise
`fscs.InputError`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
