"""Three maps of the study's break-evens: batch, exponent and hit rate at which an answer turns."""

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.grid import Values, inputs
from prophet_xr.studies.published.latency_claims import MEASURED, latency_targets
from prophet_xr.studies.sensitivity.assumptions import BATCHES, EXPONENTS, LAWS
from prophet_xr.uncertainty.break_even import break_even

LEFT = 0.1  # share of expert memory freed, below which little is left to gain
_CARD = "A100-80GB"


def batch_of_little_savings(left: float = LEFT, **chosen: Values) -> xr.Dataset:
    """Batch from which Prophet frees less than a tenth of the experts.

    Parameters
    ----------
    left
        Share of expert memory that is little.
    **chosen
        Inputs other than the defaults: those of `inputs`.

    Returns
    -------
    xr.Dataset
        As `break_even` along ``batch``, by model, routing and dedup_exponent, which
        matters to the power law alone; and n_experts, top_k.
    """
    batches = np.unique(np.geomspace(1, 4096, 400).round())
    start = {"routing": LAWS, "dedup_exponent": EXPONENTS, "batch": batches, "gpu": _CARD}
    data = inputs(**{"policy": "prophet", **start, **chosen})
    left = checks.number("left", left, 0, 1, ends=False)
    found = break_even(data, "expert_savings_fraction", left, "batch")
    return found.assign(n_experts=data.n_experts, top_k=data.top_k)


def exponent_of_no_fit(**chosen: Values) -> xr.Dataset:
    """Exponent at which Prophet leaves no room for the KV cache.

    Returns `break_even` along ``dedup_exponent`` by model, gpu and batch: *above*, it fits with
    any exponent, *below* with none.  ``chosen`` as in `batch_of_little_savings`.
    """
    start = {"dedup_exponent": np.linspace(0, 1, 101), "batch": BATCHES}
    data = inputs(**{"policy": "prophet", **start, **chosen})
    return break_even(data, "kv_budget", 0.0, "dedup_exponent")


def hit_rate_of_target(target: float | None = None, **chosen: Values) -> xr.Dataset:
    """Least hit rate at which Prophet is no slower than a target, at batch 1.

    Parameters
    ----------
    target
        Largest slowdown; by default the study's.
    **chosen
        As in `batch_of_little_savings`.

    Returns
    -------
    xr.Dataset
        As `break_even` along ``hit_rate``, by model, host_link_rate and ``kept``, the share of the
        other experts that stay resident next to those of the step: *below*, any hit rate will do,
        *above*, none.
    """
    links = np.array([10, 24.8, 55, 100, 200, 400, 800]) * 1e9
    kept = np.array([0.0, 0.25, 0.5, 0.75, 0.9])
    hits = np.unique([*np.linspace(0, 1, 101), *np.linspace(0.99, 1, 11)])
    start = {"model": MEASURED, "gpu": _CARD, "batch": 1, "context": 4096, "routing": "zipf"}
    start |= {"policy": "prophet", "host_link_rate": links, "hit_rate": hits}
    data = inputs(**{**start, **chosen})
    if "staging" not in chosen:
        others = (data.n_experts - data.top_k) * xr.DataArray(kept, dims="kept")
        data = data.drop_vars("staging").assign(staging=others.variable)
        data = data.assign_coords(kept=("kept", kept, {"long_name": "Others kept", "units": "1"}))
    slowest = (
        latency_targets().free
        if target is None
        else checks.number("target", target, 0, np.inf, ends=False)
    )
    return break_even(data, "slowdown", slowest, "hit_rate")
