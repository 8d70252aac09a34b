"""Sensitivity, uncertainty and robustness: the face of `prophet_xr.uncertainty`.

Labelled inputs, cubes and arrays in; Datasets out.

- Which input matters: `one_at_a_time`, `elasticities`; `sobol`, `sobol_sweep` and `on_grid`, exact;
  `sampled` and `estimate`, with intervals.
- How sure is it: `prior`, `known`, `draws`, `bands`, `probability`.
- What survives: `robustness`, `ranking`, `break_even`.
"""

from prophet_xr.uncertainty.bands import bands, probability
from prophet_xr.uncertainty.break_even import break_even
from prophet_xr.uncertainty.draws import draws
from prophet_xr.uncertainty.one_at_a_time import elasticities, one_at_a_time
from prophet_xr.uncertainty.priors import Prior, known, prior
from prophet_xr.uncertainty.robustness import ranking, robustness
from prophet_xr.uncertainty.sampled import estimate, sampled
from prophet_xr.uncertainty.sobol import sobol, sobol_sweep
from prophet_xr.uncertainty.sobol_on_priors import on_grid

__all__ = [
    "Prior",
    "bands",
    "break_even",
    "draws",
    "elasticities",
    "estimate",
    "known",
    "on_grid",
    "one_at_a_time",
    "prior",
    "probability",
    "ranking",
    "robustness",
    "sampled",
    "sobol",
    "sobol_sweep",
]
