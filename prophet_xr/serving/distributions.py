"""Quantile functions: share of the draws below -> value.

One uniform number makes one draw, so that a seed draws alike whatever the distribution or rate.
"""

from collections.abc import Callable, Sequence

import numpy as np

from prophet_xr.checks import number
from prophet_xr.errors import InputError

MOST = 1e9  # of a value that is drawn
Quantile = Callable[[np.ndarray], np.ndarray]


def fixed(value: float) -> Quantile:
    """Draw the same value every time."""
    number("fixed value", value, 0, MOST)
    return lambda shares: np.full(np.shape(shares), float(value))


def lognormal(median: float, spread: float) -> Quantile:
    """Draw with a logarithm that is normal; ``spread`` is its standard deviation.

    The mean is median x exp(spread**2 / 2), never below the median.
    """
    from scipy.special import ndtri

    number("median of a lognormal", median, np.nextafter(0, 1), MOST)
    number("spread of a lognormal", spread, 0, 10)
    return lambda shares: median * np.exp(spread * ndtri(shares))


def gamma(cv: float) -> Quantile:
    """Draw gaps of mean 1 and the given coefficient of variation; 1 is a Poisson process.

    Far above 1 this is clumps of simultaneous requests, not bursts that last.
    """
    from scipy.special import gammaincinv

    number("CV of a gamma", cv, 0, 100)
    if cv == 0:
        return fixed(1.0)
    if cv == 1:
        return lambda shares: -np.log1p(-shares)
    return lambda shares: cv**2 * gammaincinv(cv**-2, shares)


def quantiles(levels: Sequence[float], values: Sequence[float]) -> Quantile:
    """Draw from quantiles, ``values`` at shares ``levels`` from 0 to 1, linear in between."""
    shares, found = np.asarray(levels, float), np.asarray(values, float)
    rising = shares.ndim == 1 and shares.size > 1 and bool((np.diff(shares) > 0).all())
    if not rising or shares[0] != 0 or shares[-1] != 1:
        raise InputError(f"levels={_short(levels)} of quantiles; expected rising shares, 0 to 1")
    ordered = found.shape == shares.shape and bool((np.diff(found) >= 0).all())
    if not ordered or not np.isfinite(found).all() or found[0] < 0:
        raise InputError(
            f"values={_short(values)} of quantiles; expected one for each of {shares.size} levels, "
            f"at least 0 and never falling"
        )
    return lambda u: np.interp(u, shares, found)


def mean(levels: Sequence[float], values: Sequence[float]) -> float:
    """Mean of `quantiles`: the area under the line."""
    return float(np.trapezoid(values, levels))


def _short(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:57] + "..."
