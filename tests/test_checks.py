"""A validator returns what it has checked, and refuses the rest in one line."""

import re
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

from prophet_xr import checks
from prophet_xr.errors import InputError


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int64(2), np.array(2.0), xr.DataArray(2), Fraction(2)]
)
def test_a_number_may_be_of_any_real_type(value):
    for checked in (checks.number("size", value, 0, 2), checks.whole("size", value, 2)):
        assert checked == 2
    assert type(checks.number("size", value)) is float
    assert type(checks.whole("size", value, 0)) is int


@pytest.mark.parametrize(
    "value", [True, "2", None, [2], np.array([2.0]), 2j, np.nan, np.inf, 10**400, b"2", np.True_]
)
def test_what_is_no_finite_number_is_none(value):
    with pytest.raises(InputError, match=re.escape(f"size={value!r}; expected a number from 0 to")):
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
