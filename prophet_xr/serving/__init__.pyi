from .distributions import fixed, gamma, lognormal, quantiles
from .loads import checked_load, faster, load, rate, synthetic
from .preset_loads import preset, presets
from .traces import trace

__all__ = [
    "checked_load",
    "faster",
    "fixed",
    "gamma",
    "load",
    "lognormal",
    "preset",
    "presets",
    "quantiles",
    "rate",
    "synthetic",
    "trace",
]
