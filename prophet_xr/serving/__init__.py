"""Serving under load: requests that come and go, and the batch that they make of each step."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
