"""The best cells: Pareto fronts, and the cheapest choice that will do."""

from math import prod
from types import ModuleType

import numpy as np
import xarray as xr

from prophet_xr import catalogue, pareto
from prophet_xr.checks import dataset, text, texts
from prophet_xr.errors import InputError, nearest, shown
from prophet_xr.fuse import Dims
from prophet_xr.grid import chosen
from prophet_xr.planning import USUAL
from prophet_xr.queries.names import Names, dims_of, flag, labels, result
from prophet_xr.queries.summary import tallies
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.slabs import Plan, planned

PLAN = "plan"
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
    up, down = (chosen(names, data) if names else [] for names in asked)
    objectives = [*up, *down]
    if not objectives or len(set(objectives)) < len(objectives):
        raise InputError(f"objectives are {objectives!r}; expected at least one, each once")
    flag(where)
    rest = [str(d) for d in data.dims if d not in keep]
    plan = planned(data, objectives, rest, where)
    felt = {d for n in [*objectives, *([where] if where else [])] for d in plan.dims[n]}
    dims = tuple(d for d in plan.order if d in felt and (d != POLICY or POLICY in data.dims))
    kept = tuple(d for d in dims if d in keep)
    signs = np.array([-1.0] * len(up) + [1.0] * len(down))
    fronts = _fronts(plan, objectives, signs, kept, tuple(d for d in dims if d not in keep), where)
    order = sorted(fronts)
    costs = np.concatenate([fronts[k][0] for k in order] or [np.empty((0, signs.size))])
    places = np.concatenate([fronts[k][1] for k in order] or [np.empty(0, np.int64)])
    owners = np.repeat(np.array(order, np.int64), [len(fronts[k][1]) for k in order])
    made: dict[str, tuple] = {
        name: ("point", values, QUANTITIES[name].attrs)
        for name, values in zip(objectives, (costs * signs).T, strict=True)
    }
    for group, flat in ((kept, owners), (tuple(d for d in dims if d not in keep), places)):
        made |= {d: ("point", best) for d, best in labels(data, group, flat).items()}
    return result(data, map(str, data.dims), made).set_coords(dims)


def _fronts(
    plan: Plan, objectives: list[str], signs: np.ndarray, kept: Dims, rest: Dims, where: str
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
            own = cells[name].squeeze(_single(cells[name], shape)).set_dims(shape).values
            np.multiply(own, sign, out=costs)
        table = table.reshape(signs.size, prod(shape[d] for d in kept), -1)
        owners = _places(kept, span, size, np.arange(table.shape[1]))
        found = _algorithm(table.shape[2])
        for row, owner in enumerate(owners.tolist()):
            new = table[:, row]
            old = fronts.get(owner, (np.empty((0, signs.size)), np.empty(0, np.int64)))
            at = found.candidates(new, old[0])
            costs = np.concatenate([old[0], new[:, at].T])
            places = np.concatenate([old[1], _places(rest, span, size, at)])
            best = found.front(costs)
            fronts[owner] = costs[best], places[best]
    return fronts


def _algorithm(rows: int) -> ModuleType:
    """How to find a front among so many rows."""
    if rows < SCREENED:
        return pareto
    from prophet_xr.queries import skyline  # which needs numba

    return skyline


def _single(cells: xr.Variable, shape: dict[str, int]) -> list[str]:
    """The policy, where it is no dim of the inputs."""
    return [str(d) for d in cells.dims if d not in shape]


def _places(
    dims: Dims, span: dict[str, slice], sizes: dict[str, int], local: np.ndarray
) -> np.ndarray:
    """C-order positions within a slab as those within the grid."""
    if not dims:
        return local
    at = np.unravel_index(local, [span[d].stop - span[d].start for d in dims])
    inside = [i + span[d].start for i, d in zip(at, dims, strict=True)]
    return np.asarray(np.ravel_multi_index(inside, [sizes[d] for d in dims]))


# --- The cheapest choice ---------------------------------------------------------------------


def cheapest(
    data: xr.Dataset,
    over: Names = "gpu",
    *,
    cost: str = "usable_memory",
    where: str = "serves_context",
) -> xr.Dataset:
    """Choose the least of a cost among the cells that will do.

    Parameters
    ----------
    data
        What `inputs` returns.
    over
        Dims to choose from, such as ``gpu`` or ``plan``.
    cost
        An input or a metric: ``usable_memory`` finds the smallest GPU, ``n_gpus`` the smallest
        plan.
    where
        The flag of the cells that will do.

    Returns
    -------
    xr.Dataset
        One variable per dim of ``over`` that the cost or the flag depends on, with the label
        chosen (of equal costs the first), empty or NaN where nothing will do; ``cost``; and
        ``count``, how many will do.

    Raises
    ------
    InputError
        As `sweep` does, and for an unknown dim, cost or flag.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="mixtral-8x7b", gpu=["H200", "B200"], batch=1, context=4096)
    >>> px.cheapest(data).gpu.sel(policy="baseline").item()
    'H200'
    """
    names = dims_of(data, "over", over)
    numbers = [n for n, q in QUANTITIES.items() if n in data.variables or q.formula]
    if text("cost", cost) not in numbers or QUANTITIES[cost].dtype == "bool":
        words = nearest(cost, numbers, "`px.inputs()` and `prophet-xr metrics`")
        raise InputError(f"cost={shown(cost)} is no number; {words}")
    flag(where)
    plan = planned(data, [cost], names, where, placed=True)
    found = tallies(plan, [cost], names, POLICY in data.dims)[cost]
    some = found.places[0] > 0
    at = labels(data, found.over, found.places[1], some)
    made: dict[str, tuple] = {d: (found.dims, best) for d, best in at.items()}
    least = np.where(some, found.numbers[1], np.nan)
    made["cost"] = (found.dims, least, {**QUANTITIES[cost].attrs, "source_quantity": cost})
    title = f"Cells that meet {where}" if where else "Cells that hold a number"
    made["count"] = (found.dims, found.places[0], {"long_name": title, "units": "1"})
    return result(data, names, made)


def min_gpus(data: xr.Dataset, *, where: str = "serves_context") -> xr.Dataset:
    """Find the smallest plan that will do.

    Parameters
    ----------
    data
        What `inputs` returns; its plans if ``plan`` is a dim, else the usual ones of 1 to 64 GPUs
        (tensor ranks, then stages; data and expert ranks).
    where
        The flag of the plans that will do.

    Returns
    -------
    xr.Dataset
        ``min_gpus``, NaN where no plan will do; ``plan``, its label; ``count``, how many will do.

    Raises
    ------
    InputError
        As `sweep` does, and for an unknown flag.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="deepseek-v3-671b", precision="fp8", gpu="H200", batch=1,
    ...                  context=8192, runtime="vllm")
    >>> found = px.min_gpus(data).sel(policy="baseline")
    >>> int(found.min_gpus), found["plan"].item()
    (8, 'tp8')
    """
    if PLAN not in dataset("the inputs", data).dims:
        usual = catalogue.rows(PLAN, "verified", USUAL, {})
        data = data.drop_vars([PLAN, *usual.data_vars], errors="ignore").merge(usual)
    return cheapest(data, PLAN, cost="n_gpus", where=where).rename(cost="min_gpus")
