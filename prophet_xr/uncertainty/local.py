"""One input at a time: tornadoes and elasticities, each one sweep with the dimension ``case``."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from prophet_xr.errors import InputError, nearest
from prophet_xr.grid import sweep
from prophet_xr.queries.names import listed
from prophet_xr.registry import LABELLED, QUANTITIES

CASE = "case"
STEP = 1e-3
Names = str | Iterable[str]


def one_at_a_time(
    data: xr.Dataset,
    metrics: Names,
    values: Mapping[str, Iterable[float]] | None = None,
    factors: Mapping[str, Iterable[float]] | None = None,
) -> xr.Dataset:
    """Metrics when one input is changed and the others are not.

    Parameters
    ----------
    data
        What `inputs` returns: the base.
    metrics
        Names of metrics.
    values
        By input, the values it takes instead.
    factors
        By input, the factors that multiply it, row by row.

    Returns
    -------
    xr.Dataset
        The metrics on their own dims and ``case``, of which the first is the base; on ``case``
        the coordinates ``input`` (its name, ``base`` in the first), ``value`` (the value or the
        factor) and ``factor`` (whether it is one).  A metric that feels no input has the dim too.

    Raises
    ------
    InputError
        As `prophet_xr.sweep` does, and for an input that is none, or a label axis.
    """
    cases = [(n, float(v), False) for n, vs in (values or {}).items() for v in vs]
    cases += [(n, float(v), True) for n, vs in (factors or {}).items() for v in vs]
    cube = sweep(_cased(data, cases), listed(metrics))
    found = _spread(cube[listed(metrics)], data, len(cases) + 1)
    names = ["base", *(n for n, *_ in cases)]
    return found.assign_coords(
        input=(CASE, names),
        value=(CASE, [np.nan, *(v for _, v, _ in cases)]),
        factor=(CASE, [False, *(f for *_, f in cases)]),
    )


def elasticities(
    data: xr.Dataset, metrics: Names, inputs: Names, *, step: float = STEP
) -> xr.Dataset:
    """Elasticities d log y / d log x by central differences.

    Parameters
    ----------
    data
        What `inputs` returns: where they are taken.
    metrics, inputs
        Names of metrics, and of the numeric inputs that change.
    step
        Relative change to either side; less where a bound of the input is nearer.

    Returns
    -------
    xr.Dataset
        By metric, on its own dims and ``input`` [1]; NaN for an input at 0 or at its bound, where
        there is no central difference, and where the metric is not above 0 on both sides.

    Raises
    ------
    InputError
        As `one_at_a_time` does.
    """
    names = listed(inputs)
    sizes = [_step(data, name, step) for name in names]
    cases = [(n, 1 + sign * h, True) for n, h in zip(names, sizes, strict=True) for sign in (1, -1)]
    cube = sweep(_cased(data, cases), listed(metrics))
    swept = _spread(cube[listed(metrics)], data, len(cases) + 1)
    result = xr.Dataset()
    over = np.log1p(sizes) - np.log1p(-np.array(sizes))
    for name in listed(metrics):
        values = swept[name].transpose(..., CASE).isel({CASE: slice(1, None)}).astype(np.float64)
        good = values.where((values > 0) & np.isfinite(values))
        logs = good.copy(data=np.log(good.values))
        above, below = (logs.isel({CASE: slice(i, None, 2)}).values for i in (0, 1))
        rise = (above - below) / np.where(over > 0, over, np.nan)
        one = values.isel({CASE: slice(None, None, 2)}).copy(data=rise)
        title = f"Elasticity of {QUANTITIES[name].long_name}"
        result[name] = one.rename({CASE: "input"}).assign_attrs(long_name=title, units="1")
    return result.assign_coords(input=names)


def _step(data: xr.Dataset, name: str, step: float) -> float:
    """Relative step that stays within the bounds of an input."""
    _known(data, name)
    values, (low, high) = data[name].values, QUANTITIES[name].bounds
    if not values.min() > 0:
        return 0.0
    return max(0.0, min(step, high / values.max() - 1, 1 - low / values.min()))


def _known(data: xr.Dataset, name: str) -> None:
    known = [n for n, q in QUANTITIES.items() if n in data.variables and not q.formula]
    if name not in known or name in LABELLED:
        raise InputError(f"{name!r} is no numeric input; {nearest(name, known)}")


def _beside(name: str) -> str:
    """Dim of an axis whose input gets two dims: no variable may be named like one of its dims."""
    return f"{name}_axis"


def _cased(data: xr.Dataset, cases: list[tuple[str, float, bool]]) -> xr.Dataset:
    """Inputs along ``case``: each is as it was but in its own cases; the first is the base."""
    for name in dict.fromkeys(n for n, *_ in cases):
        _known(data, name)
        base = data[name]
        if name in data.dims:
            data = data.reset_index(name).rename_dims({name: _beside(name)})
            base = data[name]
        rows = [base.variable]
        for varied, value, factor in cases:
            new = base * value if factor else xr.full_like(base, value, np.float64)
            rows.append(new.variable if varied == name else base.variable)
        stacked = xr.Variable.concat([r.astype(np.float64) for r in rows], CASE)
        data = data.drop_vars(name).assign({name: stacked})
        data[name].attrs = QUANTITIES[name].attrs
    return data


def _spread(found: xr.Dataset, data: xr.Dataset, count: int) -> xr.Dataset:
    """Metrics with all cases, on the dims and labels that the base has."""
    found = found.drop_vars([n for n in found.coords if n not in found.dims])
    for name in found.data_vars:
        if CASE not in found[name].dims:
            found[name] = found[name].expand_dims({CASE: count})
    renamed = {_beside(str(d)): d for d in data.dims if _beside(str(d)) in found.dims}
    found = found.rename(renamed)
    return found.assign_coords({d: data[d] for d in renamed.values()})
