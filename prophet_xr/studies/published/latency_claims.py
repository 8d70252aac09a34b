"""The study's three numbers on latency, and the rows of a cube that they are held against."""

from dataclasses import dataclass
from functools import cache

import xarray as xr

from prophet_xr.studies.published import claim_file

# Quantities of data/claims.toml; the last is of memory: freed by Prophet, and by offloading.
PAIR, RATIO, FREED = "offload_slowdowns", "offload_ratio", "memory_reduction"
HIT = 0.994  # the study's hit rate
STUDY_LINK = 10e9  # B/s; the host link of the study
# Models whose requests were measured, from the least to the most local.
MEASURED = ["mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b"]


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
def latency_targets() -> Targets:
    """Read the study's three numbers from its claims."""
    claims = {claim.quantity: claim for claim in claim_file.read_claims()}
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


def prophet_row(cube: xr.Dataset) -> xr.Dataset:
    """Prophet's row, with the share of a layer's experts that it keeps.

    Reads   resident_experts (policy, ...) [expert], n_experts (model) [expert]
    Adds    share (...) [1]
    """
    row = cube.sel(policy="prophet", drop=True)
    return row.assign(share=row.resident_experts / row.n_experts)


def fetching_row(cube: xr.Dataset) -> xr.Dataset:
    """The row of experts fetched when needed, which depends on neither hit rate nor slots."""
    row = cube.sel(policy="on_demand", drop=True)
    constant = {d: 0 for d in ("hit_rate", "cache_slots") if d in row.dims}
    return row.isel(constant, drop=True)


def step_ratio(cube: xr.Dataset) -> xr.DataArray:
    """Step of fetching when needed over Prophet's.

    Reads   step_time (policy, ...) [s]
    """
    return fetching_row(cube).step_time / cube.step_time.sel(policy="prophet", drop=True)
