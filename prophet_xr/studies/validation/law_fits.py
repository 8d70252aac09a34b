"""How the law parameters of the catalogue were fitted: plain searches, no more than two at a time.

The skew comes from pairs of unrelated tokens and the repetition from the consecutive curve, not
both from the curve: there they trade off, and blocks of mixed tokens then come out 11 % wrong.
"""

import math
from collections.abc import Callable, Sequence

from prophet_xr import kernels

Points = Sequence[tuple[float, float]]
GOLDEN = (math.sqrt(5) - 1) / 2


def distinct(experts: float, top_k: float, skew: float, draws: float) -> float:
    """Distinct experts of ``draws`` independent tokens, by the Zipf law."""
    scale = kernels.zipf_scale(experts, top_k, skew)
    return kernels.unique_experts(experts, top_k, draws, 1.0, 0.0, skew, scale, draws)


def lowest(loss: Callable[[float], float], low: float, high: float) -> float:
    """Argument at which a function with one valley is lowest, by golden section."""
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = loss(a), loss(b)
    for _ in range(48):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = loss(b)
    return 0.5 * (low + high)


def skew(experts: float, top_k: float, pair: float) -> float:
    """Skew that gives the distinct experts of two unrelated tokens; 0 if chance has fewer."""
    low, high = 0.0, 3.0
    if distinct(experts, top_k, low, 2.0) <= pair:
        return 0.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if distinct(experts, top_k, middle, 2.0) > pair:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def gamma(experts: float, top_k: float, skew: float, curve: Points) -> float:
    """Exponent on consecutive tokens, by least squares of the relative error."""

    def loss(g: float) -> float:
        return sum((distinct(experts, top_k, skew, w**g) / d - 1) ** 2 for w, d in curve)

    return lowest(loss, 0.2, 1.0)


def reuse(points: Points) -> tuple[float, float]:
    """Strength b and exponent a of r(x) = 1 - (1 - x) exp(-b x**a), by least squares of r.

    Gauss-Newton, from the straight line of ln(-ln((1 - r) / (1 - x))) on ln x.
    """
    xs = [math.log(x) for x, _ in points]
    ys = [math.log(-math.log((1 - r) / (1 - x))) for x, r in points]
    middle, level = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - middle) * (y - level) for x, y in zip(xs, ys, strict=True))
    a = slope / sum((x - middle) ** 2 for x in xs)
    log_b = level - a * middle
    for _ in range(30):
        step_b, step_a = _newton(points, math.exp(log_b), a)
        log_b -= step_b
        a *= math.exp(-step_a)
    return math.exp(log_b), a


def _newton(points: Points, b: float, a: float) -> tuple[float, float]:
    """Steps in ln b and ln a that solve the normal equations."""
    bb = ba = aa = rb = ra = 0.0
    for x, r in points:
        missed = (1 - x) * math.exp(-b * x**a)
        by_b = missed * b * x**a
        by_a = by_b * math.log(x) * a
        wrong = 1 - missed - r
        bb, ba, aa = bb + by_b**2, ba + by_b * by_a, aa + by_a**2
        rb, ra = rb + by_b * wrong, ra + by_a * wrong
    area = bb * aa - ba * ba
    return (aa * rb - ba * ra) / area, (bb * ra - ba * rb) / area
