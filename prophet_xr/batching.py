"""Continuous batching under load: the face of `prophet_xr.serving`."""

from prophet_xr.serving.capacity import capacity
from prophet_xr.serving.distributions import fixed, gamma, lognormal, quantiles
from prophet_xr.serving.expected import expected
from prophet_xr.serving.loads import checked, faster, load, rate, synthetic
from prophet_xr.serving.presets import preset, presets
from prophet_xr.serving.simulate import simulate
from prophet_xr.serving.traces import trace

__all__ = [
    "capacity",
    "checked",
    "expected",
    "faster",
    "fixed",
    "gamma",
    "load",
    "lognormal",
    "preset",
    "presets",
    "quantiles",
    "rate",
    "simulate",
    "synthetic",
    "trace",
]
