"""Inputs with the dimension ``draw``, along which those with a prior take values drawn from it."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from prophet_xr import checks
from prophet_xr.checks import CONTINUOUS, enough_memory
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.registry import QUANTITIES
from prophet_xr.uncertainty.priors import Prior, Priors, known

DRAW = "draw"
SEED = 0


def checked_priors(data: xr.Dataset, priors: Priors | None) -> dict[str, Prior]:
    """Priors by input, once they are checked; by default those of ``data/priors.toml``.

    By default an input that is a dimension has none.

    Raises InputError for a prior of no input, or one that leaves the bounds of its input.
    """
    checks.dataset("the inputs", data)
    if priors is None:
        by_input = {n: prior for n, prior in known().items() if n not in data.dims}
    else:
        by_input = checks.mapping("priors", priors)
    if not by_input:
        raise InputError("priors={} is empty; expected one input at least")
    for name, prior in by_input.items():
        checks.numeric("prior of", data, name)
        if not isinstance(prior, Prior):
            raise InputError(f"prior of {name} is {brief(prior)}; expected what `prior` makes")
        if name in data.dims:
            raise InputError(f"prior of {name}, which is a dimension; expected one value of it")
        if QUANTITIES[name].whole and not (prior.whole or prior.continuous):
            raise InputError(
                f"prior of {name} is {prior.kind} {prior.numbers}, but {name} is counted; expected "
                f"an empirical one of whole numbers, or continuous=True"
            )
        low, high = prior.support
        if prior.factor:
            ends = [x * v for x in (low, high) for v in (data[name].min(), data[name].max())]
            low, high = float(min(ends)), float(max(ends))
        bounds = QUANTITIES[name].bounds
        if low < bounds[0] or high > bounds[1]:
            raise InputError(
                f"prior of {name} reaches from {low:g} to {high:g}, outside [{bounds[0]:g}, "
                f"{bounds[1]:g}] ({QUANTITIES[name].long_name}, {QUANTITIES[name].units}); "
                f"low= and high= cut it off"
            )
    return by_input


def replaced(data: xr.Dataset, name: str, prior: Prior, values: np.ndarray, dim: str) -> xr.Dataset:
    """Inputs with one of them along ``dim``, replaced by values or multiplied by them."""
    replacement = xr.DataArray(values, dims=dim)
    replacement = replacement * data[name] if prior.factor else replacement
    data = data.drop_vars(name).assign({name: replacement.variable})
    data[name].attrs = QUANTITIES[name].attrs | ({CONTINUOUS: 1} if prior.continuous else {})
    return data


def place(data: xr.Dataset, priors: Priors, shares: np.ndarray) -> xr.Dataset:
    """Inputs along ``draw``: each prior at its column of ``shares`` (draw, prior)."""
    for column, (name, prior) in zip(shares.T, priors.items(), strict=True):
        data = replaced(data, name, prior, prior.quantile(column), DRAW)
    return data


def draws(
    data: xr.Dataset,
    priors: Priors | None = None,
    count: int = 1024,
    *,
    correlation: Mapping[tuple[str, str], float] | None = None,
    seed: int = SEED,
) -> xr.Dataset:
    """Inputs with the dimension ``draw``: scrambled Sobol points through each prior's quantiles.

    Parameters
    ----------
    data
        What `inputs` returns; an input with a prior is one value, or a field to be multiplied.
    priors
        By input; by default those of ``data/priors.toml`` for every input that is no dimension.
    count
        How many; powers of two are spread most evenly.
    correlation
        Of pairs of inputs, in the sense of a Gaussian copula; 0 for the rest.
    seed
        The same seed gives the same draws.

    Returns
    -------
    xr.Dataset
        What `prophet_xr.sweep`, `summarize` and `solve` take: every draw is a cell of its own.

    Raises
    ------
    InputError
        For a prior of no input or beyond its bounds, and correlations that cannot be.

    Examples
    --------
    >>> import prophet_xr as px
    >>> from prophet_xr.sensitivity import prior
    >>> data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=4)
    >>> many = draws(data, {"hit_rate": prior("uniform", 0.9, 1.0)}, 64)
    >>> px.sweep(many, ["slowdown"]).slowdown.sel(policy="prophet").dims
    ('draw',)
    """
    from scipy import stats

    by_input = checked_priors(data, priors)
    count, seed = checks.whole("count", count, 1), checks.whole("seed", seed, 0)
    if DRAW in data.dims:
        raise InputError(f"the inputs have {data.sizes[DRAW]} draws already; expected none")
    enough_memory(32 * count * len(by_input))
    points = stats.qmc.Sobol(len(by_input), rng=np.random.default_rng(seed))
    shares = points.random_base2(int(np.ceil(np.log2(count))))[:count]
    if correlation is not None and (pairs := checks.mapping("correlation", correlation)):
        root = _root(list(by_input), pairs)
        inside = np.clip(shares, 1e-12, 1 - 1e-12)
        shares = stats.norm.cdf(stats.norm.ppf(inside) @ root.T)
    return place(data, by_input, shares)


def _root(names: Sequence[str], correlation: Mapping[tuple[str, str], float]) -> np.ndarray:
    """Cholesky root of the matrix of correlations."""
    matrix = np.eye(len(names))
    for pair, value in correlation.items():
        what = f"correlation of {pair!r}"
        if not isinstance(pair, tuple) or len(set(pair)) != 2 or len(pair) != 2:
            raise InputError(f"{what}; expected a pair of two inputs")
        for name in pair:
            if name not in names:
                raise InputError(f"{what}: {name!r} has no prior; {nearest(name, names)}")
        i, j = (names.index(name) for name in pair)
        matrix[i, j] = matrix[j, i] = checks.number(what, value, -1, 1, ends=False)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise InputError("correlations contradict each other; no inputs have them all") from None
