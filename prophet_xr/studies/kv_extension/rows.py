"""The study's 384 configurations x 24 metrics as rows of a table, and as the text of files."""

import json

import pandas as pd
import xarray as xr

from prophet_xr.studies.published.averages import columns

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


def rows_of_study(cube: xr.Dataset) -> pd.DataFrame:
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


def rows_csv(cube: xr.Dataset) -> str:
    """The rows as CSV."""
    return rows_of_study(cube).to_csv(index=False, float_format="%.10g")


def rows_json(cube: xr.Dataset) -> str:
    """The rows as JSON, which has no NaN: null stands for it."""
    frame = rows_of_study(cube)
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return json.dumps(records, indent=1, allow_nan=False) + "\n"
