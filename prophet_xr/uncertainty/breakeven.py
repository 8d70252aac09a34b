"""Break-even maps: at which batch, hit rate or exponent an answer turns into the other."""

import numpy as np
import xarray as xr

from prophet_xr.grid import inputs
from prophet_xr.offloading.regions import SHOWN, targets
from prophet_xr.queries.crossing import solve
from prophet_xr.uncertainty.grids import BATCHES, EXPONENTS, LAWS

LEFT = 0.1  # share of expert memory freed, below which little is left to gain
SIDES = ("crosses", "never", "always")
CARD = "A100-80GB"


def _sided(found: xr.Dataset, along: str) -> xr.Dataset:
    """Add ``side``: whether the target is crossed, or the metric is below or above throughout."""
    above = xr.where(found.above == found.cells, 2, 1)
    side = xr.where(found.crossings > 0, 0, above)
    flags = {"flag_values": list(range(len(SIDES))), "flag_meanings": " ".join(SIDES)}
    return found[[along]].assign(side=side.assign_attrs(flags))


def batch_of_little_savings() -> xr.Dataset:
    """Batch from which Prophet frees less than a tenth of the experts.

    Returns batch (model, routing, dedup_exponent) and ``side``; the exponent is felt by the power
    law alone.
    """
    grid = np.unique(np.geomspace(1, 4096, 400).round())
    data = inputs(policy="prophet", routing=LAWS, dedup_exponent=EXPONENTS, batch=grid, gpu=CARD)
    found = _sided(solve(data, "expert_savings_fraction", LEFT, "batch"), "batch")
    return found.assign(n_experts=data.n_experts, top_k=data.top_k)


def exponent_of_no_fit() -> xr.Dataset:
    """Exponent at which Prophet leaves no room for the KV cache.

    Returns dedup_exponent (model, gpu, batch) and ``side``: *always* fits, or *never* does.
    """
    data = inputs(policy="prophet", dedup_exponent=np.linspace(0, 1, 101), batch=BATCHES)
    return _sided(solve(data, "kv_budget", 0.0, "dedup_exponent"), "dedup_exponent")


def hit_rate_of_target() -> xr.Dataset:
    """Least hit rate at which Prophet is as fast as the study says, at batch 1.

    Returns hit_rate (model, host_link_rate, staging) and ``side``; staging is in experts beside
    those of the step, and the target is met *always* below it, *never* above.
    """
    links = np.array([10, 24.8, 55, 100, 200, 400, 800]) * 1e9
    shares = np.array([0.0, 0.25, 0.5, 0.75, 0.9])
    data = inputs(
        model=SHOWN,
        gpu=CARD,
        batch=1,
        context=4096,
        policy="prophet",
        routing="zipf",
        host_link_rate=links,
        hit_rate=np.unique([*np.linspace(0, 1, 101), *np.linspace(0.99, 1, 11)]),
    )
    beside = (data.n_experts - data.top_k) * xr.DataArray(shares, dims="kept")
    data = data.drop_vars("staging").assign(staging=beside.variable).assign_coords(kept=shares)
    found = solve(data, "slowdown", targets().free, "hit_rate")
    sided = _sided(found, "hit_rate")
    # slowdown falls with the hit rate: above the target throughout is never met
    met = xr.where(sided.side == 0, 0, 3 - sided.side).assign_attrs(sided.side.attrs)
    return sided.assign(side=met)
