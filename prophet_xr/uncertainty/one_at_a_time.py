"""One input at a time: tornadoes and elasticities, each one sweep with the dimension ``case``."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.checks import unique
from prophet_xr.errors import InputError
from prophet_xr.grid import sweep
from prophet_xr.registry import QUANTITIES

CASE = "case"
_STEP = 1e-3
_Names = str | Iterable[str]


def one_at_a_time(
    data: xr.Dataset,
    metrics: _Names,
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
        factor) and ``factor`` (whether it is one).  A metric that no case changes has the dim too.

    Raises
    ------
    InputError
        As `prophet_xr.sweep` does, and for an input that is none, or a label axis.
    """
    names = checks.texts("metrics", metrics)
    cases = [(n, v, False) for n, vs in _listed(values, "values") for v in vs]
    cases += [(n, v, True) for n, vs in _listed(factors, "factors") for v in vs]
    changed = []
    for name, value, factor in cases:
        _known(data, name)
        base = data[name].astype(np.float64)
        changed.append((name, base * value if factor else xr.full_like(base, value)))
    cube = sweep(_cased(data, changed), names)
    result = _spread(cube[names], data, len(cases) + 1)
    return result.assign_coords(
        input=(CASE, ["base", *(n for n, *_ in cases)]),
        value=(CASE, [np.nan, *(v for _, v, _ in cases)]),
        factor=(CASE, [False, *(f for *_, f in cases)]),
    )


def _listed(given: Mapping[str, Iterable[float]] | None, what: str) -> list:
    """Numbers by input."""
    pairs = checks.mapping(what, {} if given is None else given).items()
    return [(name, checks.numbers(f"{what} of {name}", numbers)) for name, numbers in pairs]


def elasticities(
    data: xr.Dataset, metrics: _Names, inputs: _Names, *, step: float = _STEP
) -> xr.Dataset:
    """Elasticities d log y / d log x by central differences.

    Parameters
    ----------
    data
        What `inputs` returns: where they are taken.
    metrics, inputs
        Names of metrics, and of the numeric inputs that change.
    step
        Relative change to either side; less where a bound of the input is nearer.  What is counted
        (batch, tokens, experts, GPUs) changes by 1.

    Returns
    -------
    xr.Dataset
        By metric, on its own dims and ``input`` [1]; NaN for an input at 0 or at its bound, where
        there is no central difference, and where the metric is not above 0 on both sides.

    Raises
    ------
    InputError
        As `one_at_a_time` does, and for a step that is none.
    """
    names, asked = checks.texts("inputs", inputs), checks.texts("metrics", metrics)
    unique("inputs", names)
    step = checks.number("step", step, 0, 1, ends=False)
    pairs = [_around(data, name, step) for name in names]
    cases = [(n, side) for n, pair in zip(names, pairs, strict=True) for side in pair]
    cube = sweep(_cased(data, cases), asked)
    swept = _spread(cube[asked], data, len(cases) + 1)
    result = xr.Dataset()
    for name in asked:
        values = swept[name].transpose(..., CASE).astype(np.float64)
        good = values.where((values > 0) & np.isfinite(values))
        logs = good.copy(data=np.log(good.values))
        rows = [
            _slope(logs.isel({CASE: 2 * i + 1}), logs.isel({CASE: 2 * i + 2}), *pair)
            for i, pair in enumerate(pairs)
        ]
        slopes = xr.concat(rows, "input", coords="minimal", compat="override").transpose(
            ..., "input"
        )
        title = f"Elasticity of {QUANTITIES[name].long_name}"
        result[name] = slopes.assign_attrs(long_name=title, units="1")
    return result.assign_coords(input=names)


def _slope(
    above: xr.DataArray, below: xr.DataArray, high: xr.DataArray, low: xr.DataArray
) -> xr.DataArray:
    """Rise of the logarithm of a metric over the rise of the logarithm of an input."""
    ratio = high.where(high > low).variable / low.where(low > 0).variable
    width = ratio.copy(data=np.log(ratio.values))
    rise = (above - below).drop_vars([CASE], errors="ignore")
    if set(width.dims) <= set(rise.dims):
        return rise / width
    return rise


def _around(data: xr.Dataset, name: str, step: float) -> tuple[xr.DataArray, xr.DataArray]:
    """An input raised and lowered within its bounds; unchanged where there is no room."""
    _known(data, name)
    base, (low, high) = data[name].astype(np.float64), QUANTITIES[name].bounds
    positive = base.where(base > 0)
    counted = QUANTITIES[name].whole
    most = 1 / positive if counted else step
    room = xr.where(high - base < base - low, high / positive - 1, 1 - low / positive)
    share = xr.where(room >= most, most, 0.0 if counted else room.clip(0.0)).fillna(0.0)
    above, below = base * (1 + share), base * (1 - share)
    return (above.round(), below.round()) if counted else (above, below)


def _known(data: xr.Dataset, name: str) -> None:
    checks.numeric("change of", data, name)
    if CASE in data.dims:
        raise InputError("the inputs have the dimension 'case' already; expected none")


def _beside(name: str) -> str:
    """Dim of an axis whose input gets two dims: no variable may be named like one of its dims."""
    return f"{name}_axis"


def _cased(data: xr.Dataset, cases: list[tuple[str, xr.DataArray]]) -> xr.Dataset:
    """Inputs along ``case``: the first case is the base, each other one changes one input."""
    names = list(dict.fromkeys(n for n, _ in cases))
    moved = {name: _beside(name) for name in names if name in data.dims}
    stacked = {}
    for name in names:
        base = data[name].astype(np.float64)
        rows = [base, *(new if varied == name else base for varied, new in cases)]
        one = xr.Variable.concat([r.variable for r in rows], CASE)
        dims = [moved.get(str(d), d) for d in one.dims]
        stacked[name] = xr.Variable(dims, one.values, QUANTITIES[name].attrs)
    data = data.reset_index(list(moved)).rename_dims(moved)
    return data.drop_vars(names).assign(stacked)


def _spread(swept: xr.Dataset, data: xr.Dataset, count: int) -> xr.Dataset:
    """Metrics with all cases, on the dims and labels that the base has."""
    swept = swept.drop_vars([n for n in swept.coords if n not in swept.dims])
    for name in swept.data_vars:
        if CASE not in swept[name].dims:
            swept[name] = swept[name].expand_dims({CASE: count})
    renamed = {_beside(str(d)): d for d in data.dims if _beside(str(d)) in swept.dims}
    swept = swept.rename(renamed)
    return swept.assign_coords({d: data[d] for d in renamed.values()})
