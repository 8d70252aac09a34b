"""Sobol indices, exact on a grid: variances of conditional means of the cells themselves."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from prophet_xr import checks, registry
from prophet_xr.catalogue.provenance import provenance
from prophet_xr.checks import unique
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.grid import metric_names
from prophet_xr.queries.arguments import dims_of, flag
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import planned
from prophet_xr.uncertainty import sobol_slabs, sobol_sums

DROP = "drop"
INDEX_REASONS = ("answered", "no_cell_counts", "no_variance")
_Names = str | Iterable[str]


def sobol(
    values: xr.DataArray,
    over: _Names | None = None,
    *,
    weights: Mapping[str, Sequence[float]] | None = None,
    missing: str | float = DROP,
    second_order: bool = True,
) -> xr.Dataset:
    """Sobol indices of an array, exact for its grid (Saltelli et al. 2008; Sobol' 2001).

    Parameters
    ----------
    values
        Any labelled array; an axis may hold labels (models, GPUs) as well as numbers.
    over
        Dims to vary, all those of two values or more by default; the others are kept.
    weights
        Weight of each value of an axis, alike by default; they are scaled to sum to 1.
    missing
        What a cell that is not finite counts as: a number, or ``"drop"``, and then it does not
        count.  With cells dropped the axes are no longer independent: each index is still a share
        of the variance, but first-order indices may add up to more than 1, and one that others
        stand in for (a model that fits only the large GPUs) may exceed its total index.
    second_order
        Whether to compute the pairs.

    Returns
    -------
    xr.Dataset
        On the kept dims and ``axis``: ``first_order``, the variance of the mean given the axis over
        the variance; ``total``, the mean variance along the axis over the variance;
        ``second_order`` (axis, other), what a pair explains beyond its two first orders.  On the
        kept dims: ``mean``, ``variance``, ``missing`` (the weight of cells not finite) and
        ``reason``, why the indices are NaN.

    Raises
    ------
    InputError
        For an unknown dim, an axis of one value, or weights that are none.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 4, 16], hit_rate=[0.9, 1.0])
    >>> cube = px.sweep(data, ["slowdown"])
    >>> found = sobol(cube.slowdown.sel(policy="prophet"))
    >>> bool(found.total.sel(axis="batch") > found.total.sel(axis="hit_rate"))
    True
    """
    values = checks.array(values, "what sobol() analyses")
    second_order = checks.yes_or_no("second_order", second_order)
    axes = _axes({str(d): n for d, n in values.sizes.items()}, over)
    kept = [str(d) for d in values.dims if d not in axes]
    scaled = _scaled(values, axes, weights)
    fill = _fill(missing)
    table = values.transpose(*kept, *axes).values.astype(np.float64, copy=False)
    sums = [
        sobol_sums.gather(scaled, sobol_sums.cut(table[index], tuple(axes)), fill, second_order)
        for index in np.ndindex(table.shape[: len(kept)])
    ]
    return _labelled(sums, values, kept, axes, axes)


def sobol_sweep(
    data: xr.Dataset,
    metric: str,
    over: _Names | None = None,
    *,
    where: str = "",
    weights: Mapping[str, Sequence[float]] | None = None,
    missing: str | float = DROP,
    second_order: bool = True,
) -> xr.Dataset:
    """Sobol indices of a metric over the grid of the inputs, which is never stored.

    Parameters
    ----------
    data
        What `inputs` returns.
    metric
        Name of the metric; along an axis that it does not depend on its indices are 0.
    over
        Dims to vary, all those of two values or more but ``policy`` by default; others are kept.
    where
        A flag, such as ``fits``: a cell where it is false is missing.
    weights, missing, second_order
        As in `sobol`, which says what is returned.

    Raises
    ------
    InputError
        As `sobol` and `prophet_xr.sweep` do.
    """
    name = _one(metric, data)
    second_order = checks.yes_or_no("second_order", second_order)
    flag(where)
    given = dims_of(data, "over", over) if over is not None else None
    sizes = {str(d): n for d, n in data.sizes.items() if given is not None or d != POLICY}
    axes, fill = _axes(sizes, given), _fill(missing)
    scaled = _scaled(data, axes, weights)
    plan = planned(data, [name], (), where)
    natural = {*plan.dims[name], *(plan.dims[where] if where else ())}
    varied = [d for d in plan.order if d in natural and d in axes]
    kept = [d for d in plan.order if d in natural and d in data.dims and d not in axes]
    varied_weights = {d: scaled[d] for d in varied}
    gathered = {
        index: sobol_sums.gather(varied_weights, slabs, fill, second_order)
        for index, slabs in sobol_slabs.of_each(data, name, where, kept, varied)
    }
    sums = [gathered[index] for index in np.ndindex(*(data.sizes[d] for d in kept))]
    result, q = _labelled(sums, data, kept, axes, varied), QUANTITIES[name]
    result["mean"].attrs = {"long_name": f"{q.long_name}: mean", "units": q.units}
    units = q.units if q.units == "1" else f"({q.units})^2"
    result["variance"].attrs = {"long_name": f"{q.long_name}: variance", "units": units}
    return result


# --- Arguments -------------------------------------------------------------------------------


def _one(metric: object, data: xr.Dataset) -> str:
    """Name of a single metric."""
    return metric_names([checks.text("metric", metric)], data)[0]


def _axes(sizes: Mapping[str, int], over: _Names | None) -> list[str]:
    """Axes to vary, each of two values or more."""
    asked = (
        [str(d) for d, n in sizes.items() if n > 1] if over is None else checks.texts("over", over)
    )
    unique("over", asked)
    for name in asked:
        if name not in sizes:
            raise InputError(f"{name!r} is no dimension; {nearest(name, sizes)}")
        if sizes[name] < 2:
            raise InputError(f"{name} holds {sizes[name]} value; expected two or more to vary it")
    if not asked:
        raise InputError("no axis holds two values; expected one to vary")
    return asked


def _scaled(
    data: xr.Dataset | xr.DataArray, axes: list[str], weights: Mapping[str, Sequence[float]] | None
) -> dict[str, np.ndarray]:
    """Weights of every axis, which sum to 1; those with labels are put in the axis's order."""
    given = checks.mapping("weights", {} if weights is None else weights)
    for name in given:
        if name not in axes:
            raise InputError(f"weights of {name!r}, which is not varied; {nearest(name, axes)}")
    scaled = {}
    for axis in axes:
        size, axis_weights = data.sizes[axis], given.get(axis)
        if axis_weights is None:
            axis_weights = np.ones(size)
        elif isinstance(axis_weights, xr.DataArray):
            if axis in axis_weights.coords and axis in data.coords:
                axis_weights = axis_weights.reindex({axis: data[axis].values})
        listed = np.array(checks.numbers(f"weights of {axis}", axis_weights))
        if listed.size != size or listed.min() < 0 or not listed.sum() > 0:
            raise InputError(
                f"weights of {axis}={listed.tolist()}; expected {size} numbers, none below 0, not "
                f"all 0"
            )
        scaled[axis] = listed / listed.sum()
    return scaled


def _fill(missing: object) -> float | None:
    if isinstance(missing, str) and missing == DROP:
        return None
    if isinstance(missing, bool) or not isinstance(missing, int | float | np.number):
        raise InputError(f"missing={brief(missing)}; expected 'drop' or a finite number")
    if not np.isfinite(missing):
        raise InputError(f"missing={brief(missing)}; expected 'drop' or a finite number")
    return float(missing)


# --- Sums as indices -------------------------------------------------------------------------


def _labelled(
    kept_sums: list[sobol_sums.Sums],
    data: xr.Dataset | xr.DataArray,
    kept: list[str],
    axes: list[str],
    varied: Sequence[str],
) -> xr.Dataset:
    """Indices of every kept cell; 0 along an axis that is not varied."""
    for name in ("axis", "other"):
        if name in kept:
            raise InputError(f"{name!r} is the name of a kept dimension; rename it first")
    shape = [data.sizes[d] for d in kept]
    first, total, second, ends = _indices(kept_sums, axes, varied)
    result = xr.Dataset(coords={d: data[d] for d in kept if d in data.coords})
    result = result.assign_coords(axis=axes, other=axes)
    orders = {"first_order": (first, "First-order"), "total": (total, "Total")}
    if kept_sums and any(len(p) == 2 for p in kept_sums[0].within):
        orders["second_order"] = second, "Second-order"
    for name, (array, order) in orders.items():
        dims = ["axis", "other"][: array.ndim - 1]
        attrs = {"long_name": f"{order} Sobol index", "units": "1"}
        result[name] = ((*kept, *dims), array.reshape(*shape, *array.shape[1:]), attrs)
    for name, values in zip(("mean", "variance", "missing"), ends, strict=False):
        result[name] = (tuple(kept), values.reshape(shape))
    result["missing"].attrs = {"long_name": "Share of cells that are not finite", "units": "1"}
    flags = registry.flags(INDEX_REASONS)
    result["reason"] = (tuple(kept), ends[3].astype(np.int64).reshape(shape), flags)
    return result.assign_attrs(provenance())


def _indices(
    kept_sums: list[sobol_sums.Sums], axes: list[str], varied: Sequence[str]
) -> tuple[np.ndarray, ...]:
    """First, total and second orders of every kept cell, and its moments."""
    count = len(axes)
    first, total = np.zeros((2, len(kept_sums), count))
    second = np.full((len(kept_sums), count, count), np.nan)
    ends = np.full((4, len(kept_sums)), np.nan)
    for row, sums in enumerate(kept_sums):
        ends[:, row] = _moments(sums)
        if ends[3, row]:
            first[row], total[row] = np.nan, np.nan
            continue
        for d in varied:
            i = axes.index(d)
            first[row, i] = sums.between((d,)) / sums.variance
            total[row, i] = sums.along(d) / sums.variance
        for i, j in combinations(range(count), 2):
            pair = next((p for p in sums.within if set(p) == {axes[i], axes[j]}), None)
            closed = sums.between(pair) / sums.variance if pair else first[row, i] + first[row, j]
            second[row, i, j] = second[row, j, i] = closed - first[row, i] - first[row, j]
    return first, total, second, ends


def _moments(sums: sobol_sums.Sums) -> tuple[float, float, float, int]:
    """Mean, variance, share that is missing, and the code of the reason for no index."""
    if not sums.weight > 0:
        return np.nan, np.nan, sums.missing, 1
    if not np.isfinite(sums.square):
        raise InputError("the squares of the cells exceed 1e308; expected smaller numbers")
    return sums.mean, sums.variance, sums.missing, 0 if sums.variance > 0 else 2
