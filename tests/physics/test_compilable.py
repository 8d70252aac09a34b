"""A formula is declared only if it can be compiled as well as walked."""

import math
import math as m
import random
from math import floor, inf

import numpy as np
import pytest

from prophet_xr.engine import codegen
from prophet_xr.registry import QUANTITIES, carried, metric

WEIGHTS = [0.5, 0.25]
RATES = np.array([1.0, 2.0])
SCALE, LOWEST, NOTHING = 2.5, -inf, math.nan


class Rate:
    value = 2.0


def doubled(x):
    return 2 * x


def doubled_by_alias(x):
    return m.floor(2 * x)


def counted_down(x):
    return counted_down(x - 1) if x > 0 else 0.0


def closure():
    factor = 3.0

    def scaled(batch):
        return factor * batch

    return scaled


def by_alias(batch):
    return m.floor(batch)


def by_name(batch):
    return floor(batch)


def by_list(batch):
    return WEIGHTS[0] * batch


def by_array(batch):
    return RATES[0] * batch


def by_class(batch):
    return Rate.value * batch


def by_module(batch):
    return random.random() * batch


def by_helper(batch):
    return doubled_by_alias(batch)


def by_inner(batch):
    return sum([w * batch for w in WEIGHTS])


def by_recursion(batch):
    return counted_down(batch)


def by_later(batch):
    return not_yet(batch)  # noqa: F821


def without_text():
    found = {}
    exec("def untold(batch):\n    return 2 * batch", found)
    return found["untold"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (by_alias, "'by_alias' reads 'm' (module 'math'), which cannot be compiled; expected a "),
        (by_name, "'by_name' reads 'floor' (builtin_function_or_method), which cannot be"),
        (by_list, "'by_list' reads 'WEIGHTS' (list), which cannot be compiled"),
        (by_array, "'by_array' reads 'RATES' (ndarray), which cannot be compiled"),
        (by_class, "'by_class' reads 'Rate' (type), which cannot be compiled"),
        (by_module, "'by_module' reads 'random' (module 'random'), which cannot be compiled"),
        (by_helper, "'doubled_by_alias' reads 'm' (module 'math')"),
        (by_inner, "'by_inner' reads 'WEIGHTS' (list)"),
        (by_recursion, "'counted_down' calls itself; expected a loop"),
        (by_later, "'by_later' reads 'not_yet', which is not defined yet"),
        (closure(), "'scaled' reads 'factor' of the function around it"),
        (without_text(), "'untold' has no text to compile"),
        (lambda batch: batch, "is no function with a name; expected a def"),
        (math.floor, "is no function with a name; expected a def"),
    ],
)
def test_a_formula_that_cannot_be_compiled_is_no_metric(formula, message):
    before = list(QUANTITIES)
    with pytest.raises(ValueError, match="formula") as caught:
        metric("1")(formula)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(QUANTITIES) == before


def allowed(batch):
    if batch > 100:
        return LOWEST if batch > 200 else NOTHING
    return doubled(batch) * SCALE + math.floor(np.sqrt(batch)) + max(0, batch)


def test_what_is_carried_is_all_that_the_text_of_a_formula_needs():
    assert carried(allowed) == {
        "LOWEST": -inf,
        "NOTHING": NOTHING,
        "doubled": doubled,
        "SCALE": 2.5,
    }
    module = {}
    exec(codegen.HEADER + codegen.function(allowed, "f_allowed"), module)
    for batch in (4.0, 150.0, 250.0):
        np.testing.assert_equal(module["f_allowed"].py_func(batch), allowed(batch))
