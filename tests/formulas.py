"""What tests of single formulas share."""

from collections.abc import Callable, Mapping

import pytest

from prophet_xr import kernels  # noqa: F401  (declares the metrics)
from prophet_xr.registry import QUANTITIES


def value(name: str, known: Mapping[str, float]) -> float:
    """Evaluate a metric from numbers that are known, and the metrics between them."""
    if name in known:
        return known[name]
    formula = QUANTITIES[name].formula
    assert formula is not None, f"{name} is not known"
    return formula(*(value(n, known) for n in QUANTITIES[name].inputs))


def case(formula: Callable, expected: float, **inputs: float):
    """One line of a table of formulas, their inputs and what they give."""
    return pytest.param(formula, inputs, expected, id=formula.__name__)
