"""The best cells: Pareto fronts, and the cheapest of the cells that meet a flag."""

from math import prod
from types import ModuleType

import numpy as np
import xarray as xr

from prophet_xr.catalogue import lookup
from prophet_xr.catalogue.plans import USUAL
from prophet_xr.checks import dataset, text, texts
from prophet_xr.engine.codegen import Dims
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.grid import metric_names
from prophet_xr.queries import pareto
from prophet_xr.queries.arguments import Names, dims_of, flag, labels_at, result
from prophet_xr.queries.summarize import tallies
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import SlabPlan, planned

_PLAN = "plan"
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
    felt = {d for n in [*objectives, *([where] if where else [])] for d in plan.dims[n]}
    dims = tuple(d for d in plan.order if d in felt and (d != POLICY or POLICY in data.dims))
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


def cheapest(
    data: xr.Dataset,
    over: Names = "gpu",
    *,
    cost: str = "usable_memory",
    where: str = "serves_context",
) -> xr.Dataset:
    """Choose the cell of the least cost among those that meet a flag.

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
        The flag that a cell has to meet.

    Returns
    -------
    xr.Dataset
        One variable per dim of ``over`` that the cost or the flag depends on, with the label
        chosen (of equal costs the first), empty or NaN where no cell meets the flag; ``cost``;
        and ``count``, how many cells meet it.

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
        raise InputError(f"cost={brief(cost)} is no number; {words}")
    flag(where)
    plan = planned(data, [cost], names, where, with_positions=True)
    tally = tallies(plan, [cost], names, POLICY in data.dims)[cost]
    some = tally.places[0] > 0
    chosen_labels = labels_at(data, tally.over, tally.places[1], some)
    variables: dict[str, tuple] = {d: (tally.dims, best) for d, best in chosen_labels.items()}
    least = np.where(some, tally.numbers[1], np.nan)
    variables["cost"] = (tally.dims, least, {**QUANTITIES[cost].attrs, "source_quantity": cost})
    title = f"Cells that meet {where}" if where else "Cells that hold a number"
    variables["count"] = (tally.dims, tally.places[0], {"long_name": title, "units": "1"})
    return result(data, names, variables)


def min_gpus(data: xr.Dataset, *, where: str = "serves_context") -> xr.Dataset:
    """Find the plan of the fewest GPUs that meets a flag.

    Parameters
    ----------
    data
        What `inputs` returns; its plans if ``plan`` is a dim, else the usual ones of 1 to 64 GPUs
        (tensor ranks, then stages; data and expert ranks).
    where
        The flag that a plan has to meet.

    Returns
    -------
    xr.Dataset
        ``min_gpus``, NaN where no plan meets the flag; ``plan``, its label; ``count``, how many
        plans meet it.

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
    if _PLAN not in dataset("the inputs", data).dims:
        usual = lookup.rows_by_label(_PLAN, "verified", USUAL, {})
        data = data.drop_vars([_PLAN, *usual.data_vars], errors="ignore").merge(usual)
    return cheapest(data, _PLAN, cost="n_gpus", where=where).rename(cost="min_gpus")
