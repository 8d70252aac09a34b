"""Sensitivity to inputs with priors, exact on the grid of their quantiles."""

from collections.abc import Mapping
from math import prod

import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError
from prophet_xr.registry import QUANTITIES, required
from prophet_xr.uncertainty.draws import checked_priors, replaced
from prophet_xr.uncertainty.priors import Prior, Priors
from prophet_xr.uncertainty.sobol import sobol_sweep

_CELLS, _MOST = 2e7, 64  # of a grid, and of one input


def on_grid(
    data: xr.Dataset,
    metric: str,
    priors: Priors | None = None,
    *,
    count: int | None = None,
    where: str = "",
    second_order: bool = True,
) -> xr.Dataset:
    """Sobol indices of a metric over inputs with priors, on a grid of their likely values.

    Nothing is sampled, and the grid is not stored; `sampled` estimates the same indices.

    Parameters
    ----------
    data
        What `inputs` returns; an input with a prior is one value, or a field to be multiplied.
    metric
        Name of the metric; each of its cells is analysed by itself.
    priors
        By input; those of ``data/priors.toml`` by default.
    count
        Values of each input: the middles of so many equally likely parts, as many by default as
        leave a grid of 2e7 cells.  An empirical prior has its own values instead.
    where, second_order
        As in `sobol_sweep`.

    Returns
    -------
    xr.Dataset
        As `sobol` returns it; ``axis`` holds the names of the inputs.

    Raises
    ------
    InputError
        As `draws` and `sobol_sweep` do.

    Examples
    --------
    >>> import prophet_xr as px
    >>> from prophet_xr.sensitivity import known
    >>> data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=4)
    >>> found = on_grid(data, "slowdown", known(["hit_rate", "software_floor"]))
    >>> str(found.total.sel(policy="prophet").idxmax().item())
    'software_floor'
    """
    by_input = checked_priors(data, priors)
    count = _count(metric, by_input) if count is None else checks.whole("count", count, 2)
    dims = {name: f"{name}_factor" if p.factor else name for name, p in by_input.items()}
    weights = {}
    for name, p in by_input.items():
        values, weights[dims[name]] = p.nodes(count)
        data = replaced(data, name, p, values, dims[name])
    over, names = list(dims.values()), list(by_input)
    result = sobol_sweep(
        data, metric, over, where=where, weights=weights, second_order=second_order
    )
    return result.assign_coords({d: names for d in ("axis", "other") if d in result.dims})


def _count(metric: str, priors: Mapping[str, Prior]) -> int:
    """Values of each input that leave a grid of at most `CELLS` cells of those that are varied."""
    varied = required([metric]) if metric in QUANTITIES else set()
    varied_priors = [p for name, p in priors.items() if name in varied]
    fixed = prod(p.nodes(2)[0].size for p in varied_priors if p.kind == "empirical")
    free = sum(p.kind != "empirical" for p in varied_priors)
    count = int(min(_MOST, (_CELLS / fixed) ** (1 / max(free, 1))))
    if count < 2 and free:
        raise InputError(
            f"a grid of {len(varied_priors)} inputs is too large; expected fewer, or `sampled`"
        )
    return max(count, 2)
