"""Simulation -> numbers that tables, figures and sentences share: batches, and what they give."""

import xarray as xr

from prophet_xr.serving.expected import at_batch

QUANTILE = 0.9  # of the requests that are to meet the objective
TTFT, TPOT = 2.0, 0.1  # s
BUSIEST = 0.99  # of busy time


def objective() -> str:
    """The objective in words."""
    return f"first token within {TTFT:g} s, then {1e3 * TPOT:g} ms a token"


def over_seeds(cube: xr.Dataset) -> xr.Dataset:
    """Mean over seeds, where there are several."""
    return cube.mean("seed", keep_attrs=True) if "seed" in cube.dims else cube


def busy(cube: xr.Dataset) -> xr.DataArray:
    """Share of busy time at each batch.

    Reads batch_share (..., batch) [1].
    """
    share = cube.batch_share.sel(batch=slice(1, None))
    return share / share.sum("batch")


def batch_below(cube: xr.Dataset, level: float = BUSIEST) -> xr.DataArray:
    """The batch that a step does not exceed for a share of busy time; NaN if never busy.

    Reads batch_share (..., batch) [1].
    """
    share = busy(cube)
    reached = share.cumsum("batch") >= level - 1e-12
    return share.batch.where(reached).min("batch")


def static_and_loaded(cube: xr.Dataset, name: str, policy: str = "prophet") -> xr.Dataset:
    """A metric of a policy at static batches, and under the load.

    Reads   the metric (policy, batch, ...), its ``expected_`` and ``static_``, batch_mean,
            batch_share (policy, rate, ...)
    Returns alone: at batch 1; resident: at the mean batch of all experts resident, which a static
            count of the same load would take; own: at the policy's own mean batch; loaded: mean
            over busy time; crowded: at the batch that is not exceeded for 99 % of busy time.
    """
    cell = cube.sel(policy=policy)
    table = cell[[name]].sel(batch=slice(1, None)).reset_coords(drop=True)
    batches = {
        "resident": cube.batch_mean.sel(policy="baseline"),
        "crowded": batch_below(cell),
    }
    found = {"alone": table[name].sel(batch=1), "own": cell[f"static_{name}"]}
    found["loaded"] = cell[f"expected_{name}"]
    for view, batch in batches.items():
        found[view] = at_batch(table, batch.reset_coords(drop=True))[name]
    return xr.Dataset({view: values.reset_coords(drop=True) for view, values in found.items()})


def loaded(cube: xr.Dataset) -> xr.DataArray:
    """The highest rate at which some policy keeps most requests within the objective, or the least.

    Reads attainment (..., rate, policy) [1].
    """
    kept = over_seeds(cube).attainment.max("policy") >= QUANTILE
    return cube.rate.where(kept).max("rate").fillna(cube.rate.min())


def tight(cube: xr.Dataset) -> str:
    """The model that all experts resident leave the least room for KV cache, but some.

    Reads kv_budget (policy, model, batch, ...) [B].
    """
    room = cube.kv_budget.sel(policy="baseline", batch=1)
    room = room.max([d for d in room.dims if d != "model"])
    found = room.where(room > 0)
    return str((found if found.notnull().any() else room).idxmin("model").item())
