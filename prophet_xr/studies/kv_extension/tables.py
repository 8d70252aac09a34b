"""Cube -> frame.  A table is one function of a cube; its name is its file name."""

import numpy as np
import pandas as pd
import xarray as xr

from prophet_xr.reporting.listing import Listing
from prophet_xr.reporting.numbers import names, shown
from prophet_xr.studies.kv_extension import STUDIES_SHOWN
from prophet_xr.studies.published.averages import AVERAGES, by_expert_count, extension

TABLES = Listing(STUDIES_SHOWN)


def _values(array: xr.DataArray) -> np.ndarray:
    return array.transpose("model", ...).values


@TABLES.part
def table1_kv_extension_a100_80gb(cube: xr.Dataset) -> pd.DataFrame:
    """KV extension on A100-80GB at batch 16, per model.

    Reads unique_experts, expert_savings_fraction, expert_memory, kv_budget, max_context,
    kv_extension, kv_increase, regime at gpu A100-80GB, batch 16.
    """
    cell = cube.sel(gpu="A100-80GB", batch=16)
    prophet, baseline = cell.sel(policy="prophet"), cell.sel(policy="baseline")
    meanings = str(cube.regime.attrs["flag_meanings"]).split()
    frame = pd.DataFrame({"model": names(cell)})
    frame["distinct experts"] = _values(cell.unique_experts)
    frame["expert savings [%]"] = _values(shown(prophet.expert_savings_fraction, "%"))
    for title, row in (("baseline", baseline), ("Prophet", prophet)):
        frame[f"expert memory {title} [GB]"] = _values(shown(row.expert_memory, "GB"))
    for title, row in (("baseline", baseline), ("Prophet", prophet)):
        frame[f"max context {title} [token]"] = _values(row.max_context)
    frame["KV extension"] = _values(prophet.kv_extension)
    frame["KV increase [token]"] = _values(prophet.kv_increase)
    frame["regime"] = [meanings[int(i)].replace("_", " ") for i in _values(prophet.regime)]
    frame.attrs["note"] = _zeros(cube.sel(policy="prophet"), len(frame), cell.gpu.item())
    return frame


def _zeros(prophet: xr.Dataset, rows: int, gpu: str) -> str:
    """Say in how many cells an extension of 0 stands next to tokens gained, "" if in none."""
    odd = (prophet.kv_extension == 0) & (prophet.kv_increase > 0)
    if not odd.any():
        return ""
    here = int(odd.sel(gpu=gpu, batch=16).sum())
    return (
        f"An extension of 0 means that the baseline does not fit; the increase is then the whole "
        f"context with Prophet. So it is in {here} of these {rows} rows and in {int(odd.sum())} of "
        f"the {odd.size} cells of the grid."
    )


@TABLES.part
def table2_average_extension(cube: xr.Dataset) -> pd.DataFrame:
    """Average KV extension over all GPUs and batches, per model, with the cells behind it.

    Reads n_experts, top_k, expert_savings_fraction, dedup_factor, kv_extension, regime.
    """
    prophet = cube.sel(policy="prophet")
    each = extension(prophet)
    savings = shown(prophet.expert_savings_fraction, "%")
    frame = pd.DataFrame({"model": names(cube)})
    frame["experts"] = _values(cube.n_experts).astype(int)
    frame["top-k"] = _values(cube.top_k).astype(int)
    for title, name in AVERAGES.items():
        frame[title] = _values(each[name])
    frame["largest"] = _values(each.largest)
    frame["cells where both fit"] = _values(each.cells_fitting)
    frame["cells"] = _values(each.cells)
    frame["expert savings at batch 1 [%]"] = _values(savings.sel(batch=1))
    frame["mean expert savings [%]"] = _values(savings.mean("batch"))
    frame["dedup at batch 1"] = _values(prophet.dedup_factor.sel(batch=1))
    return frame.sort_values(next(iter(AVERAGES)), ascending=False, kind="stable")


@TABLES.part
def table3_by_expert_count(cube: xr.Dataset) -> pd.DataFrame:
    """Models grouped by experts per layer: savings, deduplication, extension and what fits.

    Reads n_experts, expert_savings_fraction, dedup_factor, kv_extension, regime.
    """
    prophet = cube.sel(policy="prophet")
    groups = by_expert_count(prophet)
    frame = pd.DataFrame({"experts": groups.experts.values})
    frame["models"] = groups.models.values.astype(int)
    frame["models with a fitting cell"] = groups.models_fitting.values.astype(int)
    frame["cells where both fit"] = groups.cells_fitting.values.astype(int)
    frame["mean expert savings [%]"] = groups.savings.values * 100
    frame["mean dedup"] = groups.dedup.values
    for title, name in AVERAGES.items():
        frame[title] = groups[name].values
    frame["best model's mean where both fit"] = groups.best.values
    return frame


@TABLES.part
def table4_max_context_length(cube: xr.Dataset) -> pd.DataFrame:
    """Longest context per model and GPU, baseline and Prophet, at batch 1 and 16.

    Reads max_context at batch 1 and 16, native_context.
    """
    frame = pd.DataFrame({"model": names(cube)})
    frame["native context [token]"] = _values(cube.native_context).astype(int)
    for gpu in cube.gpu.values:
        for batch in (1, 16):
            for policy in ("baseline", "prophet"):
                cell = cube.max_context.sel(gpu=gpu, batch=batch, policy=policy)
                frame[f"{gpu} B={batch} {policy}"] = _values(cell)
    return frame
