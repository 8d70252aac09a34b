from .errors import InputError, SpecError
from .grid import inputs, sweep
from .store import load, save

__all__ = ["InputError", "SpecError", "inputs", "load", "save", "sweep"]
