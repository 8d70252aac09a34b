"""Where a metric reaches a target along one axis."""

import numpy as np
import xarray as xr

from prophet_xr.checks import choice, enough_memory, number, text
from prophet_xr.errors import InputError
from prophet_xr.grid import metric_names
from prophet_xr.queries.arguments import dims_of, flag, label, result
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import planned

_COUNTS = {
    "crossings": "Crossings of the target",
    "cells": "Cells that hold a number",
    "above": "Cells at or above the target",
}
_METHODS = ("linear", "label")


def solve(
    data: xr.Dataset,
    metric: str,
    target: float,
    along: str,
    *,
    method: str | None = None,
    where: str = "",
) -> xr.Dataset:
    """Find the break-even: where a metric crosses a target along an axis.

    Parameters
    ----------
    data
        What `inputs` returns.
    metric
        Name of the metric.
    target
        Number to cross, in the unit of the metric.
    along
        The dim to search, in the order of its labels.
    method
        ``"linear"`` interpolates between the two neighbours (the default along numbers, which
        must rise or fall), ``"label"`` takes the first label that reaches it (the default along
        labels).
    where
        A flag, such as ``fits``: only cells where it is true count.

    Returns
    -------
    xr.Dataset
        ``{along}``: where the target is first reached, from below or from above; NaN or an empty
        text where it never is, or where the first cell is at the target already;
        ``crossings``: how often the target is reached; ``cells``: how many cells hold a number;
        ``above``: how many of them are at or above the target, which says on which side a metric
        stays that never reaches it.  Nothing is interpolated across cells without a number.

    Raises
    ------
    InputError
        As `sweep` does, for an unknown dim, flag or method, and for numbers out of order.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=range(1, 9), context=4096)
    >>> found = px.solve(data, "expert_savings_fraction", target=0.25, along="batch")
    >>> round(float(found.batch.sel(policy="prophet")), 2)
    3.25
    """
    (name,) = metric_names([text("metric", metric)], data)
    (dim,) = dims_of(data, "along", text("along", along))
    flag(where)
    values = data[dim].values if dim in data.coords else np.arange(data.sizes[dim])
    method = _method(dim, values, method)
    words = f"a finite number in {QUANTITIES[name].units}"
    target = number("target", target, expected=words)
    plan = planned(data, [name], [dim], where)
    varied = {*plan.dims[name], *(plan.dims[where] if where else ())}
    if dim not in varied:
        raise InputError(f"{name} does not vary along {dim}; expected one of {sorted(varied)}")
    kept = [d for d in plan.order if d in varied - {dim} and (d != POLICY or d in data.dims)]
    shape = [plan.asked.size if d == POLICY else plan.sizes[d] for d in kept]
    enough_memory(32 * int(np.prod(shape)))
    place, counts = np.full(shape, np.nan), np.zeros((3, *shape), np.int64)
    for slab in plan.slabs([dim], [(*kept, dim)]):
        cells = plan.cells(slab, [name], where)[name]
        alone = [d for d in cells.dims if d not in (*kept, dim)]
        line = cells.squeeze(alone).transpose(*kept, dim).values
        block = tuple(slice(None) if d == POLICY else slab[d] for d in kept)
        points = values if method == "linear" else None
        place[block], counts[:, *block] = _crossings(line, target, points)
    if method == "label":
        some = place == place
        reached = label(data, dim, np.where(some, place, 0).astype(np.int64), some)
        variables: dict[str, tuple] = {dim: (kept, reached)}
    else:
        variables = {dim: (kept, place, QUANTITIES[dim].attrs if dim in QUANTITIES else {})}
    for (key, title), count in zip(_COUNTS.items(), counts, strict=True):
        variables[key] = (kept, count, {"long_name": title, "units": "1"})
    return result(data, [dim], variables)


def _method(dim: str, values: np.ndarray, method: str | None) -> str:
    """How to find the crossing: as asked for, or as suits the values of the dim."""
    if method is None:
        method = "linear" if values.dtype.kind in "iuf" else "label"
    method = choice("method", method, _METHODS)
    if method == "linear":
        _ordered(dim, values)
    return method


def _ordered(dim: str, values: np.ndarray) -> None:
    """Raise InputError for numbers between which nothing can be interpolated."""
    if values.dtype.kind not in "iuf":
        raise InputError(f"{dim} holds labels; expected method='label' along it")
    steps = np.diff(values.astype(np.float64))
    if not ((steps > 0).all() or (steps < 0).all()):
        raise InputError(
            f"{dim} neither rises nor falls; expected sorted values, or method='label'"
        )


def _crossings(
    line: np.ndarray, target: float, values: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """First crossing along the last axis, and (crossings, cells, above)."""
    good, over, under = line == line, line >= target, line <= target
    before, after = slice(None, -1), slice(1, None)
    rising = ~over[..., before] & over[..., after] & good[..., before]
    falling = ~under[..., before] & under[..., after] & good[..., before]
    crossed = rising | falling
    count = crossed.sum(-1)
    counts = np.stack([count, good.sum(-1), over.sum(-1)])
    if line.shape[-1] == 1:
        return np.full(count.shape, np.nan), counts
    left = crossed.argmax(-1)
    if values is None:
        return np.where(count > 0, left + 1.0, np.nan), counts
    low, high = (np.take_along_axis(line, i[..., None], -1)[..., 0] for i in (left, left + 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(np.isinf(low), 1.0, (target - low) / (high - low))
    place = values[left] + share * (values[left + 1] - values[left])
    return np.where(count > 0, place, np.nan), counts
