"""Agreement of predictions with the truth: of pixels (IoU, Dice) and of objects (AP, PQ)."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
