"""Every formula yields its declared units; pint is nowhere near the hot loop."""

import importlib
import itertools
import math
import pkgutil
from types import SimpleNamespace

import pint
import pytest

from prophet_xr import kernels, physics  # noqa: F401  (kernels declares the metrics)
from prophet_xr.physics import memory
from prophet_xr.registry import QUANTITIES, metrics, quantity_of

UNITS = pint.UnitRegistry(None)
for line in (
    "second = [time] = s",
    "byte = [data] = B",
    "parameter = [parameter]",
    "FLOP = 0.5 * parameter",  # one multiply-add per parameter is two FLOP
    "token = [token]",
    "element = [element]",
    "expert = [expert]",
):
    UNITS.define(line)


CONSTANTS = {  # by their names in the modules of the physics
    "ELEMENT": "element",
    "EXPERT": "expert",
    "TOKEN": "token",
    "PROJECTION": "parameter * token / element",
    "LOGIT": "B",
    "STEP": "token",
    "UNBOUNDED": "token",
}
MODULES = [
    importlib.import_module(m.name)
    for m in pkgutil.iter_modules(physics.__path__, f"{physics.__name__}.")
]


POSSIBLE = {"plan_reason": 0.0, "policy_reason": 0.0, "memory_budget": 1e6}
SKEWED = {  # a router of many experts, some of which every token takes
    **{"n_experts": 64.0, "top_k": 8.0, "routing_skew": 1.5, "power_weight": 0.0},
    **{"zipf_scale": 2.0, "effective_batch": 20.0, "step_batch": 20.0},
}


def quantity(name: str, value: float) -> pint.Quantity:
    units = QUANTITIES[name].units
    return UNITS.Quantity(value, "" if units in ("", "1") else units.replace("1 /", "1.0 /"))


@pytest.mark.parametrize("q", metrics(), ids=lambda q: q.name)
def test_formula_yields_its_declared_units(q, monkeypatch):
    # math.floor refuses a quantity with units; the identity keeps the units and loses nothing else
    monkeypatch.setattr(
        memory, "math", SimpleNamespace(floor=lambda x: x, nan=math.nan, inf=math.inf)
    )
    for module, (name, unit) in itertools.product(MODULES, CONSTANTS.items()):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, UNITS.Quantity(getattr(module, name), unit))
    values = (
        (0.0, 0.5, 7.0, 200.0) if q.dtype == "bool" or q.flags else (0.0, 0.5, 7.0, 200.0, math.nan)
    )
    numbers = [
        {**base, n: value}
        for base in ({}, POSSIBLE, POSSIBLE | SKEWED)
        for n in q.inputs
        for value in ((0.0, 1.0) if QUANTITIES[quantity_of(n)].flags else values)
    ]
    for other in [{}, *numbers]:  # so that every branch is taken
        arguments = [quantity(quantity_of(n), other.get(n, 1.0)) for n in q.inputs]
        try:
            result = q.formula(*arguments)
        except (ZeroDivisionError, OverflowError, ValueError):  # of numbers that no model has
            assert other
            continue
        if q.dtype == "bool" or q.flags:
            assert int(result) in range(max(len(q.flags), 2))
            continue
        found = UNITS.Quantity(result)
        if found.magnitude and not math.isnan(found.magnitude):  # these have any unit
            assert quantity(q.name, 1.0).is_compatible_with(found.units), (other, result)
