from .catalogue import spec_from_config
from .errors import InputError, SpecError
from .grid import inputs, sweep
from .store import load, save

__all__ = ["InputError", "SpecError", "inputs", "load", "save", "spec_from_config", "sweep"]
