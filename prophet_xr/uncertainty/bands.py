"""What the draws say of each cell: quantiles, and the probability of a flag."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError, nearest
from prophet_xr.queries.quantiles import exact
from prophet_xr.queries.summarize import summarize
from prophet_xr.registry import QUANTITIES
from prophet_xr.uncertainty.draws import DRAW

_Names = str | Iterable[str]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def bands(
    drawn: xr.Dataset | xr.DataArray,
    metrics: _Names | None = None,
    quantiles: Sequence[float] = QUANTILES,
    *,
    where: str = "",
) -> xr.Dataset:
    """Quantile bands over the draws.

    Parameters
    ----------
    drawn
        What `draws` returns, and then no cube is stored; or any labelled array with the dim
        ``draw`` that was computed from it, such as a capacity.
    metrics
        Names of metrics, of inputs.
    quantiles
        Shares of the draws below.
    where
        Of inputs a flag, such as ``fits``: other draws do not count.

    Returns
    -------
    xr.Dataset
        ``{metric}_quantile`` (quantile, cells), ``{metric}_mean`` and ``{metric}_share``, the share
        of draws in which the metric has a number: a ratio has none where the baseline does not fit.

    Raises
    ------
    InputError
        Without draws, and for an unknown metric, flag or quantile.

    Examples
    --------
    >>> import prophet_xr as px
    >>> from prophet_xr.sensitivity import draws
    >>> drawn = draws(px.inputs(model="olmoe-1b-7b", gpu="H200", batch=4), count=64)
    >>> bands(drawn, "step_time").step_time_quantile.dims
    ('quantile', 'policy')
    >>> cost = 2.5 / 3600 * px.sweep(drawn, ["step_time"]).step_time.rename("cost")
    >>> bands(cost).cost_share.values.tolist()
    [1.0, 1.0]
    """
    _drawn(drawn)
    if isinstance(drawn, xr.DataArray):
        return _of_array(
            checks.array(drawn, "what bands() sums up"), checks.shares("quantiles", quantiles)
        )
    if metrics is None:
        raise InputError("metrics are missing; expected names, as the inputs hold none yet")
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    stats = ["mean", "count", "quantile"]
    result = summarize(drawn, names, DRAW, stats, where=where, quantiles=quantiles)
    for name in names:
        varied = "cell_methods" in result[f"{name}_mean"].attrs
        count = result[f"{name}_count"] / (drawn.sizes[DRAW] if varied else 1)
        result[f"{name}_share"] = count.assign_attrs(_told(QUANTITIES[name].long_name))
    return result.drop_vars([f"{name}_count" for name in names])


def _drawn(drawn: object) -> None:
    if DRAW not in getattr(drawn, "dims", ()):
        raise InputError("there is no dimension 'draw'; expected what `draws` returns")


def _told(title: str) -> dict[str, str]:
    return {"long_name": f"{title}: share of draws", "units": "1"}


def _of_array(values: xr.DataArray, quantiles: np.ndarray) -> xr.Dataset:
    """Bands of numbers that are in memory."""
    name = str(values.name or "value")
    real = values.where(np.isfinite(values)).transpose(..., DRAW)
    one = real.isel({DRAW: 0}, drop=True)
    share = real.notnull().mean(DRAW)
    mean = real.fillna(0.0).mean(DRAW) / share.where(share > 0)
    result = xr.Dataset({f"{name}_mean": mean.assign_attrs(values.attrs)})
    result[f"{name}_share"] = share.assign_attrs(_told(name))
    table = exact(real.values, quantiles)
    result[f"{name}_quantile"] = (("quantile", *one.dims), table, values.attrs)
    return result.assign_coords(quantile=quantiles)


def probability(drawn: xr.Dataset, flag: str = "fits") -> xr.DataArray:
    """Share of the draws in which a flag is true, such as ``fits`` or ``serves_context``.

    Raises InputError without draws, and for what is no flag.
    """
    flags = [n for n, q in QUANTITIES.items() if q.dtype == "bool"]
    if flag not in flags:
        raise InputError(f"{flag!r} is no flag; {nearest(flag, flags)}")
    _drawn(drawn)
    share = summarize(drawn, flag, DRAW, "mean")[f"{flag}_mean"]
    title = f"Probability: {QUANTITIES[flag].long_name}"
    return share.rename(flag).assign_attrs(long_name=title, units="1")
