"""Simulations -> frame.  A table's name is its file name."""

from collections.abc import Mapping
from itertools import product

import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import shown
from prophet_xr.studies.serving_load import views

_Cubes = Mapping[str, xr.Dataset]
_ORDER = ("model", "gpu", "policy", "rate")
PLACE = ("preset", "model", "gpu")
VIEWS = {
    "alone": "at batch 1",
    "resident": "at the mean batch, all resident",
    "own": "at the mean batch, Prophet",
    "loaded": "under the load",
    "crowded": "at 99 % of the time",
}
TABLES = Listing()


@TABLES.part
def table1_service(served: xr.Dataset) -> pd.DataFrame:
    """What each server does under the load: mean over seeds."""
    cube = views.over_seeds(served)
    lines = []
    for model, gpu, policy, rate in product(*(cube[n].values for n in _ORDER)):
        cell = cube.sel(model=model, gpu=gpu, policy=policy, rate=rate)
        times = [
            scale * cell[name].sel(quantile=level).item()
            for name, scale in (("ttft", 1), ("tpot", 1e3))
            for level in (0.5, 0.99)
        ]
        lines.append(
            [
                *(model, gpu, policy, rate, cell.request_rate.item(), cell.throughput.item()),
                *times,
                shown(cell.attainment, "%").item(),
                cell.batch_mean.item(),
                cell.queue_mean.item(),
                cell.preemptions.item(),
                cell.rejected.sum().item(),
            ]
        )
    heads = ["model", "gpu", "policy", "asked [1/s]", "served [1/s]", "tokens/s", "TTFT p50 [s]"]
    heads += ["TTFT p99 [s]", "TPOT p50 [ms]", "TPOT p99 [ms]", "within objective [%]"]
    heads += ["mean batch", "mean queue", "preempted", "rejected"]
    return pd.DataFrame(lines, columns=heads)


@TABLES.part
def table2_static_against_load(served: xr.Dataset) -> pd.DataFrame:
    """Prophet's KV extension at static batches and under the load, mean over seeds.

    Reads kv_extension (policy, batch, ...) [1], batch_mean, batch_share (policy, rate, ...).
    """
    cube = views.over_seeds(served)
    found = views.static_and_loaded(cube, "kv_extension")
    own, all_ = (cube.batch_mean.sel(policy=p) for p in ("prophet", "baseline"))
    batches = {"mean batch, all resident": all_, "mean batch, Prophet": own}
    batches["batch of 99 % of the time"] = views.batch_below(cube.sel(policy="prophet"))
    lines = []
    for model, gpu, rate in product(*(cube[n].values for n in ("model", "gpu", "rate"))):
        at = {"model": model, "gpu": gpu, "rate": rate}
        numbers = [
            v.sel({n: a for n, a in at.items() if n in v.dims}).item() for v in batches.values()
        ]
        lines.append([model, gpu, rate, *numbers, *(found.sel(at)[n].item() for n in VIEWS)])
    heads = ["model", "gpu", "asked [1/s]", *batches, *(f"extension {t}" for t in VIEWS.values())]
    return pd.DataFrame(lines, columns=heads)


@TABLES.part
def table3_capacity(highest_rates: xr.Dataset) -> pd.DataFrame:
    """Requests per second that meet the objective, by load, card and policy."""
    rates = highest_rates.capacity
    policies = [str(p) for p in rates.policy.values]
    lines = [
        [*at, *rates.sel(dict(zip(PLACE, at, strict=True)) | {"policy": policies}).values]
        for at in product(*(rates[n].values for n in PLACE))
    ]
    heads = [*PLACE, *(f"{p} [1/s]" for p in policies)]
    return pd.DataFrame(lines, columns=heads)


@TABLES.part
def table4_loads(preset_moments: xr.Dataset) -> pd.DataFrame:
    """What is drawn from each preset, and what its source states [token]."""
    lines = []
    for preset, length in product(preset_moments.preset.values, preset_moments.length.values):
        cell = preset_moments.sel(preset=preset, length=length)
        pairs = zip(cell.stated.values, cell.drawn.values, strict=True)
        lines.append([preset, length, *(number for pair in pairs for number in pair)])
    heads = [f"{m}, {kind}" for m in preset_moments.moment.values for kind in ("stated", "drawn")]
    return pd.DataFrame(lines, columns=["preset", "length", *heads])
