"""The published study, end to end: which sweeps, tables and figures, in what order, and where.

Every file is written to a temporary name and renamed; nothing holds a time, so the same inputs
give the same bytes.
"""

import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr

from prophet_xr.catalogue import specs
from prophet_xr.engine.run import cores
from prophet_xr.files import write
from prophet_xr.grid import inputs, sweep
from prophet_xr.reporting import writers
from prophet_xr.reporting.drawing_processes import leave_with_parent, start
from prophet_xr.store import save
from prophet_xr.studies.kv_extension import (
    architecture_pages,
    claim_verdicts,
    figures,
    report,
    tables,
)
from prophet_xr.studies.offloading.sweeps import STUDY_LINK, costs
from prophet_xr.studies.published.averages import columns
from prophet_xr.studies.published.ladder import rungs, stacked
from prophet_xr.studies.sensitivity.sweeps import assumptions

SPLIT = ["expert_memory", "total_memory", "fits", "kv_budget", "max_context"]
SINGLE = [
    *("unique_experts", "dedup_factor", "expert_savings", "expert_savings_fraction"),
    *("fixed_memory", "activation_memory", "predictor_memory", "kv_per_token", "kv_memory"),
    *("total_savings_fraction", "kv_extension", "kv_increase", "usable_context", "regime"),
]
ORDER = [
    *("unique_experts", "dedup_factor", "expert_memory_baseline", "expert_memory_prophet"),
    *("expert_savings", "expert_savings_fraction", "fixed_memory", "activation_memory"),
    *("predictor_memory", "kv_per_token", "kv_memory", "total_memory_baseline"),
    *("total_memory_prophet", "total_savings_fraction", "fits_baseline", "fits_prophet"),
    *("kv_budget_baseline", "kv_budget_prophet", "max_context_baseline", "max_context_prophet"),
    *("kv_extension", "kv_increase", "usable_context", "regime"),
]

STEP = {
    "long_name": "Step from the published study to the true architectures",
    "units": "1",
    "comment": "published, the study's constants; exact_parameters, and experts and top-k; "
    "exact_kv, and native contexts; usable_memory instead of nominal; bare, without the study's "
    "charge for activations. Each step keeps those before it.",
}

Frames = dict[str, dict[str, pd.DataFrame]]  # tables by study and name


# --- Cubes ---------------------------------------------------------------------------------


def zeros_where_nothing_fits(cube: xr.Dataset) -> xr.Dataset:
    """Follow the study's convention: an extension over a baseline that does not fit is 0."""
    words = str(cube.kv_extension.attrs["comment"]).replace("NaN where", "here 0 where")
    attrs = {**cube.kv_extension.attrs, "comment": words}
    return cube.assign(kv_extension=cube.kv_extension.fillna(0.0).assign_attrs(attrs))


def published() -> xr.Dataset:
    """Sweep the study's grid under its own constants and conventions."""
    return zeros_where_nothing_fits(sweep(inputs("published")))


def verified() -> xr.Dataset:
    """Sweep the study's grid under the true architectures and usable memory."""
    return sweep(inputs("verified"))


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


def ladder() -> xr.Dataset:
    """Sweep from the published study to the true architectures, one change a step.

    Returns a cube with the dimension ``step``; its first step is `published` with NaN for cells
    where the baseline does not fit, its last is `verified`.
    """
    cube = sweep(stacked(rungs(), "step"))
    return cube.assign_coords(step=cube.step.assign_attrs(STEP))


def offload() -> xr.Dataset:
    """Sweep the study's grid with experts fetched when needed beside Prophet.

    Returns a cube with the dimension ``study``: its own constants and link, the true architectures
    on the link of each card, and the former without what was fitted.
    """
    policies = ["baseline", "prophet", "on_demand"]
    own = inputs("published", policy=policies, host_link_rate=STUDY_LINK)
    own["host_link_rate"] = own.host_link_rate.broadcast_like(own.gpu)
    true = inputs("verified", policy=policies)
    sets = {"published": own, "verified": true, "unfitted": _without_fit(own.copy())}
    return sweep(stacked(sets, "study"), ["slowdown", "step_time", "reuse", "feasible_hit_rate"])


# --- Files ---------------------------------------------------------------------------------


def flat(cube: xr.Dataset) -> pd.DataFrame:
    """Return the study's 384 rows: coordinates, then the 24 metrics."""
    wide = columns(cube, SPLIT, SINGLE, "prophet")
    wide["model_name"] = cube.model_name
    for name in ("context", "hit_rate", "dedup_exponent"):
        wide[name] = cube[name].variable
    rows = wide.to_dataframe(dim_order=["model", "gpu", "batch"]).reset_index()
    meanings = str(cube.regime.attrs["flag_meanings"]).split()
    rows["regime"] = [meanings[int(code)] for code in rows["regime"]]
    coordinates = ["model", "model_name", "gpu", "batch", "context", "hit_rate", "dedup_exponent"]
    return rows[[*coordinates, *ORDER]]


def _data(cube: xr.Dataset, folder: Path) -> None:
    frame = flat(cube)
    write(folder / "prophet_kv_extension_data.csv", frame.to_csv(index=False, float_format="%.10g"))
    whole = frame.astype(object).where(frame.notna(), None)  # JSON has no NaN
    records = json.dumps(whole.to_dict("records"), indent=1, allow_nan=False)
    write(folder / "prophet_kv_extension_data.json", records + "\n")


def _table(cube: xr.Dataset, folder: Path, name: str, made: dict[str, pd.DataFrame]) -> None:
    made[name] = writers.table(partial(tables.TABLES[name], cube), folder / name)


def write_claims(frame: pd.DataFrame, out: Path) -> None:
    """Write every claim with its verdict, as CSV and Markdown."""
    write(out / "claims.csv", frame.to_csv(index=False, float_format="%.6g"))
    write(out / "claims.md", report.claims_document(frame))


def _judged(made: Mapping[str, xr.Dataset], out: Path, frames: Frames) -> None:
    frame = claim_verdicts.judge(made)
    write_claims(frame, out)
    material = report.Material(made, frame, frames)
    write(out / "PROPHET_KV_EXTENSION_COMPREHENSIVE_REPORT.md", report.report(material))
    write(out / "OPEN_SOURCE_MOE_ARCHITECTURES.md", architecture_pages.architectures())
    write(out / "PARAMETER_BREAKDOWN_DETAILED.md", architecture_pages.breakdowns())


def cubes() -> dict[str, xr.Dataset]:
    """Sweep all that the study's files are made from."""
    return {
        "published": published(),
        "verified": verified(),
        "unfitted": unfitted(),
        "ladder": ladder(),
        "offload": offload(),
        "costs": costs(),
        "assumptions": assumptions(),
    }


def pictures(out: Path, made: Mapping[str, xr.Dataset]) -> list[writers.Job]:
    """List the figures: a title and what to call."""
    return [
        (
            f"{study}/{name}",
            partial(
                writers.figure, partial(figures.FIGURES[name], made[study]), out / study / name
            ),
        )
        for study in ("published", "verified")
        for name in figures.FIGURES
    ]


def texts(out: Path, made: Mapping[str, xr.Dataset]) -> list[writers.Job]:
    """List every other file, in the order they are written."""
    todo: list[writers.Job] = []
    frames: Frames = {"published": {}, "verified": {}}  # filled by the jobs that write the tables
    for study, own in frames.items():
        cube, folder = made[study], out / study
        todo.append((f"{study}/data", partial(_data, cube, folder)))
        todo.append((f"{study}/cube.nc", partial(save, cube, folder / "cube.nc")))
        todo += [(f"{study}/{n}", partial(_table, cube, folder, n, own)) for n in tables.TABLES]
    todo.append(("ladder/cube.nc", partial(save, made["ladder"], out / "ladder" / "cube.nc")))
    todo.append(("claims and reports", partial(_judged, made, out, frames)))
    return todo


def run(out: Path, tell: writers.Tell) -> None:
    """Sweep and write everything; ``tell(title, left)`` hears of each file.

    Figures take most of the time and need nothing but their cube, so other processes draw them.
    """
    with ProcessPoolExecutor(cores(), start(), leave_with_parent) as pool:
        made = {"published": published(), "verified": verified()}
        drawn = {pool.submit(job): title for title, job in pictures(out, made)}
        made |= {"unfitted": unfitted(), "ladder": ladder(), "offload": offload()}
        made |= {"costs": costs(), "assumptions": assumptions()}
        todo = texts(out, made)
        left = len(todo) + len(drawn)
        for title, job in todo:
            tell(title, left)
            job()
            left -= 1
        for future in as_completed(drawn):
            tell(drawn[future], left)
            future.result()
            left -= 1
        tell("done", left)
