"""The cheapest of several configurations, and the fewest GPUs that serve.

Comes in: inputs, the dims to choose over, a cost and a flag of the cells that count.  Goes out: the
least cost for every other cell, with the labels that have it.
"""

import numpy as np
import xarray as xr

from prophet_xr.catalogue import lookup
from prophet_xr.catalogue.plans import USUAL
from prophet_xr.checks import dataset, text
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.queries.arguments import Names, dims_of, flag, labels_at, result
from prophet_xr.queries.summarize import tallies
from prophet_xr.registry import POLICY, QUANTITIES
from prophet_xr.streaming.slabs import planned

_PLAN = "plan"


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
