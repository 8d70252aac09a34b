"""Sensitivity, uncertainty and robustness: the face of `prophet_xr.uncertainty`."""

from prophet_xr.uncertainty.bands import bands, probability
from prophet_xr.uncertainty.breakeven import (
    batch_of_little_savings,
    exponent_of_no_fit,
    hit_rate_of_target,
)
from prophet_xr.uncertainty.conclusions import ranking, robustness
from prophet_xr.uncertainty.local import elasticities, one_at_a_time
from prophet_xr.uncertainty.priors import Prior, draws, gridded, known, prior
from prophet_xr.uncertainty.sampled import estimate, sampled
from prophet_xr.uncertainty.variance import sobol, sobol_sweep

__all__ = [
    "Prior",
    "bands",
    "batch_of_little_savings",
    "draws",
    "elasticities",
    "estimate",
    "exponent_of_no_fit",
    "gridded",
    "hit_rate_of_target",
    "known",
    "one_at_a_time",
    "prior",
    "probability",
    "ranking",
    "robustness",
    "sampled",
    "sobol",
    "sobol_sweep",
]
