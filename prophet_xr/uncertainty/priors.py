"""What is known of an input: a distribution with its source, and draws from several of them."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, isfinite

import numpy as np
import xarray as xr

from prophet_xr import kernels, specs  # noqa: F401  (kernels declares the metrics)
from prophet_xr.errors import InputError, SpecError, nearest
from prophet_xr.registry import QUANTITIES

DRAW = "draw"
SEED = 0


@dataclass(frozen=True)
class Prior:
    """A distribution of an input, or of a factor on it.

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
            ordered = np.sort(self.numbers)
            at = np.minimum((np.asarray(shares) * ordered.size).astype(int), ordered.size - 1)
            return ordered[at]
        law = self._law()
        below, above = law.cdf(self.low), law.cdf(self.high)
        return law.ppf(below + np.asarray(shares) * (above - below))

    @property
    def support(self) -> tuple[float, float]:
        """Least and largest value."""
        ends = {"lognormal": (0.0, inf)}.get(self.kind, (min(self.numbers), max(self.numbers)))
        return max(ends[0], self.low), min(ends[1], self.high)

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


def prior(kind: str, *numbers: float, **more) -> Prior:
    """Make a prior; InputError for numbers that are no such distribution.

    Examples
    --------
    >>> round(float(prior("uniform", 0.9, 0.994).quantile(0.5)), 6)
    0.947
    """
    if kind not in (*COUNTS, "empirical"):
        raise InputError(f"prior {kind!r} is unknown; {nearest(kind, [*COUNTS, 'empirical'])}")
    made = Prior(kind, tuple(map(float, numbers)), **more)
    good = all(map(isfinite, made.numbers)) and len(numbers) == COUNTS.get(kind, len(numbers)) > 0
    if good and kind in ("uniform", "triangular"):
        good = list(numbers) == sorted(numbers) and numbers[0] < numbers[-1]
    elif good and kind == "lognormal":
        good = min(numbers) > 0
    if not good or not made.support[0] <= made.support[1]:
        need = {"lognormal": "median and spread above 0", "empirical": "finite values"}
        raise InputError(f"{kind} prior of {numbers}; expected {need.get(kind, 'rising numbers')}")
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


def known(names: Iterable[str] | None = None) -> dict[str, Prior]:
    """Priors of ``data/priors.toml`` by input, all of them or those named.

    Raises InputError for an input that has none, SpecError for a file that cannot be read.
    """
    every = _read()
    for name in (wanted := list(every if names is None else names)):
        if name not in every:
            raise InputError(f"{name!r} has no prior; {nearest(name, every)}")
    return {name: every[name] for name in wanted}


# --- Draws -----------------------------------------------------------------------------------


def checked(data: xr.Dataset, priors: Priors) -> None:
    """Raise InputError for a prior of no input, or one that leaves the bounds of its input."""
    for name, own in priors.items():
        if name not in data.variables or name not in QUANTITIES or QUANTITIES[name].formula:
            inputs = [n for n, q in QUANTITIES.items() if not q.formula and n in data.variables]
            raise InputError(f"prior of {name!r}, which is no input; {nearest(name, inputs)}")
        if name in data.dims:
            raise InputError(f"prior of {name}, which is a dimension; expected one value of it")
        low, high = own.support
        if own.factor:
            values = data[name].values
            low, high = low * float(values.min()), high * float(values.max())
        bounds = QUANTITIES[name].bounds
        if low < bounds[0] or high > bounds[1]:
            raise InputError(
                f"prior of {name} reaches from {low:g} to {high:g}, outside [{bounds[0]:g}, "
                f"{bounds[1]:g}] ({QUANTITIES[name].long_name}, {QUANTITIES[name].units}); "
                f"low= and high= cut it off"
            )


def place(data: xr.Dataset, priors: Priors, shares: np.ndarray) -> xr.Dataset:
    """Inputs along ``draw``, at shares (draw, prior) of their priors."""
    checked(data, priors)
    for column, (name, own) in zip(shares.T, priors.items(), strict=True):
        values = xr.DataArray(own.quantile(column), dims=DRAW)
        values = values * data[name] if own.factor else values
        data = data.drop_vars(name).assign({name: values.variable})
        data[name].attrs = QUANTITIES[name].attrs
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
        By input; those of ``data/priors.toml`` by default.
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

    priors = known() if priors is None else priors
    points = stats.qmc.Sobol(len(priors), rng=np.random.default_rng(seed))
    shares = points.random_base2(int(np.ceil(np.log2(count))))[:count]
    if correlation:
        root = _root(list(priors), correlation)
        inside = np.clip(shares, 1e-12, 1 - 1e-12)
        shares = stats.norm.cdf(stats.norm.ppf(inside) @ root.T)
    return place(data, priors, shares)


def _root(names: Sequence[str], correlation: Mapping[tuple[str, str], float]) -> np.ndarray:
    """Cholesky root of the matrix of correlations."""
    matrix = np.eye(len(names))
    for pair, value in correlation.items():
        for name in pair:
            if name not in names:
                raise InputError(f"correlation of {name!r}, which has no prior")
        i, j = (names.index(name) for name in pair)
        if i == j or not -1 <= value <= 1:
            raise InputError(f"correlation of {pair}={value!r}; expected two inputs, -1 to 1")
        matrix[i, j] = matrix[j, i] = value
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise InputError("correlations contradict each other; no inputs have them all") from None


def gridded(data: xr.Dataset, priors: Priors, count: int = 16) -> xr.Dataset:
    """Inputs on a grid of equally likely values: one dim of ``count`` quantiles per prior.

    The grid on which `sobol_sweep` is exact for the same priors; a factor is a dim
    ``{name}_factor`` beside its field.
    """
    checked(data, priors)
    middle = (np.arange(count) + 0.5) / count
    for name, own in priors.items():
        values, dim = own.quantile(middle), f"{name}_factor" if own.factor else name
        made = xr.DataArray(values, dims=dim)
        made = made * data[name] if own.factor else made
        data = data.drop_vars(name).assign({name: made.variable})
        data[name].attrs = QUANTITIES[name].attrs
    return data
