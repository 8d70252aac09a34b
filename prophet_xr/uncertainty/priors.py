"""What is known of an input: a distribution with its source, and draws from several of them."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf

import numpy as np
import xarray as xr

from prophet_xr import kernels, specs  # noqa: F401  (kernels declares the metrics)
from prophet_xr.checks import enough_memory
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.queries.names import listed
from prophet_xr.registry import QUANTITIES
from prophet_xr.uncertainty import door

DRAW = "draw"
SEED = 0


@dataclass(frozen=True)
class Prior:
    """A distribution of an input, or of a factor on it; `prior` makes one.

    ``kind`` and ``numbers``: uniform (low, high), triangular (low, mode, high), lognormal (median,
    standard deviation of the logarithm), empirical (values seen, each as likely).
    ``low``, ``high`` cut it off; ``factor`` says that it multiplies what the input is.
    """

    kind: str
    numbers: tuple[float, ...]
    source: str = ""
    factor: bool = False
    low: float = -inf
    high: float = inf

    def quantile(self, shares: np.ndarray) -> np.ndarray:
        """Value below which the given share of the distribution lies."""
        if self.kind == "empirical":
            ordered = np.sort([v for v in self.numbers if self.low <= v <= self.high])
            at = np.minimum((np.asarray(shares) * ordered.size).astype(int), ordered.size - 1)
            return ordered[at]
        below, above = self.inside
        return self._law().ppf(below + np.asarray(shares) * (above - below))

    @property
    def inside(self) -> tuple[float, float]:
        """Shares of the whole distribution below ``low`` and below ``high``."""
        if self.kind == "empirical":
            values = np.array(self.numbers)
            return float((values < self.low).mean()), float((values <= self.high).mean())
        law = self._law()
        return law.cdf(self.low), law.cdf(self.high)

    @property
    def support(self) -> tuple[float, float]:
        """Least and largest value."""
        if self.kind == "empirical":
            low, high = self.quantile(np.array([0.0, 1.0]))
            return float(low), float(high)
        ends = (0.0, inf) if self.kind == "lognormal" else (self.numbers[0], self.numbers[-1])
        return max(ends[0], self.low), min(ends[1], self.high)

    def nodes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Values that stand for the distribution on a grid, and their weights.

        The middles of ``count`` equally likely parts; of an empirical prior its own values.
        """
        if self.kind == "empirical":
            seen = [v for v in self.numbers if self.low <= v <= self.high]
            return np.unique(seen, return_counts=True)
        return self.quantile((np.arange(count) + 0.5) / count), np.ones(count)

    def _law(self):
        from scipy import stats

        if self.kind == "uniform":
            low, high = self.numbers
            return stats.uniform(low, high - low)
        if self.kind == "triangular":
            low, mode, high = self.numbers
            return stats.triang((mode - low) / (high - low), low, high - low)
        median, spread = self.numbers
        return stats.lognorm(spread, scale=median)


COUNTS = {"uniform": 2, "triangular": 3, "lognormal": 2}
NEEDS = {
    "lognormal": "a median and a spread above 0",
    "empirical": "finite values",
    "uniform": "two rising numbers",
    "triangular": "low, mode and high in rising order",
}
LEAST = 1e-6  # share of a distribution that a cut has to leave: quantiles of less lose their digits


def prior(
    kind: str,
    *numbers: float,
    source: str = "",
    factor: bool = False,
    low: float = -inf,
    high: float = inf,
) -> Prior:
    """Make a prior.

    Parameters
    ----------
    kind, *numbers
        ``"uniform"`` (low, high), ``"triangular"`` (low, mode, high), ``"lognormal"`` (median,
        standard deviation of the logarithm) or ``"empirical"`` (values, each as likely).
    source
        Where it is from.
    factor
        Whether it multiplies what the input is, row by row, instead of replacing it.
    low, high
        Where it is cut off; what is left is as likely as it was, relative to each other.

    Raises
    ------
    InputError
        For an unknown kind, numbers that are no such distribution, or a cut that leaves nothing.

    Examples
    --------
    >>> round(float(prior("uniform", 0.9, 0.994).quantile(0.5)), 6)
    0.947
    """
    if kind not in NEEDS:
        raise InputError(f"prior {kind!r} is unknown; {nearest(kind, NEEDS)}")
    values = tuple(door.numbers(f"{kind} prior", numbers))
    good = len(values) == COUNTS.get(kind, len(values)) > 0
    if good and kind in ("uniform", "triangular"):
        good = list(values) == sorted(values) and values[0] < values[-1]
    elif good and kind == "lognormal":
        good = min(values) > 0
    if not good:
        raise InputError(f"{kind} prior of {numbers}; expected {NEEDS[kind]}")
    if not all(isinstance(v, int | float) for v in (low, high)) or not low < high:
        raise InputError(f"{kind} prior cut to low={low!r}, high={high!r}; expected low < high")
    made = Prior(kind, values, source, factor, low, high)
    below, above = made.inside
    if not above - below > LEAST:
        raise InputError(f"{kind} prior of {numbers} has nothing between {low:g} and {high:g}")
    return made


Priors = Mapping[str, Prior]


@cache
def _read() -> dict[str, Prior]:
    file = specs.path().with_name("priors.toml")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: _entry(dict(entry)) for name, entry in table.items()}
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SpecError(f"priors: {file} cannot be read ({problem})") from None


def _entry(entry: dict) -> Prior:
    return prior(entry.pop("kind"), *entry.pop("numbers"), **entry)


def known(names: str | Iterable[str] | None = None) -> dict[str, Prior]:
    """Priors of ``data/priors.toml`` by input, all of them or those named.

    Raises InputError for an input that has none, SpecError for a file that cannot be read.
    """
    every = _read()
    for name in (wanted := list(every) if names is None else listed(names)):
        if name not in every:
            raise InputError(f"{name!r} has no prior; {nearest(name, every)}")
    return {name: every[name] for name in wanted}


# --- Draws -----------------------------------------------------------------------------------


def checked(data: xr.Dataset, priors: Priors | None) -> dict[str, Prior]:
    """Priors, each of which suits an input; by default the project's for all that is no dimension.

    Raises InputError for a prior of no input, or one that leaves the bounds of its input.
    """
    if priors is None:
        found = {n: own for n, own in known().items() if n not in data.dims}
    else:
        found = door.mapping("priors", priors)
    if not found:
        raise InputError("priors={} is empty; expected one input at least")
    for name, own in found.items():
        door.numeric("prior of", data, name)
        if not isinstance(own, Prior):
            raise InputError(f"prior of {name} is {own!r}; expected what `prior` makes")
        if name in data.dims:
            raise InputError(f"prior of {name}, which is a dimension; expected one value of it")
        low, high = own.support
        if own.factor:
            ends = [x * v for x in (low, high) for v in (data[name].min(), data[name].max())]
            low, high = float(min(ends)), float(max(ends))
        bounds = QUANTITIES[name].bounds
        if low < bounds[0] or high > bounds[1]:
            raise InputError(
                f"prior of {name} reaches from {low:g} to {high:g}, outside [{bounds[0]:g}, "
                f"{bounds[1]:g}] ({QUANTITIES[name].long_name}, {QUANTITIES[name].units}); "
                f"low= and high= cut it off"
            )
    return found


def replaced(data: xr.Dataset, name: str, own: Prior, values: np.ndarray, dim: str) -> xr.Dataset:
    """Inputs with one of them along ``dim``, replaced by values or multiplied by them."""
    made = xr.DataArray(values, dims=dim)
    made = made * data[name] if own.factor else made
    data = data.drop_vars(name).assign({name: made.variable})
    data[name].attrs = QUANTITIES[name].attrs
    return data


def place(data: xr.Dataset, priors: Priors, shares: np.ndarray) -> xr.Dataset:
    """Inputs along ``draw``, at shares (draw, prior) of their priors."""
    for column, (name, own) in zip(shares.T, priors.items(), strict=True):
        data = replaced(data, name, own, own.quantile(column), DRAW)
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
    >>> data = px.inputs(model="olmoe-1b-7b", gpu="H200", batch=4)
    >>> many = draws(data, {"hit_rate": prior("uniform", 0.9, 1.0)}, 64)
    >>> px.sweep(many, ["slowdown"]).slowdown.sel(policy="prophet").dims
    ('draw',)
    """
    from scipy import stats

    own = checked(data, priors)
    count, seed = door.whole("count", count, 1), door.whole("seed", seed, 0)
    if DRAW in data.dims:
        raise InputError(f"the inputs have {data.sizes[DRAW]} draws already; expected none")
    enough_memory(32 * count * len(own))
    points = stats.qmc.Sobol(len(own), rng=np.random.default_rng(seed))
    shares = points.random_base2(int(np.ceil(np.log2(count))))[:count]
    if correlation:
        root = _root(list(own), door.mapping("correlation", correlation))
        inside = np.clip(shares, 1e-12, 1 - 1e-12)
        shares = stats.norm.cdf(stats.norm.ppf(inside) @ root.T)
    return place(data, own, shares)


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
        matrix[i, j] = matrix[j, i] = door.between(what, value, -1, 1)
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise InputError("correlations contradict each other; no inputs have them all") from None
