"""Break-even maps: at which batch, hit rate or exponent an answer turns into the other."""

import numpy as np
import xarray as xr

from prophet_xr import checks, registry
from prophet_xr.grid import Values, inputs
from prophet_xr.offloading.regions import SHOWN, targets
from prophet_xr.queries.crossing import solve
from prophet_xr.uncertainty.grids import BATCHES, EXPONENTS, LAWS
from prophet_xr.uncertainty.words import ABOVE, BELOW, CROSSES, SIDES, UNDEFINED

LEFT = 0.1  # share of expert memory freed, below which little is left to gain
CARD = "A100-80GB"


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
    found = solve(data, metric, target, along, where=where)
    above = xr.where(found.above == found.cells, ABOVE, BELOW)
    side = xr.where(found.crossings > 0, CROSSES, xr.where(found.cells > 0, above, UNDEFINED))
    flags = {"long_name": f"Side of {metric} = {target:g}", "units": "1"}
    flags |= registry.flags(SIDES)
    made = found[[along]].assign(side=side.assign_attrs(flags))
    return made.assign_attrs(metric=metric, target=target)


def batch_of_little_savings(left: float = LEFT, **chosen: Values) -> xr.Dataset:
    """Batch from which Prophet frees less than a tenth of the experts.

    Parameters
    ----------
    left
        Share of expert memory that is little.
    **chosen
        Inputs other than the defaults: those of `inputs`.

    Returns
    -------
    xr.Dataset
        As `break_even` along ``batch``, by model, routing and dedup_exponent, which the power law
        alone feels; n_experts and top_k beside it.
    """
    batches = np.unique(np.geomspace(1, 4096, 400).round())
    start = {"routing": LAWS, "dedup_exponent": EXPONENTS, "batch": batches, "gpu": CARD}
    data = inputs(**{"policy": "prophet", **start, **chosen})
    left = checks.number("left", left, 0, 1, ends=False)
    found = break_even(data, "expert_savings_fraction", left, "batch")
    return found.assign(n_experts=data.n_experts, top_k=data.top_k)


def exponent_of_no_fit(**chosen: Values) -> xr.Dataset:
    """Exponent at which Prophet leaves no room for the KV cache.

    Returns `break_even` along ``dedup_exponent`` by model, gpu and batch: *above*, it fits with
    any exponent, *below* with none.  ``chosen`` as in `batch_of_little_savings`.
    """
    start = {"dedup_exponent": np.linspace(0, 1, 101), "batch": BATCHES}
    data = inputs(**{"policy": "prophet", **start, **chosen})
    return break_even(data, "kv_budget", 0.0, "dedup_exponent")


def hit_rate_of_target(target: float | None = None, **chosen: Values) -> xr.Dataset:
    """Least hit rate at which Prophet is no slower than a target, at batch 1.

    Parameters
    ----------
    target
        Largest slowdown; by default the study's.
    **chosen
        As in `batch_of_little_savings`.

    Returns
    -------
    xr.Dataset
        As `break_even` along ``hit_rate``, by model, host_link_rate and ``kept``, the share of the
        other experts that stay resident beside those of the step: *below*, any hit rate will do,
        *above*, none.
    """
    links = np.array([10, 24.8, 55, 100, 200, 400, 800]) * 1e9
    kept = np.array([0.0, 0.25, 0.5, 0.75, 0.9])
    hits = np.unique([*np.linspace(0, 1, 101), *np.linspace(0.99, 1, 11)])
    start = {"model": SHOWN, "gpu": CARD, "batch": 1, "context": 4096, "routing": "zipf"}
    start |= {"policy": "prophet", "host_link_rate": links, "hit_rate": hits}
    data = inputs(**{**start, **chosen})
    if "staging" not in chosen:
        beside = (data.n_experts - data.top_k) * xr.DataArray(kept, dims="kept")
        data = data.drop_vars("staging").assign(staging=beside.variable)
        data = data.assign_coords(kept=("kept", kept, {"long_name": "Others kept", "units": "1"}))
    slowest = (
        targets().free if target is None else checks.number("target", target, 0, np.inf, ends=False)
    )
    return break_even(data, "slowdown", slowest, "hit_rate")
