from .catalogue.lookup import spec_from_config
from .errors import InputError, SpecError
from .grid import inputs, sweep
from .queries.cheapest import cheapest, min_gpus
from .queries.frontier import frontier
from .queries.solve import solve
from .queries.summarize import summarize
from .serving.capacity import capacity
from .serving.expected import expected
from .serving.simulate import simulate
from .store import load, save
from .streaming.to_disk import extend, sweep_to
from .uncertainty.draws import draws
from .uncertainty.sobol import sobol, sobol_sweep

__all__ = [
    "InputError",
    "SpecError",
    "capacity",
    "cheapest",
    "draws",
    "expected",
    "extend",
    "frontier",
    "inputs",
    "load",
    "min_gpus",
    "save",
    "simulate",
    "sobol",
    "sobol_sweep",
    "solve",
    "spec_from_config",
    "summarize",
    "sweep",
    "sweep_to",
]
