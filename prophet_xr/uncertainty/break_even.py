"""Break-even: where along an axis an answer turns into the other."""

import xarray as xr

from prophet_xr import checks, registry
from prophet_xr.queries.solve import solve

SIDES = ("crosses", "below", "above", "undefined")
CROSSES, BELOW, ABOVE, UNDEFINED = range(len(SIDES))
"""Of a target, along an axis."""


def break_even(
    data: xr.Dataset, metric: str, target: float, along: str, *, where: str = ""
) -> xr.Dataset:
    """Where along an axis a metric crosses a target, and on which side it is where it does not.

    Parameters
    ----------
    data
        What `inputs` returns.
    metric, target, along, where
        As in `solve`.

    Returns
    -------
    xr.Dataset
        ``{along}``: the first crossing, NaN (of labels: an empty text) where there is none;
        ``side``: *crosses*, *below* or *above* throughout, *undefined* without a number.

    Raises
    ------
    InputError
        As `solve` does.

    Examples
    --------
    >>> import prophet_xr as px
    >>> data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=[1, 2, 4, 8, 16], policy="prophet")
    >>> found = break_even(data, "expert_savings_fraction", 0.5, "batch")
    >>> round(found.batch.item(), 1), found.side.attrs["flag_meanings"].split()[found.side.item()]
    (4.4, 'crosses')
    """
    target = checks.number("target", target)
    solved = solve(data, metric, target, along, where=where)
    above = xr.where(solved.above == solved.cells, ABOVE, BELOW)
    side = xr.where(solved.crossings > 0, CROSSES, xr.where(solved.cells > 0, above, UNDEFINED))
    flags = {"long_name": f"Side of {metric} = {target:g}", "units": "1"}
    flags |= registry.flags(SIDES)
    result = solved[[along]].assign(side=side.assign_attrs(flags))
    return result.assign_attrs(metric=metric, target=target)
