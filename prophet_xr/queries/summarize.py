"""Statistics of metrics over dims; the metrics themselves are never stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import xarray as xr

from prophet_xr.checks import choice, enough_memory, shares, texts
from prophet_xr.engine import accumulate
from prophet_xr.engine.codegen import Dims
from prophet_xr.errors import InputError
from prophet_xr.grid import metric_names
from prophet_xr.queries.arguments import Names, dims_of, flag, labels_at, result
from prophet_xr.queries.quantiles import Histogram, exact
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import Slab, SlabPlan, lengths, planned

_METHODS = {"mean": "mean", "min": "minimum", "max": "maximum"}  # that CF has a name for
STATS = ("mean", "min", "max", "argmin", "argmax", "count", "quantile")
SORTED = 2**22  # cells; quantiles of more are taken from a histogram


def summarize(
    data: xr.Dataset,
    metrics: Names,
    over: Names,
    stats: Names = ("mean", "min", "max", "count"),
    *,
    where: str = "",
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
) -> xr.Dataset:
    """Reduce metrics over dims without storing them.

    Parameters
    ----------
    data
        What `inputs` returns.
    metrics
        Names of the metrics.
    over
        Dims to reduce; a metric is reduced over those that it has.
    stats
        Any of ``mean``, ``min``, ``max``, ``argmin``, ``argmax``, ``count`` (cells that hold a
        number; NaN is skipped) and ``quantile``.
    where
        A flag, such as ``fits`` or ``serves_context``: only cells where it is true count.
    quantiles
        Shares of the cells below.  Exact (interpolated) where at most 2**22 cells are reduced
        into one; else within 0.2 % of a number that was there, from a histogram.

    Returns
    -------
    xr.Dataset
        ``{metric}_{stat}`` on the dims that are left, NaN where no cell counts.  The place of an
        extreme is one variable per dim, ``{metric}_argmax_{dim}``, that holds labels; of equal
        cells it is the first.

    Raises
    ------
    InputError
        As `sweep` does, and for an unknown statistic, dim or flag.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=[1, 2, 4], context=4096)
    >>> found = px.summarize(data, "kv_extension", over="batch", stats=["max", "argmax"])
    >>> int(found.kv_extension_argmax_batch.sel(policy="prophet"))
    1
    """
    wanted = metric_names(texts("metrics", metrics), data)
    over, stats = dims_of(data, "over", over), texts("stats", stats)
    if not stats:
        raise InputError("stats=[] is empty; expected at least one of " + ", ".join(STATS))
    for stat in stats:
        choice("stat", stat, STATS)
    levels = shares("quantiles", quantiles)
    if "quantile" in stats and "quantile" in data.dims:
        raise InputError("'quantile' is a dim of the inputs; expected another name for it")
    flag(where)
    variables: dict[str, tuple] = {}
    if set(stats) - {"quantile"}:
        with_positions = any(s.startswith("arg") for s in stats)
        plan = planned(data, wanted, over, where, with_positions=with_positions)
        for name, tally in tallies(plan, wanted, over, POLICY in data.dims).items():
            variables |= _described(data, name, tally, stats)
    if "quantile" in stats:
        plan = planned(data, wanted, over, where)
        variables |= _quantiles(plan, wanted, over, where, levels, POLICY in data.dims)
        variables["quantile"] = ("quantile", levels)
    return result(data, over, variables)


@dataclass(frozen=True)
class _Reduced:
    """Sums, extremes and counts of one metric on ``dims``; places count the cells of ``over``."""

    dims: Dims
    over: Dims
    numbers: np.ndarray
    places: np.ndarray


def tallies(
    plan: SlabPlan, wanted: Iterable[str], over: Iterable[str], labelled: bool
) -> dict[str, _Reduced]:
    """Tallies of metrics, slab by slab; ``labelled``: whether policy is a dim of the inputs."""
    nest_of = {name: nest for nest in plan.nests for name in nest.reduces}
    grid_tallies: dict[str, _Reduced] = {}
    for name in wanted:
        inside = nest_of[name].dims
        dims = tuple(d for d in inside if d not in over and (d != POLICY or labelled))
        reduced = tuple(d for d in inside if d in over)
        shape = [plan.asked.size if d == POLICY else plan.sizes[d] for d in dims]
        enough_memory(48 * prod(shape))
        grid_tallies[name] = _Reduced(dims, reduced, *accumulate.empty_tally(shape))
    for slab in plan.slabs():
        for name, part in plan.run(slab)[1].items():
            _add(plan, grid_tallies[name], slab, *part, POLICY in nest_of[name].dims)
    return grid_tallies


def _add(
    plan: SlabPlan,
    tally: _Reduced,
    slab: Slab,
    numbers: np.ndarray,
    places: np.ndarray,
    by_policy: bool,
) -> None:
    """Merge the tallies of one slab, on (kind, policy, kept dims), into those of the grid."""
    if by_policy:
        numbers, places = numbers[:, plan.asked], places[:, plan.asked]
    over = [d for d in tally.over if d != POLICY]
    whole = [plan.sizes[d] for d in over]
    start = [slab[d].start for d in over]
    places = accumulate.positions_in_grid(places, [lengths(slab)[d] for d in over], start, whole)
    if POLICY in tally.over:
        rows = np.arange(plan.asked.size).reshape(-1, *[1] * (places.ndim - 2))
        places[1:] = np.where(places[1:] < 0, -1, places[1:] + rows * prod(whole))
        numbers, places = accumulate.merge_tallies(numbers, places)
    elif POLICY not in tally.dims:
        numbers, places = numbers[:, 0], places[:, 0]
    block = (slice(None), *(slice(None) if d == POLICY else slab[d] for d in tally.dims))
    if all(lengths(slab)[d] == plan.sizes[d] for d in over):  # seen whole: nothing to merge with
        tally.numbers[block], tally.places[block] = numbers, places
        return
    pairs = [
        np.stack(both, 1)
        for both in ((tally.numbers[block], numbers), (tally.places[block], places))
    ]
    tally.numbers[block], tally.places[block] = accumulate.merge_tallies(*pairs)


def _described(
    data: xr.Dataset, name: str, tally: _Reduced, stats: Iterable[str]
) -> dict[str, tuple]:
    """Variables of the statistics of one metric."""
    total, low, high = tally.numbers
    count, low_at, high_at = tally.places
    some = count > 0
    mean = np.divide(total, count, where=some, out=np.full(count.shape, np.nan))
    values = {"mean": mean, "min": np.where(some, low, np.nan), "max": np.where(some, high, np.nan)}
    variables: dict[str, tuple] = {}
    for stat in stats:
        attrs = _attrs(name, stat, tally.over)
        if stat in values:
            variables[f"{name}_{stat}"] = (tally.dims, values[stat], attrs)
        elif stat == "count":
            variables[f"{name}_{stat}"] = (tally.dims, count, {**attrs, "units": "1"})
        elif stat != "quantile":
            best_labels = labels_at(data, tally.over, low_at if stat == "argmin" else high_at, some)
            for d, best in best_labels.items():
                variables[f"{name}_{stat}_{d}"] = (tally.dims, best, _label_attrs(d, attrs))
    return variables


def _attrs(name: str, stat: str, over: Dims) -> dict[str, str]:
    q = QUANTITIES[name]
    attrs = {"long_name": f"{q.long_name}: {stat}", "units": q.units}
    if over and stat in _METHODS:
        attrs["cell_methods"] = " ".join([*(f"{d}:" for d in over), _METHODS[stat]])
    return attrs


def _label_attrs(dim: str, attrs: dict[str, str]) -> dict[str, str]:
    units = QUANTITIES[dim].units if dim in QUANTITIES else ""
    return {**attrs, "long_name": f"{attrs['long_name']}, {dim}", "units": units}


# --- Quantiles -------------------------------------------------------------------------------


def _quantiles(
    plan: SlabPlan,
    wanted: Iterable[str],
    over: Iterable[str],
    where: str,
    levels: np.ndarray,
    labelled: bool,
) -> dict[str, tuple]:
    """Variables of the quantiles of metrics."""
    few = prod(plan.asked.size if d == POLICY else plan.sizes[d] for d in over) <= SORTED
    variables: dict[str, tuple] = {}
    sketches: dict[tuple, Histogram] = {}
    for slab in plan.slabs(over if few else ()):
        for name, cells in plan.cells(slab, wanted, where).items():
            drop = () if labelled else (POLICY,)
            kept = tuple(str(d) for d in cells.dims if d not in (*over, *drop))
            rest = tuple(str(d) for d in cells.dims if d not in kept)
            if name not in variables:
                shape = [plan.asked.size if d == POLICY else plan.sizes[d] for d in kept]
                enough_memory(8 * levels.size * prod(shape))
                attrs = _attrs(name, "quantile", tuple(d for d in rest if d not in drop))
                values = np.full((levels.size, *shape), np.nan)
                variables[f"{name}"] = (("quantile", *kept), values, attrs)
            table = cells.transpose(*kept, *rest).values
            table = table.reshape(*table.shape[: len(kept)], -1)
            block = tuple(slice(None) if d == POLICY else slab[d] for d in kept)
            if few:
                variables[name][1][:, *block] = exact(table, levels)
                continue
            if any(slab[d].start for d in plan.order if d not in (*cells.dims, POLICY)):
                continue  # counted with the first slab of those dims
            starts = [0 if d == POLICY else slab[d].start for d in kept]
            for index in np.ndindex(table.shape[:-1]):
                place = (name, *(i + s for i, s in zip(index, starts, strict=True)))
                sketches.setdefault(place, Histogram()).add(table[index])
    for (name, *index), sketch in sketches.items():
        variables[name][1][:, *index] = sketch.quantiles(levels)
    return {f"{name}_quantile": value for name, value in variables.items()}
