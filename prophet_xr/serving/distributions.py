"""Quantile functions: the share of the draws that lies below a value -> the value.

Loads and priors draw alike: one uniform number from 0 to 1 is a share and makes one value, so that
a seed draws alike whatever the distribution or rate.  `FAMILIES` declares what scipy.stats has;
`empirical`, `exponential` and `quantiles` are not taken from there, and say why.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from prophet_xr.checks import number
from prophet_xr.errors import InputError

_MOST = 1e9  # of a value that is drawn

Quantile = Callable[[np.ndarray], np.ndarray]


class _Family(NamedTuple):
    """A family of distributions: its name in scipy.stats, and its arguments from our numbers."""

    name: str
    arguments: Callable[..., dict[str, float]]


DISTRIBUTIONS = {
    "uniform": _Family("uniform", lambda low, high: {"loc": low, "scale": high - low}),
    "triangular": _Family(
        "triang",
        lambda low, mode, high: {"c": (mode - low) / (high - low), "loc": low, "scale": high - low},
    ),
    "lognormal": _Family("lognorm", lambda median, spread: {"s": spread, "scale": median}),
    "gamma": _Family("gamma", lambda cv: {"a": cv**-2, "scale": cv**2}),  # of mean 1
}


def distribution(kind: str, *numbers: float) -> Any:
    """Distribution of a family, with the methods of scipy.stats: ``ppf``, ``cdf`` and others.

    Parameters
    ----------
    kind, *numbers
        ``"uniform"`` (low, high), ``"triangular"`` (low, mode, high), ``"lognormal"`` (median,
        standard deviation of the logarithm) or ``"gamma"`` (coefficient of variation; mean 1).
    """
    from scipy import stats  # late: importing it takes a second, and many loads need none of it

    family = DISTRIBUTIONS[kind]
    return getattr(stats, family.name)(**family.arguments(*numbers))


def empirical(values: Sequence[float]) -> Quantile:
    """Draw one of the values, each as likely.

    n values divide the shares into n equal parts, each with its lower end; scipy's `rv_discrete`
    would count that end to the part below, and other values would be drawn at round shares.
    """
    ordered = np.sort(np.asarray(values, np.float64))

    def ppf(shares: np.ndarray) -> np.ndarray:
        place = (np.asarray(shares) * ordered.size).astype(int)
        return ordered[np.minimum(place, ordered.size - 1)]

    return ppf


def exponential(shares: np.ndarray) -> np.ndarray:
    """Draw from the exponential distribution of mean 1: the gaps of a Poisson process.

    By numpy: the ``log1p`` of scipy's `expon` differs from numpy's in the last bit, and every load
    that was ever drawn would change.
    """
    return -np.log1p(-shares)


def fixed(value: float) -> Quantile:
    """Draw the same value every time."""
    number("fixed value", value, 0, _MOST)
    return empirical([float(value)])


def lognormal(median: float, spread: float) -> Quantile:
    """Draw with a logarithm that is normal; ``spread`` is its standard deviation.

    The mean is median x exp(spread**2 / 2), never below the median.
    """
    number("median of a lognormal", median, np.nextafter(0, 1), _MOST)
    number("spread of a lognormal", spread, 0, 10)
    if spread == 0:  # scipy has none
        return fixed(median)
    return lambda shares: distribution("lognormal", median, spread).ppf(shares)


def gamma(cv: float) -> Quantile:
    """Draw gaps of mean 1 and the given coefficient of variation; 1 is a Poisson process.

    Far above 1 this is clumps of simultaneous requests, not bursts that last.
    """
    number("CV of a gamma", cv, 0, 100)
    if cv == 0:
        return fixed(1.0)
    if cv == 1:
        return exponential
    return lambda shares: distribution("gamma", cv).ppf(shares)


def quantiles(levels: Sequence[float], values: Sequence[float]) -> Quantile:
    """Draw from quantiles, ``values`` at shares ``levels`` from 0 to 1, linear in between.

    By numpy: in scipy's `rv_histogram` equal values at two levels, as where a tenth of the requests
    has the same length, are a bin without width, whose share is lost.
    """
    shares, heights = np.asarray(levels, float), np.asarray(values, float)
    rising = shares.ndim == 1 and shares.size > 1 and bool((np.diff(shares) > 0).all())
    if not rising or shares[0] != 0 or shares[-1] != 1:
        raise InputError(f"levels={_short(levels)} of quantiles; expected rising shares, 0 to 1")
    ordered = heights.shape == shares.shape and bool((np.diff(heights) >= 0).all())
    if not ordered or not np.isfinite(heights).all() or heights[0] < 0:
        raise InputError(
            f"values={_short(values)} of quantiles; expected one for each of {shares.size} levels, "
            f"at least 0 and never falling"
        )
    return lambda drawn: np.interp(drawn, shares, heights)


def mean(levels: Sequence[float], values: Sequence[float]) -> float:
    """Mean of `quantiles`: the area under the line."""
    return float(np.trapezoid(values, levels))


def _short(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:57] + "..."
