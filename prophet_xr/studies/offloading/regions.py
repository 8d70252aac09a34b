"""Where a claim on offloading holds: cube -> cells, shares, hit rates, and words."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.studies.published import claim_file

# Quantities of data/claims.toml; the last is of memory: freed by Prophet, and by offloading.
PAIR, RATIO, FREED = "offload_slowdowns", "offload_ratio", "memory_reduction"
HIT = 0.994  # the study's hit rate
SHOWN = ["mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b"]  # measured: least to most local requests


@dataclass(frozen=True)
class Targets:
    """What the study says of latency, and how far rounding may move it."""

    free: float  # Prophet's slowdown, at most
    slow: float  # that of fetching when needed, at least
    lower: float  # the latter's step over Prophet's, at least
    free_text: str
    slow_text: str
    lower_text: str
    stated: tuple[tuple[float, float], tuple[float, float]]  # freed share, slowdown: of both


@cache
def targets() -> Targets:
    """Read the study's three numbers from its claims."""
    claims = {claim.quantity: claim for claim in claim_file.read()}
    pair, ratio, freed = claims[PAIR], claims[RATIO], claims[FREED]
    return Targets(
        free=pair.value + pair.tolerance[0],
        slow=pair.high - pair.tolerance[-1],
        lower=ratio.value - ratio.tolerance[0],
        free_text=f"{pair.value:g}x",
        slow_text=f"{pair.high:g}x",
        lower_text=f"{ratio.value:g}x",
        stated=((freed.value / 100, pair.value), (freed.high / 100, pair.high)),
    )


# --- Cells -----------------------------------------------------------------------------------


def prophet(cube: xr.Dataset) -> xr.Dataset:
    """Prophet's row, with the share of a layer's experts that it keeps.

    Reads   resident_experts (policy, ...) [expert], n_experts (model) [expert]
    Adds    share (...) [1]
    """
    row = cube.sel(policy="prophet", drop=True)
    return row.assign(share=row.resident_experts / row.n_experts)


def fetching(cube: xr.Dataset) -> xr.Dataset:
    """The row of experts fetched when needed, which feels neither hit rate nor slots."""
    row = cube.sel(policy="on_demand", drop=True)
    felt = {d: 0 for d in ("hit_rate", "cache_slots") if d in row.dims}
    return row.isel(felt, drop=True)


def ratio(cube: xr.Dataset) -> xr.DataArray:
    """Step of fetching when needed over Prophet's.

    Reads   step_time (policy, ...) [s]
    """
    return fetching(cube).step_time / cube.step_time.sel(policy="prophet", drop=True)


def least_share(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least share of experts resident at which Prophet's slowdown is at most ``most``.

    Reads   slowdown, resident_experts (policy, ..., cache_slots), n_experts (model)
    Returns (...) [1], NaN where nothing short of all of them will do.
    """
    row = prophet(cube)
    return row.share.where((row.slowdown <= most) & (row.share < 1)).min("cache_slots")


def least_hit_rate(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least share of requests in time at which Prophet's slowdown is at most ``most``.

    Where residency alone will do that is the reuse, to which a lower hit rate is raised.

    Reads   slowdown, in_time (policy, ..., hit_rate) [1]
    Returns (...) [1], NaN where no hit rate will do.
    """
    row = prophet(cube)
    return row.in_time.where(row.slowdown <= most).min("hit_rate")


def least_link(cube: xr.Dataset, most: float) -> xr.DataArray:
    """Least host link at which Prophet's slowdown is at most ``most``; NaN where none will do.

    Reads   slowdown (policy, ..., host_link_rate) [1]
    """
    return cube.host_link_rate.where(prophet(cube).slowdown <= most).min("host_link_rate")


def at_share(cube: xr.Dataset, share: float, beside: xr.DataArray | float = 0.0) -> xr.Dataset:
    """Cells whose cache slots, with those ``beside`` them, are a share of each model's experts.

    Raises InputError if the sweep has no such number of slots.
    """
    wanted = share * cube.n_experts - beside
    missing = ~np.isin(wanted.values, cube.cache_slots.values)
    if missing.any():
        got = np.atleast_1d(wanted.values)[np.atleast_1d(missing)][0]
        raise InputError(f"cache_slots lacks {got:g}, {share:g} of a model's experts")
    return cube.sel(cache_slots=wanted)


def front(freed: np.ndarray, slowdown: np.ndarray) -> np.ndarray:
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
