"""How the law parameters of the catalogue were fitted, no more than two at a time.

The skew comes from pairs of unrelated tokens and the repetition from the consecutive curve, not
both from the curve: there they trade off, and blocks of mixed tokens then come out 11 % wrong.
"""

from collections.abc import Sequence

import numpy as np
from scipy import optimize

from prophet_xr import kernels

Points = Sequence[tuple[float, float]]
SKEWS = 0.0, 3.0  # least and largest skew that is looked for
GAMMAS = 0.2, 1.0  # the same of the exponent on consecutive tokens
_CLOSE = 1e-14  # error of a parameter, or of what it changes, at which a search ends


def distinct_experts(experts: float, top_k: float, skew: float, draws: float) -> float:
    """Distinct experts of ``draws`` independent tokens, by the Zipf law."""
    scale = kernels.zipf_scale(experts, top_k, skew)
    return kernels.unique_experts(experts, top_k, draws, 1.0, 0.0, skew, scale, draws)


def skew(experts: float, top_k: float, pair: float) -> float:
    """Skew that gives the distinct experts of two unrelated tokens.

    More skew means fewer distinct experts: 0 if even no skew has as few, the largest skew if even
    that has more.
    """

    def excess(skew: float) -> float:
        return distinct_experts(experts, top_k, skew, 2.0) - pair

    least, largest = SKEWS
    if excess(least) <= 0:
        return least
    if excess(largest) >= 0:
        return largest
    return float(optimize.root_scalar(excess, bracket=SKEWS, xtol=_CLOSE).root)


def fit_gamma(experts: float, top_k: float, skew: float, curve: Points) -> float:
    """Exponent on consecutive tokens, by least squares of the relative error."""

    def loss(exponent: float) -> float:
        return sum(
            (distinct_experts(experts, top_k, skew, tokens**exponent) / seen - 1) ** 2
            for tokens, seen in curve
        )

    search = optimize.minimize_scalar(
        loss, bounds=GAMMAS, method="bounded", options={"xatol": _CLOSE}
    )
    return float(search.x)


def fit_reuse(points: Points) -> tuple[float, float]:
    """Strength b and exponent a of r(x) = 1 - (1 - x) exp(-b x**a), by least squares of r.

    ``points`` holds pairs (x, r): the share of experts in the cache, and its hit rate.
    """
    share, hit_rate = np.array(points, np.float64).T

    def misses(law: np.ndarray) -> np.ndarray:
        strength, exponent = law
        return 1 - (1 - share) * np.exp(-strength * share**exponent) - hit_rate

    search = optimize.least_squares(
        misses, (1.0, 1.0), method="lm", xtol=_CLOSE, ftol=_CLOSE, gtol=_CLOSE
    )
    strength, exponent = search.x.tolist()
    return strength, exponent
