"""Inputs are checked once, at the door."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import psutil
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES, Quantity

FINITE = float(np.finfo(np.float64).max)


def unique(name: str, values: Iterable[object]) -> None:
    """Raise InputError for the first value that is there twice."""
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise InputError(f"{name} holds {value!r} twice; expected unique values")
        seen.add(value)


def check(data: xr.Dataset, names: Iterable[str]) -> None:
    """Raise InputError for the first input among ``names`` that is missing or out of bounds."""
    names = list(names)
    for name in names:
        q = QUANTITIES[name]
        if name not in data.variables:
            close = get_close_matches(name, [str(v) for v in data.variables], n=1)
            hint = f"; is it {close[0]!r}?" if close else ""
            raise InputError(f"{name} is missing ({q.long_name}, {q.units}){hint}")
        variable = data.variables[name]
        if variable.dtype.kind not in "iufb":
            raise InputError(f"{name} has dtype {variable.dtype}; expected numbers in {q.units}")
        values, (low, high) = variable.values, q.bounds
        if values.size and not (low <= values.min() and values.max() <= min(high, FINITE)):
            good = np.isfinite(values) & (values >= low) & (values <= high)
            raise InputError(_out_of_bounds(data, q, np.argwhere(~good)[0]))
    if {"cache_slots", "n_experts"} <= set(names):
        _slots(data)
    if {"top_k", "n_experts"} <= set(names):
        _top_k(data)
    for dim, size in data.sizes.items():
        if size == 0:
            raise InputError(f"{dim} is empty; expected at least one value")
        if dim in data.variables:
            unique(str(dim), data.variables[dim].values.tolist())


def _out_of_bounds(data: xr.Dataset, q: Quantity, index: np.ndarray) -> str:
    variable = data.variables[q.name]
    got = variable.values[tuple(index)]
    at = [
        f"{d}={data[d].values.tolist()[i]!r}" if d in data.coords else f"{d}[{i}]"
        for d, i in zip(variable.dims, index, strict=True)
        if d != q.name
    ]
    where = f" at {', '.join(at)}" if at else ""
    low, high = q.bounds
    return f"{q.name}={got:g}{where} is outside [{low:g}, {high:g}] ({q.long_name}, {q.units})"


def enough_memory(size: int) -> None:
    """Raise InputError if arrays of so many bytes do not fit into the memory that is free."""
    free = _free_memory()
    if size > free:
        raise InputError(
            f"the cube takes {size / 1e9:.1f} GB, {free / 1e9:.1f} GB of memory is free; "
            "metrics= keeps fewer, px.summarize stores none, px.sweep_to writes to disk"
        )


def _free_memory() -> int:
    """Bytes this process can still take, by the machine and by the container it runs in."""
    free = psutil.virtual_memory().available
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except (OSError, ValueError):  # no such container, or no limit
        return free
    return min(free, max(limit - used, 0))


def _top_k(data: xr.Dataset) -> None:
    """Refuse more experts for a token than a layer has."""
    asked, experts = data.variables["top_k"], data.variables["n_experts"]
    over = (asked > experts) & (experts > 0)
    if over.any():
        at = dict(zip(over.dims, np.argwhere(over.values)[0], strict=True))
        k, e = (float(v[{d: at[d] for d in v.dims}].values) for v in (asked, experts))
        raise InputError(f"top_k={k:g} exceeds the {e:g} experts of a layer (n_experts)")


def _slots(data: xr.Dataset) -> None:
    """Refuse a cache that no model of the sweep can have.

    A grid of models x slots has cells with more slots than experts: these are NaN with a reason,
    see ``policy_reason``.  Slots that exceed the experts of every model they meet are a mistake.
    """
    slots, experts = data.variables["cache_slots"], data.variables["n_experts"]
    over = (slots > experts) & (experts > 0)
    always = over.all([d for d in over.dims if d not in slots.dims])
    if always.any():
        at = slots.values[always.transpose(*slots.dims).values].ravel()[0]
        raise InputError(
            f"cache_slots={at:g} exceeds the experts of every model it meets; "
            f"expected at most {experts.values.max():g} (n_experts)"
        )
