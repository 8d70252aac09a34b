"""Where a claim on offloading holds: cube -> cells, shares, hit rates, and words."""

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.studies.published.latency_claims import HIT, prophet_row

# --- Cells -----------------------------------------------------------------------------------


def least_share(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least share of experts resident at which Prophet's slowdown is at most ``most``.

    Reads   slowdown, resident_experts (policy, ..., cache_slots), n_experts (model)
    Returns (...) [1], NaN where nothing short of all of them will do.
    """
    row = prophet_row(cube)
    return row.share.where((row.slowdown <= most) & (row.share < 1)).min("cache_slots")


def least_hit_rate(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least share of requests in time at which Prophet's slowdown is at most ``most``.

    Where residency alone will do that is the reuse, to which a lower hit rate is raised.

    Reads   slowdown, in_time (policy, ..., hit_rate) [1]
    Returns (...) [1], NaN where no hit rate will do.
    """
    row = prophet_row(cube)
    return row.in_time.where(row.slowdown <= most).min("hit_rate")


def least_link(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least host link at which Prophet's slowdown is at most ``most``; NaN where none will do.

    Reads   slowdown (policy, ..., host_link_rate) [1]
    """
    return cube.host_link_rate.where(prophet_row(cube).slowdown <= most).min("host_link_rate")


def at_share(cube: xr.Dataset, share: float, others: xr.DataArray | float = 0.0) -> xr.Dataset:
    """Cells whose cache slots, with ``others`` next to them, are a share of each model's experts.

    Raises InputError if the sweep has no such number of slots.
    """
    wanted = share * cube.n_experts - others
    missing = ~np.isin(wanted.values, cube.cache_slots.values)
    if missing.any():
        got = np.atleast_1d(wanted.values)[np.atleast_1d(missing)][0]
        raise InputError(f"cache_slots lacks {got:g}, {share:g} of a model's experts")
    return cube.sel(cache_slots=wanted)


def undominated(freed: np.ndarray, slowdown: np.ndarray) -> np.ndarray:
    """Order of the cells that no other beats in both, from the least memory freed to the most."""
    order = np.lexsort((slowdown, -freed))
    order = order[np.isfinite(slowdown[order])]
    best = np.minimum.accumulate(slowdown[order])
    first = np.r_[True, best[1:] < best[:-1]]
    return order[first][::-1]


def usual(cube: xr.Dataset) -> xr.Dataset:
    """Batch 1 at the study's hit rate, at 4,096 tokens or the native context if that is less.

    Raises InputError if the sweep lacks one of these.
    """
    context = np.minimum(cube.native_context, 4096)
    for name, wanted in {"context": context.values, "hit_rate": [HIT], "batch": [1]}.items():
        if not np.isin(wanted, cube[name].values).all():
            raise InputError(f"{name} lacks one of {np.unique(wanted).tolist()}")
    return cube.sel(batch=1, hit_rate=HIT, context=context)
