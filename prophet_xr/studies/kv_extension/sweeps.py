"""The sweeps of the published study: its own constants, the true architectures, and between.

Nothing holds a time, so the same inputs give the same bytes.
"""

import pandas as pd
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.grid import inputs, sweep
from prophet_xr.reporting.listing import Sweeps
from prophet_xr.studies.kv_extension import claim_verdicts
from prophet_xr.studies.published.ladder import rungs, stacked
from prophet_xr.studies.published.latency_claims import STUDY_LINK

SWEEPS = Sweeps()
_STEP = {
    "long_name": "Step from the published study to the true architectures",
    "units": "1",
    "comment": "published, the study's constants; exact_parameters, and experts and top-k; "
    "exact_kv, and native contexts; usable_memory instead of nominal; bare, without the study's "
    "charge for activations. Each step keeps those before it.",
}


def zeros_where_nothing_fits(cube: xr.Dataset) -> xr.Dataset:
    """Follow the study's convention: an extension over a baseline that does not fit is 0."""
    words = str(cube.kv_extension.attrs["comment"]).replace("NaN where", "here 0 where")
    attrs = {**cube.kv_extension.attrs, "comment": words}
    return cube.assign(kv_extension=cube.kv_extension.fillna(0.0).assign_attrs(attrs))


@SWEEPS.saved(file="published/cube.nc")
def published() -> xr.Dataset:
    """Sweep the study's grid under its own constants and conventions."""
    return zeros_where_nothing_fits(sweep(inputs("published")))


@SWEEPS.saved(file="verified/cube.nc")
def verified() -> xr.Dataset:
    """Sweep the study's grid under the true architectures and usable memory."""
    return sweep(inputs("verified"))


@SWEEPS.part
def unfitted() -> xr.Dataset:
    """Sweep the study's grid with every constant removed that was fitted after the fact.

    What still comes out owes nothing to the fit.
    """
    return zeros_where_nothing_fits(sweep(_without_fit(inputs("published"))))


def _without_fit(data: xr.Dataset) -> xr.Dataset:
    status = specs.read("published/model").sel(model=data.model.values)
    for name in ("dense_parameters", "study_activation"):
        free = status[f"{name}_status"].isin(["bounded", "stand-in"]).variable
        data[name] = data[name].where(~xr.DataArray(free), 0.0).assign_attrs(data[name].attrs)
    return data


@SWEEPS.saved(file="ladder/cube.nc")
def ladder() -> xr.Dataset:
    """Sweep from the published study to the true architectures, one change a step.

    Returns a cube with the dimension ``step``; its first step is `published` with NaN for cells
    where the baseline does not fit, its last is `verified`.
    """
    cube = sweep(stacked(rungs(), "step"))
    return cube.assign_coords(step=cube.step.assign_attrs(_STEP))


@SWEEPS.part
def offload() -> xr.Dataset:
    """Sweep the study's grid under Prophet, and with experts fetched when needed.

    Returns a cube with the dimension ``study``: its own constants and link, the true architectures
    on the link of each card, and the former without what was fitted.
    """
    policies = ["baseline", "prophet", "on_demand"]
    own = inputs("published", policy=policies, host_link_rate=STUDY_LINK)
    own["host_link_rate"] = own.host_link_rate.broadcast_like(own.gpu)
    true = inputs("verified", policy=policies)
    sets = {"published": own, "verified": true, "unfitted": _without_fit(own.copy())}
    return sweep(stacked(sets, "study"), ["slowdown", "step_time", "reuse", "feasible_hit_rate"])


@SWEEPS.part
def claims(
    published: xr.Dataset,
    verified: xr.Dataset,
    unfitted: xr.Dataset,
    ladder: xr.Dataset,
    offload: xr.Dataset,
    slowdowns_region: str,
    slowdown_ratio_region: str,
) -> pd.DataFrame:
    """Every published claim with its verdict."""
    return claim_verdicts.judge(
        {
            "published": published,
            "verified": verified,
            "unfitted": unfitted,
            "ladder": ladder,
            "offload": offload,
            "slowdowns_region": slowdowns_region,
            "slowdown_ratio_region": slowdown_ratio_region,
        }
    )
