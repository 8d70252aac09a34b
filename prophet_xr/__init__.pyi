from .catalogue import spec_from_config
from .errors import InputError, SpecError
from .grid import inputs, sweep
from .queries.crossing import solve
from .queries.extremes import cheapest, frontier
from .queries.summary import summarize
from .store import load, save

__all__ = [
    "InputError",
    "SpecError",
    "cheapest",
    "frontier",
    "inputs",
    "load",
    "save",
    "solve",
    "spec_from_config",
    "summarize",
    "sweep",
]
