"""What the draws say of each cell: quantiles, and the probability of a flag."""

from collections.abc import Iterable, Sequence

import xarray as xr

from prophet_xr.queries.summary import summarize
from prophet_xr.registry import QUANTITIES
from prophet_xr.uncertainty.priors import DRAW

Names = str | Iterable[str]


def bands(
    drawn: xr.Dataset,
    metrics: Names,
    quantiles: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
    *,
    where: str = "",
) -> xr.Dataset:
    """Quantile bands of metrics over the draws, none of which is stored.

    Parameters
    ----------
    drawn
        What `draws` returns.
    metrics
        Names of metrics.
    quantiles, where
        As in `summarize`.

    Returns
    -------
    xr.Dataset
        ``{metric}_quantile`` (quantile, cells), ``{metric}_mean`` and ``{metric}_share``, the share
        of draws in which the metric has a number: a ratio has none where the baseline does not fit.
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    stats = ["mean", "count", "quantile"]
    found = summarize(drawn, names, DRAW, stats, where=where, quantiles=quantiles)
    for name in names:
        attrs = {"long_name": f"{QUANTITIES[name].long_name}: share of draws", "units": "1"}
        felt = "cell_methods" in found[f"{name}_mean"].attrs
        count = found[f"{name}_count"] / (drawn.sizes[DRAW] if felt else 1)
        found[f"{name}_share"] = count.assign_attrs(attrs)
    return found.drop_vars([f"{name}_count" for name in names])


def probability(drawn: xr.Dataset, flag: str = "fits") -> xr.DataArray:
    """Share of the draws in which a flag is true, such as ``fits`` or ``serves_context``."""
    found = summarize(drawn, flag, DRAW, "mean")[f"{flag}_mean"]
    title = f"Probability: {QUANTITIES[flag].long_name}"
    return found.rename(flag).assign_attrs(long_name=title, units="1")
