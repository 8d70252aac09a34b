"""The study's headlines over its assumptions: cubes -> where each holds, and its verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.offloading import regions
from prophet_xr.reduce import names
from prophet_xr.statements import Claim, read
from prophet_xr.uncertainty.conclusions import robustness
from prophet_xr.uncertainty.grids import BASE, averages

AGREES = 0.1
"""Share by which a number may differ from a published one and still agree with it."""
TRUE = {"step": "bare"}
LARGE = 131e9  # parameters; the least of the models that the study says need several GPUs
LINK = {"model": "mixtral-8x7b", "gpu": "A100-80GB", "context": 4096, "hit_rate": regions.HIT}
LINK |= {"host_link_rate": 10e9, "cache_slots": 0}
Cubes = Mapping[str, xr.Dataset]


@dataclass(frozen=True)
class Conclusion:
    """What is concluded, where it holds, the assumptions it was stated under, and what is true."""

    title: str
    holds: xr.DataArray
    base: Mapping[str, object]
    truth: Mapping[str, object]


def scores(cube: xr.Dataset) -> xr.DataArray:
    """Average extension of each model under every assumption; NaN where none is defined."""
    return averages(cube, ["gpu", "batch"])


def by_count(cube: xr.Dataset) -> xr.DataArray:
    """Average extension of each number of experts, over the cells of its models.

    A model that never fits counts as 0 where zeros count, as in the study, and else not at all.
    """
    lean = cube[["kv_extension", "regime"]].reset_coords(drop=True)
    parts: list[xr.DataArray] = []
    experts = cube.n_experts.broadcast_like(cube.step).transpose("step", "model").values
    rows, row = np.unique(experts, axis=0, return_inverse=True)  # they differ between steps
    for i, counts in enumerate(rows.astype(int)):
        own, groups = lean.isel(step=row == i), np.unique(counts)
        of = [own.isel(model=np.flatnonzero(counts == n)) for n in groups]
        each = [averages(cells, ["model", "gpu", "batch"]) for cells in of]
        parts.append(xr.concat(each, xr.Variable("experts", groups)))
    return xr.concat(parts, "step", join="outer").sel(step=cube.step)


def conclusions(cubes: Cubes) -> list[Conclusion]:
    """List the study's headlines.  Reads ``assumptions`` and ``costs``."""
    cube, said = cubes["assumptions"], _said()
    ranked, counted = scores(cube), by_count(cube)
    made = []

    def add(title: str, holds: xr.DataArray) -> None:
        own = {str(d): BASE[str(d)] for d in holds.dims}
        made.append(Conclusion(title, holds, own, TRUE))

    best = said["avg_kv_extension"]
    model = best.model[0]
    name = dict(zip(cube.model.values, names(cube), strict=True))[model]
    add(f"{name} extends most", ranked.fillna(-1.0).idxmax("model") == model)
    own = ranked.sel(model=model)
    add(
        f"{name} extends {best.value:g}x (within {AGREES:.0%})",
        abs(own - best.value) <= AGREES * best.value,
    )
    count = int(said["ranking"].value)
    add(f"{count} experts is optimal", counted.fillna(-1.0).idxmax("experts") == count)
    few = list(said["recommendation"].batch)
    by_batch = averages(cube, ["model", "gpu"]).fillna(0.0)
    most = by_batch.drop_sel(batch=few).max("batch")
    add(
        f"Batch {few[0]} to {few[-1]} extends most",
        by_batch.sel(batch=few).min("batch") > most,
    )
    one = said["kv_extension"]
    at = {"model": one.model[0], "gpu": one.gpu[0], "batch": one.batch[0]}
    cell = cube.kv_extension.sel(at)
    title = dict(zip(cube.model.values, names(cube), strict=True))[one.model[0]]
    add(
        f"{title} extends {one.value:g}x at batch {one.batch[0]} (within {AGREES:.0%})",
        abs(cell.fillna(0.0) - one.value) <= AGREES * one.value,
    )
    whole = cube.total_parameters.sel(TRUE)  # the study counts some models too large
    large = cube.regime.isel(model=np.flatnonzero(whole >= LARGE))
    none = large.isin([0, 3]).all(["model", "gpu", "batch"])
    add("No model of 132B or more fits a single GPU, even with Prophet", none)
    return made + _offloading(cubes["costs"])


def _said() -> dict[str, Claim]:
    """First claim of the study on each quantity."""
    found: dict[str, Claim] = {}
    for claim in read():
        found.setdefault(claim.quantity, claim)
    return found


def _offloading(cube: xr.Dataset) -> list[Conclusion]:
    """The study's three numbers on latency, at batch 1, for caches short of every expert."""
    targets, one = regions.targets(), cube.sel(batch=1)
    own = regions.prophet(one)
    short = (own.share < 1) & (one.context <= one.native_context)
    ratio = regions.ratio(one)
    slow = regions.fetching(one).slowdown
    within = (one.context <= one.native_context).broadcast_like(slow)
    made = [
        (f"Prophet beats fetching by {targets.lower_text}", ratio >= targets.lower, short),
        (f"Prophet costs {targets.free_text}", own.slowdown <= targets.free, short),
        (f"Fetching when needed costs {targets.slow_text}", slow >= targets.slow, within),
    ]
    found = []
    for title, holds, counts in made:
        values = holds.astype(np.float64).where(counts).transpose(*LINK, missing_dims="ignore")
        base = {str(d): LINK[str(d)] for d in values.dims}
        found.append(Conclusion(title, values, base, {}))
    return found


def judged(cubes: Cubes) -> pd.DataFrame:
    """Judge every headline: a row each, as `robustness` answers."""
    rows = []
    for own in conclusions(cubes):
        rows.append({"conclusion": own.title, **robustness(own.holds, own.base, own.truth)})
    return pd.DataFrame(rows)
