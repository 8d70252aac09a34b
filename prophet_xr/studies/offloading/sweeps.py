"""The sweeps behind the tables, figures and verdicts on offloading."""

import numpy as np
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.grid import inputs, sweep
from prophet_xr.reporting.listing import Sweeps
from prophet_xr.studies.published.latency_claims import MEASURED, STUDY_LINK

SWEEPS = Sweeps()
_POLICIES = ["baseline", "prophet", "lru", "on_demand", "cpu_compute"]
CARDS = ["V100-32GB", "A100-80GB", "H100-80GB"]
_LINKS = [STUDY_LINK, 12e9, 24.8e9, 55e9]  # the study's; PCIe 3, 4, 5 as measured
# Quarters and halves of every layer from 8 to 256 experts are among these, and halves less top-k.
SLOTS = [
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15, 16, 20, 24, 28, 30, 32, 40, 48, 56, 64, 72),
    *(80, 88, 96, 104, 112, 116, 120, 124, 126, 128, 160, 192, 224, 240, 248, 256),
]
_HITS = [0.8, 0.9, 0.95, 0.98, 0.994, 1.0]
_KEPT = [
    *("unique_experts", "policy_reason", "resident_experts", "expert_memory", "host_memory"),
    *("expert_savings_fraction", "reuse", "in_time", "hit_rate_raised", "feasible_hit_rate"),
    *("link_traffic", "link_utilization", "compute_time", "memory_time", "gpu_time"),
    *("hidden_time", "exposed_time", "host_time", "step_time", "slowdown", "throughput"),
]


def models() -> list[str]:
    """Models of the study, then the others whose requests were measured."""
    study = specs.read("published/model").model.values.tolist()
    every = specs.read("model")
    measured = every.model.values[(every.reuse_strength_status == "measured").values].tolist()
    return [*study, *(m for m in measured if m not in study)]


def _marked(cube: xr.Dataset) -> xr.Dataset:
    """Add locality_measured (model): whether r(C) was measured, or is the median of the others."""
    status = specs.read("model").reuse_strength_status.sel(model=cube.model.values)
    return cube.assign_coords(locality_measured=("model", (status == "measured").values))


def slots(most: int) -> xr.DataArray:
    """Slots of a cache, and as many for Prophet next to the experts of the step."""
    return xr.DataArray([count for count in SLOTS if count <= most], dims="cache_slots")


@SWEEPS.saved
def costs() -> xr.Dataset:
    """Every policy on every link and cache, for models, cards, batches, contexts and hit rates.

    A cache of more slots than a model has experts is NaN, with its ``policy_reason``; a context
    beyond the native one is a what-if, which ``wording.extent`` does not count.
    """
    cube = sweep(
        inputs(
            model=models(),
            gpu=CARDS,
            batch=[1, 4, 16],
            context=[512, 4096, 32768],
            hit_rate=_HITS,
            policy=_POLICIES,
            host_link_rate=_LINKS,
            routing="zipf",
            cache_slots=slots(max(SLOTS)),
            staging=slots(max(SLOTS)),
        ),
        _KEPT,
    )
    return _marked(cube)


@SWEEPS.saved
def closer() -> xr.Dataset:
    """Three models at batch 1 on A100-80GB, with a fine grid of hit rates and links."""
    hits = np.unique(np.round([*np.arange(0, 1, 0.01), *np.arange(0.99, 1.0005, 0.001)], 3))
    return sweep(
        inputs(
            model=MEASURED,
            gpu="A100-80GB",
            batch=1,
            context=4096,
            hit_rate=hits,
            policy=["baseline", "prophet", "on_demand"],
            host_link_rate=np.unique([*_LINKS, *np.geomspace(5e9, 2e12, 79)]),
            routing="zipf",
            cache_slots=slots(128),
            staging=slots(128),
        ),
        ["slowdown", "step_time", "resident_experts", "in_time", "feasible_hit_rate"],
    )


@SWEEPS.saved
def engines() -> xr.Dataset:
    """What a fixed cost per copy and per step does, at each card's own link and batch 1."""
    return sweep(
        inputs(
            model=models(),
            gpu=CARDS,
            batch=1,
            context=512,
            policy=["baseline", "prophet", "lru", "on_demand"],
            copy_latency=[0.0, 20e-6, 70e-6],
            software_floor=[0.0, 5e-3, 15e-3],
            routing="zipf",
        ),
        ["slowdown", "throughput", "step_time", "resident_experts"],
    )
