"""Pareto fronts: the cells that no other beats in every objective."""

from math import prod
from types import ModuleType

import numpy as np
import xarray as xr

from prophet_xr.checks import texts
from prophet_xr.engine.codegen import Dims
from prophet_xr.errors import InputError
from prophet_xr.grid import metric_names
from prophet_xr.queries import pareto
from prophet_xr.queries.arguments import Names, dims_of, flag, labels_at, result
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import SlabPlan, planned

SCREENED = 20_000  # rows; to find a front of fewer nothing need be compiled


# --- Pareto fronts ---------------------------------------------------------------------------


def frontier(
    data: xr.Dataset,
    maximise: Names = (),
    minimise: Names = (),
    keep: Names = (),
    *,
    where: str = "",
) -> xr.Dataset:
    """Cells that no other cell beats in every objective.

    Parameters
    ----------
    data
        What `inputs` returns.
    maximise, minimise
        Names of metrics, at least one in all.
    keep
        Dims that get a front for each of their values; all others compete.
    where
        A flag, such as ``fits`` or ``serves_context``: only cells where it is true compete.

    Returns
    -------
    xr.Dataset
        The objectives on dim ``point``, with the label of every dim that an objective or the flag
        varies over.  A cell that holds NaN in an objective does not compete; of cells that are
        equal in all objectives the first is kept.

    Raises
    ------
    InputError
        As `sweep` does, for an unknown dim or flag, and for an objective given twice.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="mixtral-8x7b", gpu="H200", batch=[1, 4, 16], context=4096)
    >>> front = px.frontier(data, maximise="throughput", minimise="total_memory")
    >>> sorted(set(front.policy.values.tolist()))
    ['baseline', 'prophet']
    """
    keep = dims_of(data, "keep", keep)
    asked = [texts("maximise", maximise), texts("minimise", minimise)]
    up, down = (metric_names(names, data) if names else [] for names in asked)
    objectives = [*up, *down]
    if not objectives or len(set(objectives)) < len(objectives):
        raise InputError(f"objectives are {objectives!r}; expected at least one, each once")
    flag(where)
    rest = [str(d) for d in data.dims if d not in keep]
    plan = planned(data, objectives, rest, where)
    varied = {d for n in [*objectives, *([where] if where else [])] for d in plan.dims[n]}
    dims = tuple(d for d in plan.order if d in varied and (d != POLICY or POLICY in data.dims))
    kept = tuple(d for d in dims if d in keep)
    signs = np.array([-1.0] * len(up) + [1.0] * len(down))
    fronts = _fronts(plan, objectives, signs, kept, tuple(d for d in dims if d not in keep), where)
    order = sorted(fronts)
    costs = np.concatenate([fronts[k][0] for k in order] or [np.empty((0, signs.size))])
    places = np.concatenate([fronts[k][1] for k in order] or [np.empty(0, np.int64)])
    owners = np.repeat(np.array(order, np.int64), [len(fronts[k][1]) for k in order])
    variables: dict[str, tuple] = {
        name: ("point", values, QUANTITIES[name].attrs)
        for name, values in zip(objectives, (costs * signs).T, strict=True)
    }
    for group, flat in ((kept, owners), (tuple(d for d in dims if d not in keep), places)):
        variables |= {d: ("point", best) for d, best in labels_at(data, group, flat).items()}
    return result(data, map(str, data.dims), variables).set_coords(dims)


def _fronts(
    plan: SlabPlan, objectives: list[str], signs: np.ndarray, kept: Dims, rest: Dims, where: str
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Costs and places of the front of each kept cell; both places count cells in C order."""
    size = {**plan.sizes, POLICY: plan.asked.size}
    fronts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for slab in plan.slabs((), [(*kept, *rest)] * (len(objectives) + 1)):
        cells = plan.cells(slab, objectives, where)
        span = {d: slice(0, size[d]) if d == POLICY else slab[d] for d in (*kept, *rest)}
        shape = {d: part.stop - part.start for d, part in span.items()}
        table = np.empty((signs.size, *shape.values()))
        for costs, name, sign in zip(table, objectives, signs, strict=True):
            values = cells[name].squeeze(_single(cells[name], shape)).set_dims(shape).values
            np.multiply(values, sign, out=costs)
        table = table.reshape(signs.size, prod(shape[d] for d in kept), -1)
        owners = _places(kept, span, size, np.arange(table.shape[1]))
        algorithm = _algorithm(table.shape[2])
        for row, owner in enumerate(owners.tolist()):
            new = table[:, row]
            old = fronts.get(owner, (np.empty((0, signs.size)), np.empty(0, np.int64)))
            rows_kept = algorithm.candidates(new, old[0])
            costs = np.concatenate([old[0], new[:, rows_kept].T])
            places = np.concatenate([old[1], _places(rest, span, size, rows_kept)])
            best = algorithm.front(costs)
            fronts[owner] = costs[best], places[best]
    return fronts


def _algorithm(rows: int) -> ModuleType:
    """Module that finds fronts among so many rows: plain numpy, or compiled."""
    if rows < SCREENED:
        return pareto
    from prophet_xr.queries import pareto_compiled  # which needs numba

    return pareto_compiled


def _single(cells: xr.Variable, shape: dict[str, int]) -> list[str]:
    """Dims of cells that are not in ``shape``: the policy, where the inputs have a single one."""
    return [str(d) for d in cells.dims if d not in shape]


def _places(
    dims: Dims, span: dict[str, slice], sizes: dict[str, int], local: np.ndarray
) -> np.ndarray:
    """Turn C-order positions within a slab into those within the grid."""
    if not dims:
        return local
    indices = np.unravel_index(local, [span[d].stop - span[d].start for d in dims])
    inside = [i + span[d].start for i, d in zip(indices, dims, strict=True)]
    return np.asarray(np.ravel_multi_index(inside, [sizes[d] for d in dims]))


# --- The cheapest choice ---------------------------------------------------------------------
