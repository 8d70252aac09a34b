from .distributions import fixed, gamma, lognormal, quantiles
from .loads import checked, faster, load, rate, synthetic
from .preset_loads import preset, presets
from .traces import trace

__all__ = [
    "checked",
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
