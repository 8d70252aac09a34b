"""From the published study to the true architectures, one change a step: inputs of each."""

from collections.abc import Mapping
from itertools import pairwise

import xarray as xr

from prophet_xr.grid import Values, inputs
from prophet_xr.registry import fields

_STEPS = ("published", "exact_parameters", "exact_kv", "usable_memory", "bare")
KV_FIELDS = (
    *("kv_full", "kv_windowed", "kv_window", "kv_cross", "state_size"),
    *("attention_reuse", "prompt_reuse", "native_context", "context"),
)


def rungs(**chosen: Values) -> dict[str, xr.Dataset]:
    """Inputs of each step, those of the study's grid but for what is ``chosen``."""
    start, end = inputs("published", **chosen), inputs("verified", **chosen)
    parameters = [q.name for q in fields("model") if q.name not in KV_FIELDS]
    changes = {
        "published": [],
        "exact_parameters": parameters,
        "exact_kv": list(KV_FIELDS),
        "usable_memory": ["nominal_weight"],
        "bare": ["activation_weight"],
    }
    found = {"published": start}
    for before, step in pairwise(_STEPS):
        found[step] = found[before].assign({n: end[n].variable for n in changes[step]})
    return found


def stacked(sets: Mapping[str, xr.Dataset], dim: str) -> xr.Dataset:
    """Inputs along a new dimension, on which only those that differ are."""
    first = next(iter(sets.values())).drop_vars("runtime")
    names = list(first.data_vars)
    varying = [n for n in names if any(not d[n].equals(first[n]) for d in sets.values())]
    each = [first.assign({n: d[n].variable for n in varying})[varying] for d in sets.values()]
    stacked = xr.concat(each, dim).assign_coords({dim: list(sets)})
    return first.drop_vars(varying).assign(stacked)
