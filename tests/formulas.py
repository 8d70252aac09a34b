"""One number of one cell, from numbers that are known, by the chain of formulas."""

from collections.abc import Mapping

from prophet_xr import kernels  # noqa: F401  (declares the metrics)
from prophet_xr.registry import QUANTITIES


def value(name: str, known: Mapping[str, float]) -> float:
    """Evaluate a metric; what it reads is known, or a metric in its turn."""
    if name in known:
        return known[name]
    formula = QUANTITIES[name].formula
    assert formula is not None, f"{name} is not known"
    return formula(*(value(n, known) for n in QUANTITIES[name].inputs))
