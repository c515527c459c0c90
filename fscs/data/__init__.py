"""Image sets, grey values, scaling, crops, banks on the device, and support sets.

`load` reads the public data sets of the paper; `fscs.data.synthetic.simulate` draws images of the
same kinds.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
