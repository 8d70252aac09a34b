"""What Mixture-of-Experts language models cost in GPU memory and time, as labelled cubes."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
