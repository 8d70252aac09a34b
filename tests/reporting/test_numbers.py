"""Numbers as people read them."""

import numpy as np
import pytest
import xarray as xr

from prophet_xr.errors import InputError
from prophet_xr.reporting.numbers import (
    arithmetic_text,
    ends,
    four_digits,
    listed,
    names,
    number_text,
    pipes,
    shown,
    text_table,
)


@pytest.mark.parametrize(
    ("value", "have", "unit", "want"),
    [
        (3e9, "B", "GB", 3.0),
        (2.0**31, "B", "GiB", 2.0),
        (5e6, "B / expert", "MB", 5.0),
        (2048.0, "B / token", "KiB", 2.0),
        (7.0, "B", "B", 7.0),
        (0.25, "1", "%", 25.0),
        (46.7e9, "parameter", "1e9", 46.7),
        (0.004, "s", "ms", 4.0),
    ],
)
def test_a_quantity_is_shown_in_another_unit(value, have, unit, want):
    values = xr.DataArray([value], dims="model", attrs={"units": have, "long_name": "Title"})
    converted = shown(values, unit)
    assert converted.item() == pytest.approx(want, rel=1e-15)
    assert converted.attrs == {"units": unit, "long_name": "Title"}
    assert values.attrs["units"] == have


@pytest.mark.parametrize(("have", "unit"), [("s", "GB"), ("B", "ms"), ("1", "GB"), ("token", "%")])
def test_a_unit_of_another_quantity_is_refused(have, unit):
    values = xr.DataArray(1.0, name="metric", attrs={"units": have})
    with pytest.raises(InputError, match=f"metric is in '{have}', not in '{unit}'; "):
        shown(values, unit)


def test_the_ends_are_the_least_and_the_most_number():
    assert ends(xr.DataArray([[2.0, np.nan], [5.0, 3.0]])) == (2.0, 5.0)
    assert np.isnan(ends(xr.DataArray([np.nan]))).all()


def test_models_have_their_display_name_where_there_is_one():
    cube = xr.Dataset(coords={"model": ["a", "b"]})
    assert names(cube) == ["a", "b"]
    named = cube.assign_coords(model_name=("model", ["A", "B"]))
    assert names(named) == ["A", "B"]
    assert names(named.isel(model=0)) == ["A"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567.0, "1,234,567"),
        (0.1 + 0.2, "0.3"),
        (3e9 * 0.1 / 0.1, "3,000,000,000"),
        (12.3456789, "12.3457"),
        (-4.0, "-4"),
        (1e15, "1e+15"),
    ],
)
def test_a_number_is_whole_or_has_six_digits(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.16049, "2.16"),
        (0.0123456, "0.01235"),
        (999.96, "1000"),
        (123456.0, "123500"),
        (99.999, "100"),
    ],
)
def test_four_digits_have_no_exponent(value, text):
    assert four_digits(value) == text


def test_lists_and_arithmetic_in_words():
    assert listed(["a", "b"]) == "a, b"
    assert listed([]) == "none"
    assert arithmetic_text("32 * (2 * 4096)") == "32 x (2 x 4096)"


def test_text_stays_text_in_a_table():
    rows = [["tp8", "1e3"], ["0010", ""]]
    assert text_table(rows, ["plan", ""]).splitlines() == ["plan", "tp8     1e3", "0010"]
    assert pipes(rows, ["plan", "size"]).splitlines() == [
        "| plan   | size   |",
        "|:-------|:-------|",
        "| tp8    | 1e3    |",
        "| 0010   |        |",
    ]
