"""A validator returns what it has checked, and refuses the rest in one line."""

import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError, brief, nearest
from prophet_xr.registry import QUANTITIES


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), xr.DataArray(2), Fraction(2)]
)
def test_a_number_may_be_of_any_real_type(value):
    for checked in (checks.number("size", value, 0, 2), checks.whole("size", value, 2)):
        assert checked == 2
    assert type(checks.number("size", value)) is float
    assert type(checks.whole("size", value, 0)) is int


@pytest.mark.parametrize(
    "value",
    [True, "2", None, [2], np.array([2.0]), 2j, np.nan, np.inf, 10**400, 10**9999, b"2", np.True_],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_finite_number_is_none(value):
    with pytest.raises(
        InputError, match=re.escape(f"size={brief(value)}; expected a number from 0 to")
    ):
        checks.number("size", value, 0, 3)
    with pytest.raises(InputError, match="; expected a whole number, at least 0"):
        checks.whole("size", value, 0)


def test_a_number_lies_within_its_ends():
    assert checks.number("share", 1, 0, 1) == 1
    with pytest.raises(InputError, match="share=1; expected a number between 0 and 1"):
        checks.number("share", 1, 0, 1, ends=False)
    with pytest.raises(InputError, match=r"share=1\.1; expected a part of it"):
        checks.number("share", 1.1, 0, 1, "a part of it")
    for value in (1.5, 0, 11):
        with pytest.raises(InputError, match=f"count={value}; expected 1 to 10"):
            checks.whole("count", value, 1, 10, "1 to 10")


@pytest.mark.parametrize("values", [[], [0.5, 1.1], [np.nan], ["0.5"], "0", 0.5, {"a": 1}, None])
def test_shares_are_a_list_of_numbers_from_0_to_1(values):
    with pytest.raises(InputError, match=r"quantiles=.*; expected a list of"):
        checks.shares("quantiles", values)
    np.testing.assert_array_equal(checks.shares("quantiles", (0, 0.5, 1)), [0, 0.5, 1])


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (
            "memory_rate",
            ["B / s", "B/s", " B  /s", "B s-1", "B * s**-1", "bytes·s^-1"],
        ),
        ("hit_rate", ["1", "", "dimensionless", " 1 ", "B / B"]),
        ("context", ["token", "tokens", "1 * token", "token^1"]),
        ("gpu_price", ["1 / s", "1/s", "s-1", "/ s"]),
        ("copy_latency", ["s / expert", "s expert-1", "1 / expert * s"]),
    ],
)
def test_units_are_what_they_mean(name, written):
    for units in written:
        checks.units(QUANTITIES[name], units)
    for units in (
        "GB / s",
        "B",
        "s / B",
        "B / s / s",
        "B / s2",
        "10 B / s",
        "B +",
        "(",
        "m/s",
        None,
    ):
        with pytest.raises(InputError, match=rf"{name} is in .*; expected '"):
            checks.units(QUANTITIES[name], units)


@pytest.mark.parametrize("q", QUANTITIES.values(), ids=lambda q: q.name)
def test_every_unit_of_the_schema_is_understood(q):
    checks.units(q, q.units.replace(" ", ""))


def test_an_unknown_name_is_answered_with_a_few():
    many = [f"metric_{n}" for n in range(134)]
    words = nearest("zzz", many, "`prophet-xr metrics`")
    assert re.fullmatch(
        r"nearest: metric_\d+, metric_\d+, metric_\d+; see `prophet-xr metrics` for all 134", words
    )
    assert nearest("metric_77x", many, "it").startswith("nearest: metric_77, ")
    assert nearest("zzz", ["mean", "max"], "it") == "known: mean, max"
    assert nearest("maxx", ["mean", "max"], "it") == "nearest: max, mean"
    assert nearest("zzz", many).count("metric_") == 3
